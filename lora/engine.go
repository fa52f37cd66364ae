package lora

import "gorgonia.org/tensor"

// Engine computes the operations of a transformer on one device and owns the memory
// they work on. The model calls operations on views and never sees an element, so
// that one model serves every engine.
//
// Engines:
//
//	Open("cpu")      float32, Go and Go assembly, chosen by what the CPU can do
//	Open("float64")  plain loops in float64: the reference that others are held to
//	Open("cuda:0")   an NVIDIA GPU, bfloat16 with sums in float32, or float32 as
//	                 cuda:0:f32; needs the build tag cuda
//
// An engine is also a gorgonia tensor engine: tensor.MatMul on tensors that were
// made with tensor.WithEngine(engine) runs the engine's own product.
//
// Conventions that hold for every operation: T, N, M are numbers of rows; weights
// are stored [out, in]; activation gradients are overwritten, parameter gradients
// (fields and arguments named after a parameter: dw, DA, ...) are added to; outputs
// may not overlap inputs unless the comment says "in place"; shapes that do not fit
// panic, because they are mistakes of the program. Operations on a device that
// failed do nothing; Sync, Read and the operations that return numbers report the
// first failure.
//
// One goroutine at a time may call an engine. Results do not depend on how many
// threads the engine uses, and the same calls in the same order give the same bytes. On
// the CPU a row's result does not depend on the other rows; on CUDA the number of rows
// may choose among kernels that add in another order, so that it does within rounding.
type Engine interface {
	tensor.Engine
	Memory
	Elementwise
	Transformer
	Head
	Optimizer

	// Name says which engine and variant this is, for example "cpu avx512".
	Name() string
	// Sync waits until all operations are done and returns the first failure
	// since the last call, if any.
	Sync() error
	// Close releases all memory. The engine cannot be used afterwards.
	Close() error
}

// Memory is the part of an [Engine] that holds numbers.
type Memory interface {
	// NewView makes a matrix of zeros that lives until FreeView.
	NewView(rows, cols int) View
	// FreeView gives back what NewView made. The zero View is ignored.
	FreeView(View)

	// Temp makes a matrix in the arena, with undefined contents. It lives until
	// the arena is reset to a mark taken before.
	Temp(rows, cols int) View
	// Reserve tells that the arena, where it is empty, is about to hold so many bytes,
	// so that they can lie in one piece. It changes no result.
	Reserve(bytes int64)
	// Mark returns the arena's present end.
	Mark() Mark
	// Reset gives back all that Temp made since the mark.
	Reset(Mark)

	// Write copies Rows × Cols numbers, row by row, into the view.
	Write(dst View, src []float32)
	// Read copies the view's numbers out, row by row. It waits for the operations
	// before it.
	Read(dst []float32, src View) error

	// NewWeight takes over a frozen matrix [out, in] in the engine's own layout
	// and at the given precision. The tensor's bytes are not needed afterwards. A
	// tensor that is in 4 bits keeps its codes and scales under NF4 and NF4Single,
	// whichever of the two it is, and stands for its numbers under the other kinds.
	// The numbers of a quantised weight are the same on every engine: each is
	// computed in float32 from its code, and everything after that as for F32.
	NewWeight(t Tensor, kind Kind) (Weight, error)
	// ViewWeight makes a weight of a view [out, in] without copying: it follows
	// the view as that is trained.
	ViewWeight(v View) Weight

	// Stats returns the memory in use and the arena's highest use so far.
	Stats() MemoryStats
}

// Mark is a position in an engine's arena.
type Mark int

// MemoryStats counts bytes.
type MemoryStats struct {
	Weights   int64 // frozen weights
	Views     int64 // made by NewView: adapters, gradients, moments, caches
	Arena     int64 // in the arena now
	ArenaPeak int64 // the most that ever was in the arena
	Staging   int64 // of the device for transfers and libraries, whatever is computed; 0 on the host
}

