"""nvrtc.py LIBNVRTC SOURCE.cu OUT.ptx [OPTION...]: compiles CUDA C++ to PTX with NVRTC.

Needs no GPU, no driver and no toolkit. The same source gives the same bytes.
"""

import ctypes
import pathlib
import re
import sys

VERSION = b"7.7"  # of PTX: what drivers of CUDA 11.7 know


class Nvrtc:
    """The functions of NVRTC that are used, with its codes as exceptions."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *args):
        code = getattr(self.library, name)(*args)
        if code:
            raise RuntimeError(f"{name}: {self.library.nvrtcGetErrorString(code).decode()}")

    def text(self, what, program):
        """Returns the log or the PTX of a program."""
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.value

    def compile(self, source, name, options):
        """Returns PTX; a warning or an error goes to standard error."""
        program = ctypes.c_void_p()
        self.call("nvrtcCreateProgram", ctypes.byref(program), source, name.encode(), 0, None, None)
        words = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        try:
            self.call("nvrtcCompileProgram", program, len(options), words)
        finally:
            sys.stderr.write(self.text("ProgramLog", program).decode())
        return self.text("PTX", program)


def for_older_drivers(ptx):
    """Returns PTX that says which version it needs, instead of which its compiler knows.

    The driver refuses what is of a newer version than its own, whether or not it uses
    anything new. ptxas refuses what uses more than its version has, so that checking
    the result (ptx.sh -check) shows that it may say so. The pragma is a hint, of 8.3.
    """
    ptx = re.sub(rb"^\.version .*$", b".version " + VERSION, ptx, count=1, flags=re.M)
    return re.sub(rb'^\s*\.pragma "used_bytes_mask .*\n', b"", ptx, flags=re.M)


def main():
    library, source, target, *options = sys.argv[1:]
    path = pathlib.Path(source)
    try:
        ptx = Nvrtc(library).compile(path.read_bytes(), path.name, options)
    except RuntimeError as problem:
        sys.exit(f"{source}: {problem}")
    pathlib.Path(target).write_bytes(for_older_drivers(ptx))


main()
