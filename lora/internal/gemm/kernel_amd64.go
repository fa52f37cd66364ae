//go:build amd64 && !purego

package gemm

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _asm && go run . -set gemm512 -out ../kernels_avx512_amd64.s -stubs ../kernels_avx512_amd64.go -pkg gemm"
//go:generate sh -c "cd _asm && go run . -set gemmdot -out ../kernels_avx512bf16_amd64.s -stubs ../kernels_avx512bf16_amd64.go -pkg gemm && go run . -encode ../kernels_avx512bf16_amd64.s"
//go:generate sh -c "cd _asm && go run . -set gemmtiles -out ../kernels_amx_amd64.s -stubs ../kernels_amx_amd64.go -pkg gemm && go run . -encode ../kernels_amx_amd64.s"
//go:generate sh -c "cd _asm && go run . -set gemm2 -out ../kernels_avx2_amd64.s -stubs ../kernels_avx2_amd64.go -pkg gemm"

// written lists the variants that there are, in order of preference. They run where
// package vec has their instructions; products of bfloat16 are asked for here.
func written() []*kernels {
	list := []*kernels{&avx512, &avx2, &generic}
	if hasTiles() {
		list = slices.Insert(list, 0, &amxbf16)
	}
	if !cpu.X86.HasAVX512BF16 {
		return list
	}
	at := slices.Index(list, &avx512)
	return slices.Insert(list, at+btoi(!fastDots(maker())), &avx512bf16)
}

// fastDots reports whether products of bfloat16 outrun those of float32 on a maker's
// processors, see [Variants].
func fastDots(maker string) bool { return maker == "AuthenticAMD" }

// maker returns how the processor names who made it.
func maker() string {
	b, d, c := cpuidMaker()
	name := binary.LittleEndian.AppendUint32(nil, b)
	name = binary.LittleEndian.AppendUint32(name, d)
	return string(binary.LittleEndian.AppendUint32(name, c))
}

