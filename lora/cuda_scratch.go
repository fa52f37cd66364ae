package lora

var _ scratcher = cudaRoom{}

// cudaFamily is what OpenDry knows of CUDA engines.
func cudaFamily(bf16 bool) dryFamily {
	return dryFamily{size: 4, staging: cudaStaging, weightBytes: cudaWeightBytes, needs: cudaRoom{bf16: bf16}}
}

// cudaStaging is what an engine holds of the device beside weights, views and arena: a
// mirror of its ring for transfers, one for steps that come again, an outbox, and cuBLAS's
// workspace. All are package cuda's.
const cudaStaging = 8<<20 + 1<<20 + 1<<20 + 32<<20 // bytes

// linearScratch is the room of Linear.
func (r cudaRoom) linearScratch(m arena, x View, l *Linear) {
	defer m.Reset(m.Mark())
	r.linear(m, x, l)
}

// linearBackScratch is the room of LinearBack.
func (r cudaRoom) linearBackScratch(m arena, dx, dy, x View, l *Linear) {
	defer m.Reset(m.Mark())
	r.linearBack(m, dx, dy, x, l)
}

// normWeightRows is how many rows a block adds up for the gradient of a norm's weight.
const normWeightRows = 256

// normBack is the room of RMSNormBack: the rows' 1/rms, and sums over pieces of rows.
func (r cudaRoom) normBack(m arena, x View) (inverse, partial View) {
	return m.Temp(1, x.Rows), m.Temp(divideUp(x.Rows, normWeightRows), x.Cols)
}

// rmsNormBackScratch is the room of RMSNormBack, whether or not the weight is trained.
func (r cudaRoom) rmsNormBackScratch(m arena, x View) {
	defer m.Reset(m.Mark())
	r.normBack(m, x)
}

// attentionScratch is the room of Attention.
func (r cudaRoom) attentionScratch(m arena, q View, t Tree, s HeadShape) {
	defer m.Reset(m.Mark())
	r.attention(m, q, t, s)
}

// rowsForSpeed fills a large GPU's multiprocessors several times.
func (r cudaRoom) rowsForSpeed() int { return 16384 }

// attentionBackScratch is the room of AttentionBack.
func (r cudaRoom) attentionBackScratch(m arena, q View, t Tree, s HeadShape) {
	defer m.Reset(m.Mark())
	r.attentionBack(m, q, t, s)
}
