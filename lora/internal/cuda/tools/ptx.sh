#!/usr/bin/env bash
# ptx.sh [-check] [NAME...]: compiles kernels to the PTX that is committed beside them, for
# compute capability 8.0: all, or those of the names without .cu. With -check it compiles
# to a folder of its own, fails where the result is not what is committed, and has ptxas
# translate it for 8.0 and 9.0, which may not spill registers to memory.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
repository=$(cd "$here/../../.." && pwd)
packages=$("$here/tools/install.sh")/nvidia
check=
if [ "${1:-}" = -check ]; then
	check=yes
	shift
fi

# folders lists each folder of kernels with the one of their PTX.
folders() {
	echo "$here/kernels $here/ptx"
	local other=$repository/grpo/internal
	[ ! -d "$other" ] || find "$other" -type d -name kernels | while read -r folder; do
		echo "$folder ${folder%kernels}ptx"
	done
}

# compile SOURCE OUT
compile() {
	python3 "$here/tools/nvrtc.py" "$packages/cuda_nvrtc/lib/libnvrtc.so.12" "$1" "$2" \
		--gpu-architecture=compute_80 --std=c++17 --device-as-default-execution-space -I"$here/kernels" -I"$(dirname "$1")" \
		-I"$packages/cuda_runtime/include" -I"$packages/cuda_nvcc/include"
}

# assemble PTX: what ptxas says of it for each architecture; spills are an error.
assemble() {
	local arch said
	for arch in sm_80 sm_90; do
		said=$("$packages/cuda_nvcc/bin/ptxas" -arch=$arch -v -o /dev/null "$1" 2>&1) || {
			echo "$said" >&2
			return 1
		}
		if grep -E '[1-9][0-9]* bytes spill' <<<"$said" >/dev/null; then
			echo "$1: registers spill on $arch:" >&2
			grep -B 2 -E '[1-9][0-9]* bytes spill' <<<"$said" >&2
			return 1
		fi
	done
}

# regenerate SOURCE PTX: compiles, and checks where that was asked for.
regenerate() {
	if [ -z "$check" ]; then
		mkdir -p "$(dirname "$2")"
		compile "$1" "$2"
		return
	fi
	local made
	made=$(mktemp)
	compile "$1" "$made"
	if ! cmp -s "$made" "$2"; then
		echo "$2 is not what $1 compiles to: run lora/internal/cuda/tools/ptx.sh $(basename "$1" .cu)" >&2
		rm -f "$made"
		return 1
	fi
	rm -f "$made"
	assemble "$2"
}

# wanted NAME...: the kernels to regenerate, each with its PTX.
wanted() {
	local kernels ptx source name
	folders | while read -r kernels ptx; do
		for source in "$kernels"/*.cu; do
			name=$(basename "$source" .cu)
			[ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
			echo "$source $ptx/$name.ptx"
		done
	done
}

# Two at a time: the files are many, and some take seconds.
failures=$(mktemp)
trap 'rm -f "$failures"' EXIT
while read -r source ptx; do
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
	{ regenerate "$source" "$ptx" || echo "$source" >>"$failures"; } &
done < <(wanted "$@")
wait
[ ! -s "$failures" ]
