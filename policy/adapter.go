package policy

import (
	"fmt"
	"math"
	"strconv"

	"github.com/socialrl/socialrl/lora"
)

// linearNames are the linear layers of a block, in the order of computation.
var linearNames = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// NewAdapter makes a new adapter for a base: low-rank branches on the targeted
// layers and, where the configuration asks for one, a scalar head. As in PEFT, A is
// uniform within ±1/sqrt(in), B is zero, and the head starts as the base's own or
// from a normal distribution of deviation InitializerRange.
func NewAdapter(base *Base, cfg lora.Config, seed uint64) (*lora.Adapter, error) {
	a, err := emptyAdapter(base, cfg)
	if err != nil {
		return nil, err
	}
	for i, p := range a.Params() {
		_, part, _ := lora.ParseAdapterName(p.Name)
		key := lora.Key{Seed: seed, Purpose: lora.ForInit, Index: uint32(i), Step: 1}
		switch part {
		case lora.PartA:
			base.eng.Write(p.Value, uniform(p.Value.Len(), 1/math.Sqrt(float64(p.Value.Cols)), key))
		case lora.PartWhole:
			base.startHead(p.Value, key)
		}
	}
	return a, base.eng.Sync()
}

func uniform(n int, bound float64, key lora.Key) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(bound * (2*float64(key.Uniform(uint64(i))) - 1))
	}
	return v
}

func (b *Base) startHead(v lora.View, key lora.Key) {
	if b.score != nil {
		b.eng.Gather(v, b.score, []int32{0})
		return
	}
	t := initial(scoreName, []int{1, v.Cols}, b.cfg.InitializerRange, key)
	values, _ := t.Floats()
	b.eng.Write(v, values)
}

// emptyAdapter makes the parameters of an adapter, all zero.
func emptyAdapter(base *Base, cfg lora.Config) (*lora.Adapter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	shapes := base.linearShapes()
	paths := make([]string, 0, len(shapes))
	for i := range base.layers {
		for _, name := range linearNames {
			paths = append(paths, lora.LinearModule(i, name))
		}
	}
	targeted, err := cfg.Targeted(paths)
	if err != nil {
		return nil, err
	}
	if cfg.Rank > 0 && len(targeted) == 0 {
		return nil, fmt.Errorf("policy: none of the target modules %v%s is a linear layer of the model, want some of %v", cfg.Targets, cfg.TargetPattern, linearNames)
	}
	a := lora.NewAdapter(base.eng, cfg)
	for _, path := range targeted {
		w := shapes[path]
		a.Add(lora.AdapterName(path, lora.PartA), cfg.Rank, w.In())
		a.Add(lora.AdapterName(path, lora.PartB), w.Out(), cfg.Rank)
	}
	if cfg.Head {
		a.Add(lora.AdapterName(lora.HeadModule, lora.PartWhole), 1, base.cfg.HiddenSize)
	}
	return a, nil
}

// linearShapes maps the path of every linear layer to its weight.
func (b *Base) linearShapes() map[string]lora.Weight {
	shapes := map[string]lora.Weight{}
	for i := range b.layers {
		for j, l := range b.layers[i].linears() {
			shapes[lora.LinearModule(i, linearNames[j])] = l.w
		}
	}
	return shapes
}

// LoadAdapter reads a PEFT directory for a base. Tensors that the base has no place
// for, or of another shape, are an error that lists them.
func LoadAdapter(base *Base, dir string) (*lora.Adapter, error) {
	cfg, tensors, err := lora.ReadAdapterFiles(dir)
	if err != nil {
		return nil, err
	}
	a, err := emptyAdapter(base, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := a.SetTensors(tensors); err != nil {
		a.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return a, nil
}

// SaveAdapter writes a PEFT directory that PEFT loads.
func SaveAdapter(a *lora.Adapter, dir string) error {
	tensors, err := a.Tensors()
	if err != nil {
		return err
	}
	return lora.WriteAdapterFiles(dir, a.Config, tensors)
}

// NewFull returns an adapter for full fine-tuning: a private float32 copy of every
// tensor of the base, under the base's own names.
func NewFull(base *Base) (*lora.Adapter, error) {
	a := lora.NewAdapter(base.eng, lora.Config{})
	for _, t := range base.cfg.Tensors() {
		if base.lookup(t.Name).present() {
			base.copyOut(a.Add(t.Name, t.Shape...).Value, t.Name)
		}
	}
	return a, base.eng.Sync()
}

// part is a tensor of a base: a matrix or a vector.
type part struct {
	w lora.Weight
	v lora.View
}

func (p part) present() bool { return p.w != nil || !p.v.IsNone() }

// lookup finds a tensor of the base by its name in a checkpoint.
func (b *Base) lookup(name string) part {
	switch name {
	case embedName:
		return part{w: b.embed}
	case headName:
		return part{w: b.head}
	case scoreName:
		return part{w: b.score}
	case finalNormName:
		return part{v: b.norm}
	}
	return b.partOfLayer(name)
}

func (b *Base) partOfLayer(name string) part {
	for i := range b.layers {
		l := &b.layers[i]
		at := layerPrefix(i)
		switch name {
		case at + attnNormName:
			return part{v: l.attnNorm}
		case at + mlpNormName:
			return part{v: l.mlpNorm}
		case at + qNormName:
			return part{v: l.qNorm}
		case at + kNormName:
			return part{v: l.kNorm}
		}
		for j, m := range l.linears() {
			switch name {
			case lora.LinearModule(i, linearNames[j]) + ".weight":
				return part{w: m.w}
			case lora.LinearModule(i, linearNames[j]) + ".bias":
				return part{v: m.bias}
			}
		}
	}
	return part{}
}

// copyOut copies a tensor of the base into a view of its shape.
func (b *Base) copyOut(dst lora.View, name string) {
	p := b.lookup(name)
	if p.w == nil {
		b.eng.Copy(dst, p.v)
		return
	}
	ids := make([]int32, p.w.Out())
	for i := range ids {
		ids[i] = int32(i)
	}
	b.eng.Gather(dst, p.w, ids)
}

// String describes the base in a line.
func (b *Base) String() string {
	return b.cfg.ModelType + " " + strconv.Itoa(len(b.layers)) + "x" + strconv.Itoa(b.cfg.HiddenSize) + " on " + b.eng.Name()
}