// Kind is the precision in which a frozen weight is kept.
type Kind int

// Kinds of weights. Arithmetic is float32 (float64 on the reference engine) whatever
// the kind; but an engine whose name ends in bf16 rounds what it multiplies a BF16
// weight with to bfloat16 too, to nearest even, and sums in float32. On CUDA it does so
// for quantised weights as well, whose numbers it rounds likewise, and in attention. In
// tiles (amxbf16) that holds for gradients on their way back through quantised weights;
// forward, 64 neighbours of a row at a time are rounded to multiples of 1/16256 of the
// largest, the numbers of 4 bits likewise, and products are summed without rounding, where
// the weight's rows are whole blocks of 64.
const (
	F32       Kind = iota // as read, 4 bytes each
	BF16                  // rounded to nearest even, 2 bytes each
	NF4                   // 4 bits and scales in 8 bits, 0.516 bytes each: see [QuantizeNF4]
	NF4Single             // 4 bits and scales in float32, 0.563 bytes each
	Int8                  // 8 bits and a scale in float32 for each 64 of a row, 1.063 bytes each
)

// kindNames holds the name of each kind.
var kindNames = [...]string{F32: "f32", BF16: "bf16", NF4: "nf4", NF4Single: "nf4-single", Int8: "int8"}

// Kinds returns all kinds of weights, in the order of their values.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Quantized reports whether the kind keeps codes with scales rather than numbers.
func (k Kind) Quantized() bool { return k == NF4 || k == NF4Single || k == Int8 }

// String returns the kind's usual name.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown kind"
	}
	return kindNames[k]
}

// Weight is a matrix [out, in] in an engine's own layout. One copy serves the
// forward product, the backward product and the gathering of rows.
type Weight interface {
	Out() int     // rows: output features
	In() int      // columns: input features
	Kind() Kind   // precision
	Bytes() int64 // memory in use; 0 for a weight made of a view
	Release()     // gives the memory back; the weight cannot be used afterwards
}

// Elementwise is the part of an [Engine] that works on elements and rows.
type Elementwise interface {
	// Zero sets every element to 0.
	Zero(v View)
	// Copy sets dst = src.
	Copy(dst, src View)
	// Accumulate sets dst += src. (The name Add belongs to tensor.Adder.)
	Accumulate(dst, src View)
	// Scale sets v *= s.
	Scale(v View, s float64)
	// SumSquares returns the sum of the squares of all elements, summed in float64.
	SumSquares(v View) (float64, error)

	// Gather sets dst[i] = w[ids[i]]: rows of an embedding table, dst [len(ids), in].
	Gather(dst View, w Weight, ids []int32)
	// ScatterAdd adds dw[ids[i]] += d[i] in the order of i: the gradient of Gather.
	ScatterAdd(dw, d View, ids []int32)
	// Pick sets dst[i] = src[rows[i]].
	Pick(dst, src View, rows []int32)
	// Put sets dst[rows[i]] = src[i]; the rows are distinct. It appends to caches.
	Put(dst, src View, rows []int32)
}

