"""build.py EMULATOR OUTDIR CUDA_INCLUDE KERNELS_DIR...: compiles the emulator (build.sh)."""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

here, out, cuda = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
sources = sorted(f for d in sys.argv[4:] for f in pathlib.Path(d).resolve().glob("*.cu"))
include = sorted({f.parent for f in sources} | {here / "../kernels"})
CXX = os.environ.get("CXX", "g++")
FLAGS = ["-std=c++20", "-O2", "-fPIC", "-g1", "-fno-strict-aliasing", f"-I{here}", f"-isystem{cuda}"]
if os.uname().machine == "x86_64" and "avx2" in pathlib.Path("/proc/cpuinfo").read_text():
    FLAGS += ["-march=x86-64-v3"]
CHECKS = [] if os.environ.get("EMULATOR_CHECKS") == "0" else ["-fsanitize=alignment,bounds", "-fsanitize-undefined-trap-on-error"]


def run(command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-8000:]}")
    return done.stdout


def newest(paths):
    return max((p.stat().st_mtime for p in paths), default=0)


def fresh(target, inputs):
    return target.exists() and target.stat().st_mtime > newest(inputs)


HEADERS = list(here.glob("*.h")) + [here / "build.py"]
KERNEL_HEADERS = [f for d in include for f in d.glob("*.cuh")]


def compile_part(source):
    """Compiles a file of the emulator itself."""
    target = out / (source.stem + ".o")
    if not fresh(target, HEADERS + [source]):
        run([CXX, *FLAGS, "-Wall", "-Wextra", "-c", source, "-o", target])
    return target


def dialect(section):
    return [f'-DEMULATOR_SHARED_SECTION="{section}"', "-include", here / "device.h", *(f"-I{d}" for d in include)]


def wrap(source, section):
    """Returns C++ that holds a .cu file in a namespace of its own, with the table of its kernels.

    The kernels' names are read from the preprocessed text, so that those which macros make count too.
    """
    text = run([CXX, "-std=c++20", "-E", "-P", *dialect(section), "-x", "c++", source])
    names = re.findall(r"__attribute__\(\(noinline\)\)\s+void\s+(\w+)\s*\(", text)
    bounds = set(re.findall(r"unsigned\s+emulator_bound_(\w+)", text))
    if len(set(names)) != len(names):
        sys.exit(f"{source}: two kernels of one name")
    rows = "".join(f'\temulator::row<{n}>("{n}", {f"emulator_bound_{n}" if n in bounds else 1024}, __start_{section}, __stop_{section}),\n' for n in names)
    return names, f"""#include "table.h"
extern "C" char __start_{section}[], __stop_{section}[];
extern const Kernel emulator_table_{section}[];
#define __noinline__ __attribute__((noinline))
namespace {{
#include "{source}"
__shared__ char emulator_section_exists;
}}
const Kernel emulator_table_{section}[] = {{
{rows}	{{}}}};
char *emulator_keep_{section}() {{ return &emulator_section_exists; }}
"""


def compile_kernels(job):
    """Compiles a .cu file with its table; returns the object, the table's name and its rows."""
    number, source = job
    section = f"shared_{number}_{source.stem}"
    target, wrapper = out / f"{section}.o", out / f"{section}.cpp"
    names, text = wrap(source, section)
    if not fresh(target, HEADERS + KERNEL_HEADERS + [source]) or wrapper.read_text() != text:
        wrapper.write_text(text)
        run([CXX, *FLAGS, *CHECKS, "-Wno-unknown-pragmas", *dialect(section), "-c", wrapper, "-o", target])
    return target, f"emulator_table_{section}", names


def unsupported(objects):
    """Returns C of the driver functions that cuda.h declares and the emulator lacks."""
    text = run([CXX, "-E", "-P", "-x", "c++", "-"], input=f'#include "{cuda / "cuda.h"}"\n')
    declared = set(re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(", text))
    defined = set(re.findall(r" T (cu[A-Z]\w*)$", run(["nm", "--defined-only", *objects]), re.MULTILINE))
    rest = sorted(declared - defined)
    return 'extern "C" {\n' + "".join(f"int {n}() {{ return 801; }}\n" for n in rest) + "}\n"


def write_and_compile(name, text):
    path = out / f"{name}.cpp"
    path.write_text(text)
    run([CXX, *FLAGS, "-c", path, "-o", out / f"{name}.o"])
    return out / f"{name}.o"


def tables(kernels):
    lines = "".join(f"extern const Kernel {t}[];\n" for _, t, _ in kernels)
    pointers = "".join(f"{t}, " for _, t, _ in kernels)
    sizes = "".join(f"{len(names)}, " for _, _, names in kernels)
    return f"""#include "table.h"
{lines}extern const Kernel *const emulator_tables[];
extern const int emulator_table_sizes[];
const Kernel *const emulator_tables[] = {{{pointers}nullptr}};
const int emulator_table_sizes[] = {{{sizes}0}};
"""


def main():
    parts = [p for p in sorted(here.glob("*.cpp")) if p.stem != "blas"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        kernels = list(pool.map(compile_kernels, enumerate(sources)))
        objects = list(pool.map(compile_part, parts))
        blas = compile_part(here / "blas.cpp")
    everything = [n for _, _, names in kernels for n in names]
    twice = {n for n in everything if everything.count(n) > 1}
    if twice:
        sys.exit(f"two kernels of one name: {sorted(twice)}")
    objects += [k for k, _, _ in kernels]
    objects += [write_and_compile("tables", tables(kernels)), write_and_compile("unsupported", unsupported(objects))]
    run([CXX, "-shared", "-o", out / "libcuda.so.1", "-Wl,-soname,libcuda.so.1", "-Wl,-Bsymbolic", "-Wl,-z,nodelete", *objects])
    run([CXX, "-shared", "-o", out / "libcublas.so.12", "-Wl,-soname,libcublas.so.12", "-Wl,-rpath,$ORIGIN", blas, out / "libcuda.so.1"])
    print(f"emulator: {len(everything)} kernels of {len(sources)} files in {out}")


main()
