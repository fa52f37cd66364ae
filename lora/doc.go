// Package lora computes transformers and trains low-rank adapters of them: engines,
// weights, adapters, the optimiser, and the files that hold them.
//
// A complete program: a linear layer with a low-rank branch learns to double its
// input.
//
//	eng, err := lora.Open("cpu")
//	defer eng.Close()
//	w, err := eng.NewWeight(lora.NewF32("w", []int{2, 2}, []float32{1, 0, 0, 1}), lora.F32)
//	a := lora.NewAdapter(eng, lora.Config{Rank: 1, Alpha: 1, Targets: []string{"w"}})
//	down, up := a.Add("A", 1, 2), a.Add("B", 2, 1)
//	opt := lora.NewAdamW(a, lora.AdamWConfig{})
//	layer := lora.Linear{W: w, A: down.Value, B: up.Value, Scale: a.Config.Scale(), DA: down.Grad, DB: up.Grad}
//	for range 100 {
//		mark := eng.Mark()
//		x, y, h := eng.Temp(1, 2), eng.Temp(1, 2), eng.Temp(1, 1)
//		eng.Write(x, []float32{1, 1})
//		eng.Linear(y, x, &layer, h)
//		... the loss's gradient in y ...
//		eng.LinearBack(lora.View{}, y, x, &layer, h, false)
//		norm, err := opt.Step(0.05)
//		eng.Reset(mark)
//	}
//
// Whoever trains language models uses package policy, which does this for whole
// models; this package is for those who write models, kernels or tools.
//
// # Engines
//
// An [Engine] owns memory and computes on views of it: one interface for plain loops
// in float64 ("float64", the reference), for Go and assembly in float32 ("cpu"), and
// for NVIDIA GPUs ("cuda:0", "cuda:0:f32"), where the program is built with cgo and the tag
// cuda; of CUDA only the header cuda.h is needed to build. All engines pass one suite of
// tests. The caller calls an engine from one
// goroutine at a time, takes temporary memory between Mark and Reset, frees what it
// made with NewView, and asks Sync for failures.
//
// # Notation
//
// T tokens, D model width, H heads, F feed-forward width, V vocabulary, L layers,
// R rank. Matrices are row-major; weights are [out, in]. A gradient is called d and
// the name of what it belongs to. Parameter gradients accumulate (+=), activation
// gradients overwrite (=).
//
// # Precision of frozen weights
//
// A frozen matrix is kept as float32, bfloat16, in 4 bits (NF4, the base of QLoRA) or
// in 8 bits: see [Kind], also for which engines round what meets it. Codes of 4 and 8 bits
// become numbers when they are used, in registers or in the nearest cache; the whole
// matrix is never expanded. Quantised weights are made of any others by
// [Engine].NewWeight, and those of bitsandbytes are read as they are by [Safetensors.NF4].
//
// # Memory
//
// [Engine].Stats says what is held. [Dry] tells what operations will take before they are
// called, and [OpenDry] what a whole model will, on an engine that need not be there.
//
// # Determinism
//
// Equal calls give equal bits on one engine and CPU variant, whatever the number of
// threads. On the CPU a row's result depends on no other row: every sum runs in one
// order. On a GPU the same calls in the same order give the same bits. Random numbers
// (sampling, dropout, starting values) are counter-based: see [Key].
//
// # Files
//
// [OpenSafetensors] and [OpenModel] map weights into memory; [ReadAdapterFiles] and
// [WriteAdapterFiles] speak PEFT's format. What is in a file is never trusted: a bad
// one is an error that names the place.
package lora
