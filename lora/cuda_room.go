package lora

// What the CUDA engine's weights and linear layers take of the device's memory, and how
// their work is cut. It follows from shapes alone, so that it is known without a device
// and does not depend on which one there is.

const (
	cudaRowAlign  = 64  // bytes: rows of weights start there
	cudaPartAlign = 256 // bytes: scales and tables start there
	cudaTable     = 273 // numbers: of codes of 4 bits, of codes of scales, the offset
	cudaBlocks    = 264 // blocks that fill a large device: two on each multiprocessor
)

// cudaUnpackRoom is how many bytes of a weight are unpacked at a time, unless that is less
// than 64 rows: a layer of 3584 × 18944 in bfloat16. It is a variable for tests.
var cudaUnpackRoom = 144 << 20

// roundUp returns the smallest multiple of step that is at least n.
func roundUp(n, step int) int { return (n + step - 1) / step * step }

// divideUp returns n/d, rounded up.
func divideUp(n, d int) int { return (n + d - 1) / d }

// cudaLayout says where the parts of a weight lie in its memory, in bytes.
type cudaLayout struct {
	pitch                 int // of a row
	scales, nested, table int
	total                 int
}

// cudaLayoutOf returns the layout of a weight.
func cudaLayoutOf(kind Kind, out, in int) cudaLayout {
	var row, scales, nested, table int
	switch kind {
	case F32:
		row = 4 * in
	case BF16:
		row = 2 * in
	case Int8:
		row, scales = in, 4*out*int8Blocks(in)
	default:
		row, table = divideUp(in, 2), 4*cudaTable
		blocks := divideUp(out*in, nf4Block)
		if scales = 4 * blocks; kind == NF4 {
			scales, nested = blocks, 4*divideUp(blocks, nf4NestedBlock)
		}
	}
	l := cudaLayout{pitch: roundUp(row, cudaRowAlign)}
	l.scales = roundUp(out*l.pitch, cudaPartAlign)
	l.nested = roundUp(l.scales+scales, cudaPartAlign)
	l.table = roundUp(l.nested+nested, cudaPartAlign)
	l.total = l.table + table
	return l
}

// cudaWeightBytes returns what a weight takes.
func cudaWeightBytes(kind Kind, out, in int) int64 { return int64(cudaLayoutOf(kind, out, in).total) }

// cudaRoom takes room in an arena as the CUDA engine's operations do.
type cudaRoom struct {
	bf16 bool // products with frozen weights round to bfloat16
}

// rounds reports whether products with weights of a kind take both factors in bfloat16.
func (r cudaRoom) rounds(kind Kind) bool { return r.bf16 && kind != F32 }

// elementBytes returns the bytes of a factor's element in products with a kind.
func (r cudaRoom) elementBytes(kind Kind) int {
	if r.rounds(kind) {
		return 2
	}
	return 4
}

// unpacks reports whether weights of a kind are unpacked for large products.
func (r cudaRoom) unpacks(kind Kind) bool { return kind.Quantized() || kind == BF16 && !r.bf16 }

// takeBytes takes a number of bytes.
func takeBytes(m arena, n int) View { return m.Temp(1, divideUp(n, 4)) }

// factor is the room for x [rows, cols] as a factor of a product with a weight: rounded,
// its rows at multiples of 16 bytes, or none.
func (r cudaRoom) factor(m arena, rows, cols int, kind Kind) View {
	if !r.rounds(kind) {
		return View{}
	}
	return takeBytes(m, 2*rows*roundUp(cols, 8))
}

// unpackRows returns how many of n rows of a weight are unpacked at a time.
func (r cudaRoom) unpackRows(kind Kind, n, in int) int {
	most := max(64, cudaUnpackRoom/(r.elementBytes(kind)*roundUp(max(in, 1), 8)))
	return min(n, roundUp(divideUp(n, divideUp(n, most)), 64))
}

// unpacked is the room for as many of n rows of a weight as are unpacked at a time, or none.
func (r cudaRoom) unpacked(m arena, kind Kind, n, in int) View {
	if !r.unpacks(kind) || n == 0 {
		return View{}
	}
	return takeBytes(m, r.elementBytes(kind)*r.unpackRows(kind, n, in)*roundUp(in, 8))
}

// linearRoom is what Linear keeps in the arena.
type linearRoom struct {
	low     View // parts of the product with A
	parts   View // parts of the product with the weight, where few rows are streamed
	rounded View // the input
	weight  View // unpacked
}

// linear is the room of Linear.
func (r cudaRoom) linear(m arena, x View, l *Linear) (room linearRoom) {
	if x.Rows == 0 {
		return room
	}
	kind, out, in := l.W.Kind(), l.W.Out(), l.W.In()
	if p := r.stream(kind, x.Rows, out, in); p.streams {
		if l.branch() {
			room.low = m.Temp(p.lowParts, x.Rows*l.A.Rows)
		}
		if p.splits > 1 {
			room.parts = m.Temp(p.splits, x.Rows*out)
		}
		return room
	}
	if l.branch() {
		room.low = m.Temp(divideUp(in, lowStretch(x.Rows, in)), x.Rows*l.A.Rows)
	}
	room.rounded = r.factor(m, x.Rows, in, kind)
	room.weight = r.unpacked(m, kind, out, in)
	return room
}