// avx512 holds tiles of up to 12 × 32 in 24 registers of 16 floats. The wide
// tiles keep enough sums going to hide the latency of a fused multiply-add.
var avx512 = kernels{
	name: "avx512",
	vec:  "avx512",
	mr:   12,
	f32: [maxMR + 1]tileFunc{
		1: tileF32x1x32AVX512, 2: tileF32x2x32AVX512, 3: tileF32x3x32AVX512, 4: tileF32x4x32AVX512,
		5: tileF32x5x32AVX512, 6: tileF32x6x32AVX512, 7: tileF32x7x32AVX512, 8: tileF32x8x32AVX512,
		9: tileF32x9x32AVX512, 10: tileF32x10x32AVX512, 11: tileF32x11x32AVX512, 12: tileF32x12x32AVX512,
	},
	narrow: [maxMR + 1]tileFunc{
		1: tileF32x1x16AVX512, 2: tileF32x2x16AVX512, 3: tileF32x3x16AVX512, 4: tileF32x4x16AVX512,
		5: tileF32x5x16AVX512, 6: tileF32x6x16AVX512, 7: tileF32x7x16AVX512, 8: tileF32x8x16AVX512,
		9: tileF32x9x16AVX512, 10: tileF32x10x16AVX512, 11: tileF32x11x16AVX512, 12: tileF32x12x16AVX512,
	},
	bf16: [maxMR + 1]tileFunc{
		1: tileBF16x1x32AVX512, 2: tileBF16x2x32AVX512, 3: tileBF16x3x32AVX512, 4: tileBF16x4x32AVX512,
		5: tileBF16x5x32AVX512, 6: tileBF16x6x32AVX512, 7: tileBF16x7x32AVX512, 8: tileBF16x8x32AVX512,
		9: tileBF16x9x32AVX512, 10: tileBF16x10x32AVX512, 11: tileBF16x11x32AVX512, 12: tileBF16x12x32AVX512,
	},
	shares: true,
	wide: [2][maxMR + 1]wideFunc{
		{1: tileF32x1x128AVX512, 2: tileF32x2x128AVX512, 3: tileF32x3x64AVX512, 4: tileF32x4x64AVX512},
		{1: tileBF16x1x128AVX512, 2: tileBF16x2x128AVX512, 3: tileBF16x3x64AVX512, 4: tileBF16x4x64AVX512},
	},
	group:      [maxMR + 1]int{1: 4, 2: 4, 3: 2, 4: 2},
	block:      16,
	transpose:  transpose16AVX512,
	widen:      widenAVX512,
	widenPairs: widenPairsAVX512,
	strided:    &stridedAVX512,
	unpack:     [forms]unpackFunc{unpack4AVX512, unpack4BF16AVX512, unpack4F16AVX512, unpack8AVX512, unpack4TameAVX512},
	coded: [2][forms][maxMR + 1]codedFunc{
		{
			RoundNone: {
				1: tileCoded4x1x32AVX512, 2: tileCoded4x2x32AVX512, 3: tileCoded4x3x32AVX512, 4: tileCoded4x4x32AVX512,
				5: tileCoded4x5x32AVX512, 6: tileCoded4x6x32AVX512, 7: tileCoded4x7x32AVX512, 8: tileCoded4x8x32AVX512,
			},
			RoundBF16: {
				1: tileCoded4BF16x1x32AVX512, 2: tileCoded4BF16x2x32AVX512, 3: tileCoded4BF16x3x32AVX512, 4: tileCoded4BF16x4x32AVX512,
				5: tileCoded4BF16x5x32AVX512, 6: tileCoded4BF16x6x32AVX512, 7: tileCoded4BF16x7x32AVX512, 8: tileCoded4BF16x8x32AVX512,
			},
			tame: {
				1: tileCoded4Tamex1x32AVX512, 2: tileCoded4Tamex2x32AVX512, 3: tileCoded4Tamex3x32AVX512, 4: tileCoded4Tamex4x32AVX512,
				5: tileCoded4Tamex5x32AVX512, 6: tileCoded4Tamex6x32AVX512, 7: tileCoded4Tamex7x32AVX512, 8: tileCoded4Tamex8x32AVX512,
			},
			codes8: {
				1: tileCoded8x1x32AVX512, 2: tileCoded8x2x32AVX512, 3: tileCoded8x3x32AVX512, 4: tileCoded8x4x32AVX512,
				5: tileCoded8x5x32AVX512, 6: tileCoded8x6x32AVX512, 7: tileCoded8x7x32AVX512, 8: tileCoded8x8x32AVX512,
			},
		}, {
			RoundNone: {1: tileCoded4x1x128AVX512, 2: tileCoded4x2x128AVX512, 3: tileCoded4x3x64AVX512, 4: tileCoded4x4x64AVX512},
			RoundBF16: {1: tileCoded4BF16x1x128AVX512, 2: tileCoded4BF16x2x128AVX512, 3: tileCoded4BF16x3x64AVX512, 4: tileCoded4BF16x4x64AVX512},
			tame:      {1: tileCoded4Tamex1x128AVX512, 2: tileCoded4Tamex2x128AVX512, 3: tileCoded4Tamex3x64AVX512, 4: tileCoded4Tamex4x64AVX512},
			codes8:    {1: tileCoded8x1x128AVX512, 2: tileCoded8x2x128AVX512, 3: tileCoded8x3x64AVX512, 4: tileCoded8x4x64AVX512},
		},
	},
	scales:  scalesAVX512,
	nested:  nestedAVX512,
	peak:    peakAVX512,
	peakOps: 12 * 16 * 2,
}

// avx512bf16 is avx512 with products of bfloat16.
var avx512bf16 = withDots(avx512)

