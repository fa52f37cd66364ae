#!/usr/bin/env bash
# install.sh: installs what compiles kernels without a GPU or a driver, once, and prints
# the folder: NVRTC, ptxas and the headers of CUDA 12.4. The folder is $SOCIALRL_CUDA or
# one in the user's cache. Needs python3 with pip.
set -euo pipefail
folder=${SOCIALRL_CUDA:-${XDG_CACHE_HOME:-$HOME/.cache}/socialrl-cuda-12.4}
if [ ! -e "$folder/nvidia/cuda_nvcc/bin/ptxas" ]; then
	mkdir -p "$folder"
	python3 -m pip install -q --no-deps --upgrade --root-user-action=ignore --target "$folder" \
		nvidia-cuda-nvrtc-cu12==12.4.127 nvidia-cuda-runtime-cu12==12.4.127 nvidia-cuda-nvcc-cu12==12.4.131 >&2
fi
echo "$folder"
