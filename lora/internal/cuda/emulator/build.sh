#!/usr/bin/env bash
# build.sh OUTDIR [KERNELS_DIR...]: makes libcuda.so.1 and libcublas.so.12 whose device is
# this machine's CPU: the .cu files of the folders, compiled by g++, with a thread of a
# block as a fiber. Needs g++, python3 and cuda.h (see ../tools/install.sh). What is up to
# date is not built again.
#
#	SOCIALRL_CUDA      folder of the CUDA packages (default: see ../tools/install.sh)
#	EMULATOR_CHECKS=0  leaves out the checks of alignment and array bounds
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUTDIR [KERNELS_DIR...]}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ $# -gt 0 ] || set -- "$here/../kernels" "$here/../../../../grpo/internal/kernels"
include=$("$here/../tools/install.sh")/nvidia/cuda_runtime/include

exec python3 "$here/build.py" "$here" "$out" "$include" "$@"
