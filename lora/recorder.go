package lora

// Recorder is an [Engine] that computes a sequence of operations faster when it comes
// again, such as a step of decoding. The CUDA engine is one: it launches the sequence as
// one graph.
type Recorder interface {
	// Record calls f, whose operations may be held back until it returns or until one
	// of them returns numbers, whichever comes first. Where the operations have the
	// same operands and shapes as those of an earlier call, but other ids, positions,
	// trees and contents, they are done together. The results are those of f alone,
	// whatever it does. The key tells calls apart that are likely to differ, such as
	// those of different numbers of rows; any key is right.
	//
	// Calls may not be nested.
	Record(key uint64, f func())
}
