package policy

import "strconv"

// Names of tensors in a Hugging Face checkpoint.
const (
	embedName     = "model.embed_tokens.weight"
	finalNormName = "model.norm.weight"
	headName      = "lm_head.weight"
	scoreName     = "score.weight"

	attnNormName = "input_layernorm.weight"
	mlpNormName  = "post_attention_layernorm.weight"
	qNormName    = "self_attn.q_norm.weight"
	kNormName    = "self_attn.k_norm.weight"
)

// layerPrefix returns what stands before the names of layer i's tensors.
func layerPrefix(i int) string { return "model.layers." + strconv.Itoa(i) + "." }
