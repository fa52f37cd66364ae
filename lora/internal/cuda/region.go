//go:build cuda && cgo

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"slices"
	"unsafe"
)

// A region is a stretch of calls that a program makes again and again, such as a step of
// decoding. The first time its launches are noted. When it comes again with the same
// launches, they are held back, and at its end all of them are launched as one graph,
// after one copy of all that was staged. Where a call differs, what was held back is
// launched alone, and the rest noted anew. So a region computes what its calls compute
// alone, whatever they are.
type region struct {
	open      bool
	following bool // calls so far are those of rec, and held back
	pos       int  // calls so far
	rec       *recording

	host    pinned // what is staged in regions, from the beginning in each
	mirror  Ptr
	at      int64
	busy    bool // copies from host may be under way
	retired []pinned

	recordings map[uint64]*recording
	clock      int64
}

// recording is a region's calls.
type recording struct {
	commands []command
	words    []uint64
	staged   int64 // bytes that the commands stage
	graph    C.CUgraphExec
	hopeless bool // the driver makes no graph of it
	used     int64
}

// command is a launch, or a copy of staged data where the launch's block is 0.
type command struct {
	call      C.driver_call
	first     int   // of the launch's words
	at, bytes int64 // of the copy
}

const (
	regionSize    = 1 << 20 // bytes
	maxRecordings = 32
	minGraph      = 4 // calls that are worth a graph
)

// Begin opens a region. The key tells regions apart whose calls are likely to differ; any
// key is right.
func (d *Device) Begin(key uint64) {
	r := &d.region
	if r.open {
		panic("cuda: region inside a region")
	}
	if r.busy {
		d.wait()
	}
	if d.first != nil {
		return
	}
	if r.host.memory == nil && d.growRegion(regionSize) != nil {
		return // the calls do without
	}
	r.clock++
	rec := r.recordings[key]
	r.following = rec != nil
	if rec == nil {
		rec = &recording{}
		d.keep(key, rec)
	}
	rec.used = r.clock
	r.rec, r.pos, r.at, r.open = rec, 0, 0, true
}

// End closes the region and launches what was held back. Without a region it does
// nothing.
func (d *Device) End() { d.Flush() }

// Flush ends the region, if one is open, before its end: what follows is launched alone.
func (d *Device) Flush() {
	r := &d.region
	if !r.open {
		return
	}
	r.open = false
	if !r.following {
		return
	}
	r.following = false
	rec := r.rec
	if r.pos < len(rec.commands) {
		d.issueHeld()
		rec.cut(d, r.pos)
		return
	}
	if rec.graph == nil && !rec.hopeless && len(rec.commands) >= minGraph {
		d.makeGraph(rec)
	}
	if rec.graph == nil {
		d.issueHeld()
		return
	}
	d.launchGraph(rec)
}

// growRegion makes the staging memory of regions larger. Graphs that copy from the old
// one are given up.
func (d *Device) growRegion(bytes int64) error {
	host, mirror, err := d.pinMirrored(bytes)
	if err != nil {
		return err
	}
	r := &d.region
	d.dropRecordings()
	if r.host.memory != nil {
		r.retired = append(r.retired, r.host)
	}
	r.host, r.mirror, r.recordings = host, mirror, map[uint64]*recording{}
	return nil
}

// keep stores a recording in place of the one that was used longest ago.
func (d *Device) keep(key uint64, rec *recording) {
	r := &d.region
	if len(r.recordings) >= maxRecordings {
		oldest, first := uint64(0), true
		for k, old := range r.recordings {
			if first || old.used < r.recordings[oldest].used {
				oldest, first = k, false
			}
		}
		r.recordings[oldest].cut(d, 0)
		delete(r.recordings, oldest)
	}
	r.recordings[key] = rec
}

// dropRecordings forgets all recordings.
func (d *Device) dropRecordings() {
	for _, rec := range d.region.recordings {
		rec.cut(d, 0)
	}
	d.region.recordings = nil
}

// cut keeps the first n commands and gives up the graph.
func (rec *recording) cut(d *Device, n int) {
	if rec.graph != nil {
		C.driver_graph_exec_destroy(d.context, rec.graph)
		rec.graph = nil
	}
	words, staged := 0, int64(0)
	for i := range rec.commands[:n] {
		c := &rec.commands[i]
		words += int(c.call.words)
		staged = max(staged, c.at+c.bytes)
	}
	rec.commands, rec.words, rec.staged, rec.hopeless = rec.commands[:n], rec.words[:words], staged, false
}

// synced notes that no copy from the region's memory is under way.
func (r *region) synced() { r.busy = false }

