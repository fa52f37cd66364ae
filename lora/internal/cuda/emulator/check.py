"""check.py LIBDIR: holds the emulator to what it promises to find, on the kernels of faults/.

LIBDIR is where build.sh made the libraries of those kernels.
"""

import ctypes
import math
import os
import re
import subprocess
import sys
import unittest

FAULTS = {  # what the emulator says of a kernel
    "writes_behind_memory": "bytes behind the end of an allocation of 256 bytes",
    "writes_just_behind_memory": "wrote byte 64 of an allocation of 64 bytes",
    "reads_before_memory": "an access to memory that is not there",
    "reads_four_at_an_odd_address": "not aligned to its type",
    "leaves_before_a_barrier": "waits in __syncthreads; from thread 48 on: has ended",
    "meets_at_different_calls": "waits in __syncthreads; from thread 16 on: waits in warp_sum",
    "shuffles_from_outside_its_mask": "shuffles from lane 16, which the mask 0000ffff leaves out",
    "indexes_beyond_shared_memory": "an index beyond its array",
    "reads_beyond_dynamic_memory": "an access to memory that is not there",
    "divides_by_zero": "divided by zero",
}
ARGUMENTS = {"divides_by_zero": 2, "copies_without_waiting": 2}
N = 64


class Driver:
    """A context of the emulated device with a module of the kernels asked for."""

    def __init__(self, folder):
        self.lib = ctypes.CDLL(os.path.join(folder, "libcuda.so.1"))
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *args, want=0):
        code = getattr(self.lib, name)(*args)
        if code != want:
            raise RuntimeError(f"{name} returned {code}, want {want}")

    def function(self, name):
        parameters = ", ".join([".param .u64 p"] * ARGUMENTS.get(name, 1))
        text = f".version 8.4\n.visible .entry {name}(\n{parameters}\n)\n".encode()
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), text)
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def alloc(self, numbers):
        p = ctypes.c_ulonglong()
        self.call("cuMemAlloc_v2", ctypes.byref(p), ctypes.c_size_t(4 * numbers))
        return p

    def launch(self, name, *args, shared=0, want=0):
        addresses = (ctypes.c_void_p * len(args))(*[ctypes.addressof(a) for a in args])
        self.call("cuLaunchKernel", self.function(name), 1, 1, 1, N, 1, 1, shared, None, addresses, None, want=want)

    def read(self, p):
        out = (ctypes.c_float * N)()
        self.call("cuMemcpyDtoH_v2", out, p, ctypes.c_size_t(4 * N))
        return list(out)


def provoke(folder, name):
    """Runs a faulty kernel to its end; the emulator is to stop it."""
    d = Driver(folder)
    out = d.alloc(16 if name == "writes_just_behind_memory" else N)
    second = [ctypes.c_int(0)] if name == "divides_by_zero" else []
    d.launch(name, out, *second, shared=4096)
    d.call("cuCtxSynchronize")
    d.call("cuMemFree_v2", out)


class Check(unittest.TestCase):
    def test_faults_are_found(self):
        for name, says in FAULTS.items():
            with self.subTest(name):
                run = subprocess.run([sys.executable, __file__, FOLDER, name], capture_output=True, text=True)
                self.assertNotEqual(run.returncode, 0)
                self.assertRegex(run.stderr, re.escape(says))

    def test_messages_name_the_thread(self):
        run = subprocess.run([sys.executable, __file__, FOLDER, "writes_behind_memory"], capture_output=True, text=True)
        self.assertRegex(run.stderr, r"kernel writes_behind_memory, block \(0, 0, 0\) of \(1, 1, 1\), thread \(0, 0, 0\) of \(64, 1, 1\)")

    def test_fresh_memory_is_nan(self):
        d = Driver(FOLDER)
        out = d.alloc(N)
        self.assertTrue(all(map(math.isnan, d.read(out))))
        d.launch("reads_fresh_shared_memory", out)
        self.assertTrue(all(map(math.isnan, d.read(out))))

    def test_copies_need_waiting(self):
        d = Driver(FOLDER)
        out, zeros = d.alloc(N), d.alloc(N)
        d.call("cuMemsetD8_v2", zeros, 0, ctypes.c_size_t(4 * N))
        d.launch("copies_without_waiting", out, zeros)
        self.assertTrue(all(map(math.isnan, d.read(out))))

    def test_races_depend_on_the_order(self):
        def results(name):
            d, seen = Driver(FOLDER), []
            for order in ("forward", "reverse", "shuffled"):
                set_environment("SOCIALRL_EMULATOR_ORDER", order)
                out = d.alloc(N)
                d.launch(name, out)
                seen.append(str(d.read(out)))
            set_environment("SOCIALRL_EMULATOR_ORDER", "forward")
            return seen

        self.assertGreater(len(set(results("reads_without_a_barrier"))), 1)
        self.assertEqual(len(set(results("reads_with_a_barrier"))), 1)

    def test_launches_are_checked(self):
        d = Driver(FOLDER)
        out = d.alloc(N)
        d.launch("is_bounded", out, want=1)
        d.launch("reads_with_a_barrier", out, shared=49 << 10, want=1)

    def test_failures_are_planned(self):
        d = Driver(FOLDER)
        set_environment("SOCIALRL_EMULATOR_FAIL", "cuMemAlloc:2:2")
        p = ctypes.c_ulonglong()
        codes = [d.lib.cuMemAlloc_v2(ctypes.byref(p), ctypes.c_size_t(64)) for _ in range(3)]
        set_environment("SOCIALRL_EMULATOR_FAIL", "")
        self.assertEqual(codes, [0, 2, 0])

    def test_memory_is_counted(self):
        d = Driver(FOLDER)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        d.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        p = d.alloc(1 << 20)
        less = ctypes.c_size_t()
        d.call("cuMemGetInfo_v2", ctypes.byref(less), ctypes.byref(total))
        self.assertEqual(free.value - less.value, 4 << 20)
        d.call("cuMemAlloc_v2", ctypes.byref(p), ctypes.c_size_t(less.value + 1), want=2)


def set_environment(name, value):
    """Sets a variable where the library's getenv sees it."""
    ctypes.CDLL(None).setenv(name.encode(), value.encode(), 1)


FOLDER = sys.argv.pop(1)
if len(sys.argv) == 2:
    provoke(FOLDER, sys.argv[1])
else:
    unittest.main()
