package lora

// The measures of kernels/head.cu, and how large chunks of logits are. Chunks of 16 MiB
// stay in the cache of a large device from the product that makes them to the one that
// takes their gradients, and keep all of its multiprocessors busy.
const (
	cudaHeadThreads = 128
	cudaHeadBlock   = 2048     // tokens that a block of threads takes
	cudaHeadRows    = 1024     // rows of a chunk
	cudaHeadChunk   = 4 << 20  // logits of a chunk
	cudaHeadUnpack  = 24 << 20 // bytes of the weight that are unpacked for a chunk
	cudaHeadSums    = 12       // bytes of a row's sums over a block
)

// headRoom is what LogProbs and LogProbsBack keep in the arena.
type headRoom struct {
	chunk     View // of logits
	sums      View // of a chunk's rows, for each block of the vocabulary
	h         View // a chunk's rows, rounded
	gradients View // of a chunk's logits, rounded
	weight    View // of a chunk's tokens, unpacked
}

// headChunk returns the rows and tokens of a chunk: chunks of rows are of about one size,
// chunks of tokens whole blocks.
func (r cudaRoom) headChunk(rows, vocab, in int, kind Kind) (int, int) {
	if rows == 0 || vocab == 0 {
		return 0, 0
	}
	rows = divideUp(rows, divideUp(rows, cudaHeadRows))
	cols := cudaHeadChunk / rows
	if r.unpacks(kind) {
		cols = min(cols, cudaHeadUnpack/(r.elementBytes(kind)*max(in, 1)))
	}
	return rows, min(max(cols/cudaHeadBlock, 1)*cudaHeadBlock, vocab)
}

// head is the room of LogProbs and LogProbsBack.
func (r cudaRoom) head(m arena, rows, vocab, in int, kind Kind) (room headRoom) {
	height, width := r.headChunk(rows, vocab, in, kind)
	room.chunk = m.Temp(1, height*roundUp(width, 4))
	room.sums = takeBytes(m, cudaHeadSums*height*divideUp(vocab, cudaHeadBlock))
	room.h = r.factor(m, height, in, kind)
	room.gradients = r.factor(m, height, width, kind)
	room.weight = r.unpacked(m, kind, width, in)
	return room
}

func (r cudaRoom) headScratch(m arena, h View, w Weight) {
	defer m.Reset(m.Mark())
	r.head(m, h.Rows, w.Out(), w.In(), w.Kind())
}

// The measures of kernels/sample.cu.
const (
	cudaSampleThreads = 256
	cudaSampleSlice   = 4096     // logits of a row that a block of threads takes
	cudaSampleRows    = 64       // rows that are drawn at once
	cudaSamplePart    = 24       // bytes: what a slice holds
	cudaSampleSearch  = 48       // bytes: the state of a row's selection
	cudaSampleBins    = 48 << 10 // bytes: a row's histograms
)

// sampleRoom is what Sample keeps in the arena, whatever the rows ask for.
type sampleRoom struct {
	parts, searches, bins View
	seen                  View // a bit for each token of each row
}

// sample is the room of Sample.
func (r cudaRoom) sample(m arena, rows, vocab int) (room sampleRoom) {
	rows = min(rows, cudaSampleRows)
	room.parts = takeBytes(m, cudaSamplePart*rows*divideUp(vocab, cudaSampleSlice))
	room.searches = takeBytes(m, cudaSampleSearch*rows)
	room.bins = takeBytes(m, cudaSampleBins*rows)
	room.seen = takeBytes(m, 4*rows*divideUp(vocab, 32))
	return room
}

func (r cudaRoom) sampleScratch(m arena, logits View) {
	defer m.Reset(m.Mark())
	r.sample(m, logits.Rows, logits.Cols)
}
