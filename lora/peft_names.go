package lora

import (
	"strconv"
	"strings"
)

// HeadModule is the name of the scalar head of a sequence-classification model,
// whose weight is [1, D].
const HeadModule = "score"

// The parts of a module that an adapter's file can hold, for [AdapterName].
const (
	PartA     = "lora_A" // the branch's A, [rank, in]
	PartB     = "lora_B" // the branch's B, [out, rank]
	PartWhole = ""       // the module's own weight, trained: the scalar head's
)

// peftPrefix stands before the path of a module in an adapter's file.
const peftPrefix = "base_model.model."

// LinearModule returns the path of a block's linear layer in a Hugging Face model:
// for layer 3 and "q_proj", "model.layers.3.self_attn.q_proj". A name outside
// [AllLinear] panics.
func LinearModule(layer int, name string) string {
	part := ".mlp."
	switch name {
	case "q_proj", "k_proj", "v_proj", "o_proj":
		part = ".self_attn."
	case "gate_proj", "up_proj", "down_proj":
	default:
		panic("lora: LinearModule: no such linear layer in a block")
	}
	return "model.layers." + strconv.Itoa(layer) + part + name
}

// AdapterName returns the name under which an adapter's file holds a part of the
// module: for "model.layers.0.self_attn.q_proj" and [PartA],
// "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"; for
// [HeadModule] and [PartWhole], "base_model.model.score.weight".
func AdapterName(module, part string) string {
	if part != "" {
		part = "." + part
	}
	return peftPrefix + module + part + ".weight"
}

// ParseAdapterName splits a tensor's name in an adapter's file into module and
// part: the reverse of [AdapterName] for branches and the scalar head. Other names
// are not ok.
func ParseAdapterName(name string) (module, part string, ok bool) {
	rest, ok := strings.CutPrefix(name, peftPrefix)
	if !ok {
		return "", "", false
	}
	rest, ok = strings.CutSuffix(rest, ".weight")
	if !ok {
		return "", "", false
	}
	if rest == HeadModule {
		return HeadModule, PartWhole, true
	}
	for _, part := range []string{PartA, PartB} {
		if module, ok := strings.CutSuffix(rest, "."+part); ok && module != "" {
			return module, part, true
		}
	}
	return "", "", false
}
