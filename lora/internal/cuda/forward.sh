#!/bin/sh
# forward.sh HEADERS... : writes forward.inc, the functions of the driver that
# gorgonia.org/cu and this package call. HEADERS are folders with a cuda.h; names that
# differ between versions of CUDA are all listed. Run in this folder.
set -eu
cu=$(go list -m -f '{{.Dir}}' gorgonia.org/cu)
calls=$(grep -hoE '\bcu[A-Z][A-Za-z0-9]*[ ]*\(' "$cu"/*.go "$cu"/batch.c *.c *.go | tr -d ' (' | sort -u)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
for headers; do
	# A name that the header declares as a function comes out after the header's macros.
	{
		echo '#include <cuda.h>'
		for name in $calls; do echo "called: $name"; done
	} >"$made/calls.h"
	gcc -I"$PWD/shim" -I"$headers" -E -P "$made/calls.h" >"$made/expanded"
	for name in $(sed -n 's/^called: *//p' "$made/expanded"); do
		grep -qE "\b$name\b *\(" "$made/expanded" && echo "$name" >>"$made/names"
	done
done
grep -vx cuInit "$made/names" | sort -u | sed 's/.*/FORWARD(&)/' >forward.inc