// linearBackRoom is what LinearBack keeps in the arena.
type linearBackRoom struct {
	dh      View // the gradient of the low-rank activations
	low     View // its parts
	rounded View // the output's gradient
	weight  View // unpacked
	grad    View // parts of one parameter gradient at a time
}

// linearBack is the room of LinearBack.
func (r cudaRoom) linearBack(m arena, dx, dy, x View, l *Linear) (room linearBackRoom) {
	if x.Rows == 0 {
		return room
	}
	kind, out, in := l.W.Kind(), l.W.Out(), l.W.In()
	if l.branch() {
		room.dh = m.Temp(x.Rows, l.A.Rows)
		room.low = m.Temp(divideUp(out, lowStretch(x.Rows, out)), x.Rows*l.A.Rows)
	}
	if !dx.IsNone() {
		room.rounded = r.factor(m, x.Rows, out, kind)
		room.weight = r.unpacked(m, kind, out, in)
	}
	grad := 0
	count := func(g View, rank, cols int) {
		if !g.IsNone() {
			grad = max(grad, divideUp(x.Rows, gradStretch(x.Rows, rank, cols))*rank*cols)
		}
	}
	count(l.DBias, 1, out)
	if l.branch() {
		count(l.DB, l.A.Rows, out)
		count(l.DA, l.A.Rows, in)
	}
	if grad > 0 {
		room.grad = m.Temp(1, grad)
	}
	return room
}

// The tiles of kernels/lowrank.cuh and kernels/linear.cu.
const (
	lowRows, lowRank, lowChunk = 32, 16, 128
	lowShared                  = 2 * 4 * (lowRows + lowRank) * (lowChunk + 4) // bytes
	gradCols, gradRows         = 128, 64
	maxLowParts                = 16
)

// lowStretch returns how many columns of an input a block of the way down takes.
func lowStretch(rows, cols int) int {
	parts := min(maxLowParts, divideUp(cudaBlocks, divideUp(rows, lowRows)))
	return max(lowChunk, roundUp(divideUp(cols, parts), lowChunk))
}

// gradStretch returns how many rows of a batch a block of a branch's gradient takes.
func gradStretch(rows, rank, cols int) int {
	parts := divideUp(cudaBlocks, divideUp(cols, gradCols)*divideUp(rank, lowRank))
	return roundUp(divideUp(rows, parts), gradRows)
}

// cudaStream says how a product of few rows with a weight is cut between blocks and warps.
type cudaStream struct {
	streams  bool // false: the product is too large, or the weight's blocks lie across rows
	tile     int  // rows of the weight that a warp takes
	count    int  // rows of the input that a block takes
	across   int  // warps of a block that share columns
	splits   int  // stretches of columns
	stretch  int  // columns of one
	shared   int  // bytes, without a branch
	lowParts int  // stretches of columns of the branch
	lowWidth int  // columns of one
}

// The measures of kernels/stream.cuh.
const (
	streamRows   = 32       // of an input, at most
	streamWarps  = 8        // of a block
	streamWanted = 2112     // warps that keep a large device's memory busy: 16 a multiprocessor
	streamInput  = 40 << 10 // bytes of the input in a block's shared memory
	streamTables = 256*16*8 + 256*4
)

// stream cuts the product of rows of an input with a weight.
func (r cudaRoom) stream(kind Kind, rows, out, in int) (p cudaStream) {
	nf4 := kind == NF4 || kind == NF4Single
	if rows == 0 || rows > streamRows || in == 0 || out == 0 || nf4 && in%nf4Block != 0 {
		return p
	}
	p.streams = true
	unit := [...]int{F32: 4, BF16: 8, NF4: 32, NF4Single: 32, Int8: 16}[kind]
	chunk, column := 32*unit, 0
	if r.rounds(kind) {
		chunk, p.tile, p.count = 4*unit, 16, 8
		for p.count < rows {
			p.count *= 2
		}
		column = 2 * rows
	} else {
		p.tile, p.count = 2, 1
		if rows > 1 {
			p.count = 8
		}
		column = 4 * p.count
	}
	chunks := divideUp(in, chunk)
	p.splits = divideUp(chunks, max(1, streamInput/(chunk*column)))
	p.cut(divideUp(out, p.tile)*divideUp(rows, p.count), chunks, r.rounds(kind))
	p.stretch = divideUp(chunks, p.splits) * chunk
	p.splits = divideUp(chunks*chunk, p.stretch)
	sums := 4 * streamWarps * p.tile * p.count
	if r.rounds(kind) {
		p.shared = sums + rows*(2*p.stretch+64)
	} else {
		p.shared = max(sums, 4*p.count*p.stretch)
	}
	if nf4 {
		p.shared += streamTables
	}
	p.lowWidth = lowStretch(rows, in)
	p.lowParts = divideUp(in, p.lowWidth)
	return p
}

// cut divides chunks of columns between warps and blocks so that each warp has two chunks at
// least and tiles of rows make enough warps. Where blocks go through many tiles, all warps
// of one share its columns, so that the last tiles are small.
func (p *cudaStream) cut(tiles, chunks int, many bool) {
	room := func() bool { return chunks >= 4*p.across*p.splits }
	p.across = 1
	for p.across < streamWarps && room() && (many || tiles*p.across*p.splits < streamWanted) {
		p.across *= 2
	}
	for room() && tiles*p.across*p.splits < streamWanted/2 {
		p.splits *= 2
	}
}