// Transformer is the part of an [Engine] that computes a block.
type Transformer interface {
	// RMSNorm sets y[t,d] = x[t,d] · w[d] / sqrt(mean_d(x[t,d]²) + eps).
	// Zhang and Sennrich, 2019.
	RMSNorm(y, x, w View, eps float64)
	// RMSNormBack sets dx and, unless dw is the zero View, adds to dw [1, D].
	// With r = 1/sqrt(mean(x²)+eps) and g = dy·w:
	//
	//	dx[t,d] = r·g[d] − r³·x[d]·mean_j(g[j]·x[j]),  dw[d] += Σ_t dy[t,d]·x[t,d]·r[t]
	RMSNormBack(dx, dy, x, w, dw View, eps float64)

	// RotaryTable sets cos[t,i] = cos(a), sin[t,i] = sin(a) for the angle
	// a = positions[t] · invFreq[i], both factors and the product in float32.
	RotaryTable(cos, sin View, positions []int32, invFreq []float32)
	// Rotary turns, in place, every head of x [T, heads·2n] by the table's angles
	// [T, n]: (x[i], x[i+n]) becomes (x[i]·c − x[i+n]·s, x[i+n]·c + x[i]·s).
	// Inverse turns back, which is also the gradient. Su et al., 2021, in the
	// half-split layout.
	Rotary(x, cos, sin View, heads int, inverse bool)

	// SwiGLU sets y = silu(gate) · up with silu(a) = a/(1+exp(−a)). Shazeer, 2020.
	SwiGLU(y, gate, up View)
	// SwiGLUBack sets dgate and dup. They may be gate and up themselves.
	SwiGLUBack(dgate, dup, dy, gate, up View)

	// Linear sets y[T,out] = x[T,in]·Wᵀ + bias + Scale · drop(x)·Aᵀ·Bᵀ. Unless l
	// has no branch, h [T,R] receives drop(x)·Aᵀ, which the backward pass needs.
	Linear(y, x View, l *Linear, h View)
	// LinearBack computes the gradients of Linear. With s = Scale and D the
	// dropout mask over its keep rate:
	//
	//	dx  = dy·W + (s·dy·B·A)∘D     (dx += ... where add is set; dx may be the zero View)
	//	DB += s·dyᵀ·h,  DA += s·(dy·B)ᵀ·(x∘D),  DW += dyᵀ·x,  DBias += Σ_t dy[t]
	LinearBack(dx, dy, x View, l *Linear, h View, add bool)

	// Attention sets o [Q rows, Heads·HeadDim]: for each query row and head the
	// soft-max over the keys that the tree lets it see, of q·k/sqrt(HeadDim),
	// times their values. q has o's shape; k and v have KVHeads·HeadDim columns,
	// head h reads key head h·KVHeads/Heads. lse [Q rows, Heads] receives the
	// logarithm of each soft-max's denominator. Rows of o that no node claims are
	// not written.
	Attention(o, lse, q, k, v View, t Tree, s HeadShape)
	// AttentionBack sets dq, dk and dv for a tree in which no two nodes share a key
	// row. Rows of dq that no node claims, and rows of dk and dv that no query sees,
	// are not written.
	AttentionBack(dq, dk, dv, do, o, lse, q, k, v View, t Tree, s HeadShape)
}

// Linear describes a linear layer with an optional low-rank branch and the places
// for its gradients. Zero Views stand for what is absent or not wanted.
type Linear struct {
	W     Weight  // [out, in]
	Bias  View    // [1, out]
	A, B  View    // [R, in], [out, R]; both or neither
	Scale float64 // of the branch
	Drop  Dropout // of the branch's input

	DW, DBias, DA, DB View // gradients, added to
}

// Dropout zeroes each element of a layer's input with probability P and divides the
// others by 1−P. Element (t, j) of an input with n columns is dropped where
// Key.Uniform((Row0+t)·n + j) < P, compared in float32, so that the backward pass
// finds the same mask without storing it. P = 0 keeps everything; P lies in [0, 1).
type Dropout struct {
	P    float64
	Key  Key
	Row0 uint64 // index of the input's first row within the optimiser step
}

// HeadShape describes attention heads.
type HeadShape struct {
	Heads   int // query heads
	KVHeads int // key and value heads; divides Heads
	HeadDim int // elements a head; at most 256 on CUDA

	// Relaxed allows products within 2⁻¹⁵ of the sum of their terms' magnitudes in place
	// of float32's: where what comes before and after is rounded to bfloat16, that is not
	// felt. The CPU with tiles is several times faster so; other engines do as without.
	Relaxed bool
}

// Tree says what each query row may see. A row sees all keys of its node's
// ancestors, and of its own node those up to and with itself. Parents stand before
// their children, and the query rows of a node are followed by those of its
// descendants: rows are in depth-first order.
type Tree []Node

