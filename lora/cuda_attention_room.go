package lora

// attentionRoom is what Attention keeps in the arena.
type attentionRoom struct {
	k, v, found View // packed keys and values, and which blocks hold something infinite
	o, ends     View // partial results: sums of values; maxima and sums
}

// attention is the room of Attention.
func (r cudaRoom) attention(m arena, q View, t Tree, s HeadShape) (room attentionRoom) {
	if q.Rows == 0 || s.HeadDim > maxHeadDim {
		return room
	}
	cut := r.attentionCut(q.Rows, s, false)
	if cut.packed {
		slots := slotsRoom(t)
		room.k, room.v, room.found = r.packedKeys(m, slots, &cut, s)
	}
	if cut.splits > 0 {
		rows := cut.items(q.Rows*s.Heads/s.KVHeads) * s.KVHeads * cut.tileRows
		room.o, room.ends = m.Temp(rows, s.HeadDim), m.Temp(rows, 2)
	}
	return room
}

// slotsRoom returns for how many slots there is room: at least all keys of a tree.
func slotsRoom(t Tree) int { return roundUp(coarse(keysOf(t), 4), slotsMultiple) }

// keysOf returns the number of keys of a tree.
func keysOf(t Tree) (n int) {
	for _, node := range t {
		n += int(node.Len)
	}
	return n
}

// packedKeys is the room for keys and values in bfloat16.
func (r cudaRoom) packedKeys(m arena, slots int, cut *attentionCut, s HeadShape) (k, v, found View) {
	bytes := 2 * s.KVHeads * slots * cut.cols
	return takeBytes(m, bytes), takeBytes(m, bytes), m.Temp(s.KVHeads, slots/blockSlots)
}

// attentionBackRoom is what AttentionBack keeps in the arena.
type attentionBackRoom struct {
	q, do       View // packed rows in bfloat16
	lse, delta  View // of each key head and packed row
	k, v, found View
	partial     View // partial sums of dk and dv
}

// paddedRows returns for how many packed rows of a key head there is room.
func paddedRows(rows int, s HeadShape) int { return roundUp(rows*s.Heads/s.KVHeads, rowsMultiple) }

// attentionBack is the room of AttentionBack, in which there are at least as many slots as
// rows.
func (r cudaRoom) attentionBack(m arena, q View, t Tree, s HeadShape) (room attentionBackRoom) {
	if q.Rows == 0 || s.HeadDim > maxHeadDim {
		return room
	}
	cut := r.attentionCut(q.Rows, s, true)
	rows, slots := paddedRows(q.Rows, s), roundUp(max(q.Rows, keysOf(t)), slotsMultiple)
	room.lse, room.delta = m.Temp(s.KVHeads, rows), m.Temp(s.KVHeads, rows)
	if cut.packed {
		bytes := 2 * s.KVHeads * rows * cut.cols
		room.q, room.do = takeBytes(m, bytes), takeBytes(m, bytes)
		room.k, room.v, room.found = r.packedKeys(m, slots, &cut, s)
	}
	room.partial = m.Temp(cut.keyPartials(slots)*s.KVHeads*2*cut.keyTile, s.HeadDim)
	return room
}