// withDots returns a variant with products of bfloat16 by its side.
func withDots(k kernels) kernels {
	k.name = "avx512bf16"
	k.dots = &dots{
		tiles: [maxMR + 1]tileFunc{
			1: tileDotx1x32AVX512, 2: tileDotx2x32AVX512, 3: tileDotx3x32AVX512, 4: tileDotx4x32AVX512,
			5: tileDotx5x32AVX512, 6: tileDotx6x32AVX512, 7: tileDotx7x32AVX512, 8: tileDotx8x32AVX512,
			9: tileDotx9x32AVX512, 10: tileDotx10x32AVX512, 11: tileDotx11x32AVX512, 12: tileDotx12x32AVX512,
		},
		wide:   [maxMR + 1]wideFunc{1: tileDotx1x128AVX512, 2: tileDotx2x128AVX512, 3: tileDotx3x64AVX512, 4: tileDotx4x64AVX512},
		halve:  halveAVX512,
		pairUp: pairUpAVX512,
	}
	k.peak, k.peakOps = peakDotAVX512, 12*32*2
	return k
}

// amxbf16 is avx512 with products of bfloat16 by tiles.
var amxbf16 = withMatrices(avx512)

// withMatrices returns a variant with tiles by its side.
func withMatrices(k kernels) kernels {
	k.name = tilesVariant
	k.dots = &dots{
		matrix: &matrices{
			column: [2][2]matrixFunc{{matrix1x1AMX, matrix1x2AMX}, {matrix2x1AMX, matrix2x2AMX}},
			integers: integers{
				quantize: quantizeAVX512,
				expand:   expandDigitsAVX512,
				whole:    [2]integerFunc{integers8AMX, integersDigitsAMX},
				short:    [2]integerFunc{integers8ShortAMX, integersDigitsShortAMX},
				codes:    integers4ShortAMX,
				nested:   nestedPanelsAVX512,
				single:   [2]integerFunc{integers8SingleAMX, integers4SingleAMX},
			},
			half: [2]unpackHalfFunc{unpackHalf4AVX512, unpackHalf8AVX512},
			zip:  zipRowsAVX512, pairs: pairsAVX512,
		},
		halve:  halveAVX512,
		pairUp: pairUpAVX512,
	}
	k.splits = &splits{
		rows: splitRowsAVX512, pairs: splitPairsAVX512,
		matrix: [2][2]splitFunc{{matrixSplit1x1AMX, matrixSplit1x2AMX}, {matrixSplit2x1AMX, matrixSplit2x2AMX}},
	}
	k.peak, k.peakOps = peakTiles, 4*2*tileRows*tileRows*tileK
	return k
}

// peakTiles runs at the limit of tiles.
func peakTiles(n int) {
	var shape tileShape
	shape.set(2*tileRows, 2*tileRows)
	peakAMX(&shape[0], n)
}

// avx2 holds tiles of up to 6 × 16 in 12 registers of 8 floats and walks a panel
// in two strips.
var avx2 = kernels{
	name: "avx2",
	vec:  "avx2",
	mr:   6,
	f32: [maxMR + 1]tileFunc{
		1: tileF32x1AVX2, 2: tileF32x2AVX2, 3: tileF32x3AVX2,
		4: tileF32x4AVX2, 5: tileF32x5AVX2, 6: tileF32x6AVX2,
	},
	bf16: [maxMR + 1]tileFunc{
		1: tileBF16x1AVX2, 2: tileBF16x2AVX2, 3: tileBF16x3AVX2,
		4: tileBF16x4AVX2, 5: tileBF16x5AVX2, 6: tileBF16x6AVX2,
	},
	wide: [2][maxMR + 1]wideFunc{
		{1: tileF32x1x32AVX2, 2: tileF32x2x32AVX2},
		{1: tileBF16x1x32AVX2, 2: tileBF16x2x32AVX2},
	},
	group:      [maxMR + 1]int{1: 1, 2: 1},
	block:      8,
	transpose:  transpose8AVX2,
	widen:      widenAVX2,
	widenPairs: widenPairsAVX2,
	strided:    &stridedAVX2,
	unpack:     [forms]unpackFunc{unpack4AVX2, unpack4BF16AVX2, unpack4F16Go, unpack8AVX2, unpack4TameAVX2},
	scales:     scalesAVX2,
	nested:     nestedGo,
	peak:       peakAVX2,
	peakOps:    12 * 8 * 2,
}