// Node is a run of keys with queries at its end.
type Node struct {
	Parent int32 // index of an earlier node, or -1
	KV     int32 // first row of the node's keys and values
	Len    int32 // number of keys
	Q      int32 // first query row
	Rows   int32 // number of query rows: they belong to the last Rows keys
}

// Head is the part of an [Engine] at the vocabulary's end of the model.
type Head interface {
	// LogProbs computes, for rows h [N, D] and the output matrix w [V, D], the
	// log-probability of each target under soft-max(h·wᵀ/temperature) without
	// holding [N, V] at once. It fills out.LogProb (a number each target), out.LSE
	// (the logarithm of each row's denominator) and, where out.Entropy is not nil,
	// the entropy of each row in nats.
	LogProbs(out *HeadOutput, h View, w Weight, targets []HeadTarget, temperature float64) error
	// LogProbsBack sets dh from the derivatives d of a loss with respect to each
	// target's log-probability, and adds to dw [V, D] unless that is the zero View:
	//
	//	dlogit[n,v] = Σ_{targets t on row n} d[t]·(1[v = token] − p[n,v]) / temperature
	//	dh = dlogit·w,  dw += dlogitᵀ·h
	LogProbsBack(dh, dw, h View, w Weight, targets []HeadTarget, lse, d []float64, temperature float64)

	// Sample draws one token a row of logits [N, V]. It returns the tokens and, for
	// each, its log-probability under soft-max(logits/temperature), before any
	// penalty, filter or mask (temperature 1 where the row is greedy). A row in
	// which nothing can be drawn, because no token is allowed or a logit is NaN or
	// +Inf, is an error that names the row.
	Sample(tokens []int32, logProbs []float64, logits View, rows []Sampling) error
}

// HeadTarget asks for one log-probability: of a token, read at a row.
type HeadTarget struct {
	Row   int32
	Token int32
}

// HeadOutput receives what [Head].LogProbs computes. The caller sizes the slices.
type HeadOutput struct {
	LogProb []float64 // one a target
	LSE     []float64 // one a row
	Entropy []float64 // one a row; nil where it is not wanted
}

// Sampling says how one row's token is drawn. The steps are applied in this order:
// repetition penalty, token mask, temperature, top-k, top-p, min-p, draw. The draw
// adds Gumbel noise −log(−log(Uniform(v))) of the row's key to each remaining
// logit v and takes the largest, the lower token on a tie, so that it depends on
// nothing but the row and the key.
type Sampling struct {
	Temperature float64  // 0: the largest logit, no noise
	TopK        int      // keep the k largest (ties with the k-th stay); 0: all
	TopP        float64  // keep the fewest tokens whose probability reaches p; 0, or 1 and more: all
	MinP        float64  // keep tokens of at least MinP times the largest probability, at most 1, which keeps the largest; 0: all
	Penalty     float64  // Seen logits are divided (positive) or multiplied (negative) by it; 0 or 1: none
	Seen        []int32  // tokens that the penalty applies to, in any order, repeats allowed
	Allowed     []uint64 // bit v%64 of word v/64 allows token v; nil: all
	Key         Key
}

// Optimizer is the part of an [Engine] that updates parameters.
type Optimizer interface {
	// AdamWStep updates a parameter p from its gradient g, with moments m and v:
	//
	//	g' = g·GradScale;  m = β1·m + (1−β1)·g';  v = β2·v + (1−β2)·g'²
	//	p  = p·(1 − LR·WeightDecay) − LR · (m/(1−β1ᵗ)) / (sqrt(v/(1−β2ᵗ)) + Eps)
	//
	// Loshchilov and Hutter, 2019.
	AdamWStep(p, g, m, v View, s AdamWStep)
}

// AdamWStep holds the numbers of one optimiser step.
type AdamWStep struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	GradScale                          float64 // the clipping factor
	Step                               int     // t, from 1
}