// stageInRegion is Stage in an open region: every piece has a place of its own.
func (d *Device) stageInRegion(data []byte) Ptr {
	r := &d.region
	n := int64(len(data))
	if r.at+n > r.host.size {
		d.Flush() // first, as what is held back reads the old memory
		if err := d.growRegion(2 * max(r.host.size, n)); err != nil {
			d.Fail(fmt.Errorf("staging %s: %w", bytesText(n), err))
			return 0
		}
		return d.Stage(data)
	}
	at := r.at
	r.at += (n + stagingAlign - 1) &^ (stagingAlign - 1)
	copy(r.host.bytes(at, n), data)
	c := command{at: at, bytes: n}
	if r.following && !(r.pos < len(r.rec.commands) && r.rec.commands[r.pos] == c) {
		d.diverge()
	}
	r.pos++
	if !r.following {
		r.rec.commands = append(r.rec.commands, c)
		r.rec.staged = max(r.rec.staged, at+n)
		d.copyStaged(at, n)
	}
	return r.mirror.Add(at)
}

// copyStaged starts the copy of a piece of the region's memory.
func (d *Device) copyStaged(at, n int64) {
	r := &d.region
	r.busy = true
	d.upload(r.mirror.Add(at), unsafe.Add(r.host.memory, at), n)
}

// holdBack notes a launch of the open region. It reports whether the launch is held back.
func (d *Device) holdBack(call *C.driver_call, words []uint64) bool {
	r := &d.region
	if r.following && !r.expects(call, words) {
		d.diverge()
	}
	r.pos++
	if !r.following {
		r.rec.commands = append(r.rec.commands, command{call: *call, first: len(r.rec.words)})
		r.rec.words = append(r.rec.words, words...)
	}
	return r.following
}

// expects reports whether a launch is the one that the recording has next.
func (r *region) expects(call *C.driver_call, words []uint64) bool {
	if r.pos >= len(r.rec.commands) {
		return false
	}
	c := &r.rec.commands[r.pos]
	return c.call == *call && slices.Equal(r.rec.words[c.first:][:len(words)], words)
}

// diverge launches what was held back, and goes on noting.
func (d *Device) diverge() {
	d.issueHeld()
	d.region.following = false
	d.region.rec.cut(d, d.region.pos)
}

// issueHeld does alone what was held back.
func (d *Device) issueHeld() {
	rec := d.region.rec
	for i := range rec.commands[:d.region.pos] {
		c := &rec.commands[i]
		if c.call.block == 0 {
			d.copyStaged(c.at, c.bytes)
			continue
		}
		d.issue(&c.call, rec.words[c.first:][:c.call.words])
	}
}

// makeGraph makes a graph of a recording: one copy of all that is staged, and the
// launches in their order. Where the driver refuses, the calls go on alone.
func (d *Device) makeGraph(rec *recording) {
	var graph C.CUgraph
	if C.driver_graph_create(d.context, &graph) != C.CUDA_SUCCESS {
		rec.hopeless = true
		return
	}
	defer C.driver_graph_destroy(d.context, graph)
	if d.fillGraph(graph, rec) != C.CUDA_SUCCESS ||
		C.driver_graph_instantiate(d.context, &rec.graph, graph) != C.CUDA_SUCCESS {
		rec.graph, rec.hopeless = nil, true
	}
}

// fillGraph appends the nodes of a recording to an empty graph.
func (d *Device) fillGraph(graph C.CUgraph, rec *recording) C.CUresult {
	var last C.CUgraphNode
	r := &d.region
	if rec.staged > 0 {
		code := C.driver_graph_copy(d.context, graph, &last, C.CUdeviceptr(r.mirror), r.host.memory, C.size_t(rec.staged))
		if code != C.CUDA_SUCCESS {
			return code
		}
	}
	for i := range rec.commands {
		c := &rec.commands[i]
		if c.call.block == 0 {
			continue
		}
		words := (*C.uint64_t)(unsafe.Pointer(unsafe.SliceData(rec.words[c.first:])))
		if code := C.driver_graph_kernel(d.context, graph, &last, &c.call, words); code != C.CUDA_SUCCESS {
			return code
		}
	}
	return C.CUDA_SUCCESS
}

// launchGraph launches the graph of a recording.
func (d *Device) launchGraph(rec *recording) {
	if d.first != nil {
		return
	}
	d.region.busy = true
	d.graphs++
	if code := C.driver_graph_launch(d.context, rec.graph, d.stream); code != C.CUDA_SUCCESS {
		d.fail(fmt.Sprintf("a graph of %d calls, the last %s", len(rec.commands), d.last.String()), code)
	}
}

// closeRegion gives the graphs and the memory of regions back.
func (d *Device) closeRegion() {
	d.dropRecordings()
	for _, p := range append(d.region.retired, d.region.host) {
		d.unpin(p)
	}
}
