//go:build amd64 && !purego

package gemm

//go:generate sh -c "cd _asm && go run . -set strided512 -out ../strided_avx512_amd64.s -stubs ../strided_avx512_amd64.go -pkg gemm"
//go:generate sh -c "cd _asm && go run . -set strided2 -out ../strided_avx2_amd64.s -stubs ../strided_avx2_amd64.go -pkg gemm"

var stridedAVX512 = stridedKernels{
	tiles: [maxMR + 1]stridedFunc{
		1: stridedTile1x32AVX512, 2: stridedTile2x32AVX512, 3: stridedTile3x32AVX512, 4: stridedTile4x32AVX512,
		5: stridedTile5x32AVX512, 6: stridedTile6x32AVX512, 7: stridedTile7x32AVX512, 8: stridedTile8x32AVX512,
		9: stridedTile9x32AVX512, 10: stridedTile10x32AVX512, 11: stridedTile11x32AVX512, 12: stridedTile12x32AVX512,
	},
	narrow: [maxMR + 1]stridedFunc{
		1: stridedTile1x16AVX512, 2: stridedTile2x16AVX512, 3: stridedTile3x16AVX512, 4: stridedTile4x16AVX512,
		5: stridedTile5x16AVX512, 6: stridedTile6x16AVX512, 7: stridedTile7x16AVX512, 8: stridedTile8x16AVX512,
		9: stridedTile9x16AVX512, 10: stridedTile10x16AVX512, 11: stridedTile11x16AVX512, 12: stridedTile12x16AVX512,
	},
	part: transposePart16AVX512,
}

var stridedAVX2 = stridedKernels{
	tiles: [maxMR + 1]stridedFunc{
		1: stridedTile1AVX2, 2: stridedTile2AVX2, 3: stridedTile3AVX2,
		4: stridedTile4AVX2, 5: stridedTile5AVX2, 6: stridedTile6AVX2,
	},
	part: transposePart8AVX2,
}
