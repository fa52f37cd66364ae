package lora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/socialrl/socialrl/internal/oneline"
)

// peftFile is adapter_config.json as PEFT 0.15 writes it, in its order of keys.
type peftFile struct {
	AlphaPattern    struct{} `json:"alpha_pattern"`
	AutoMapping     *string  `json:"auto_mapping"`
	BaseModel       string   `json:"base_model_name_or_path"`
	Bias            string   `json:"bias"`
	CordaConfig     *string  `json:"corda_config"`
	EvaConfig       *string  `json:"eva_config"`
	ExcludeModules  *string  `json:"exclude_modules"`
	FanInFanOut     bool     `json:"fan_in_fan_out"`
	InferenceMode   bool     `json:"inference_mode"`
	InitWeights     bool     `json:"init_lora_weights"`
	Replication     *string  `json:"layer_replication"`
	LayersPattern   *string  `json:"layers_pattern"`
	Layers          *string  `json:"layers_to_transform"`
	LoftqConfig     struct{} `json:"loftq_config"`
	Alpha           float64  `json:"lora_alpha"`
	LoraBias        bool     `json:"lora_bias"`
	Dropout         float64  `json:"lora_dropout"`
	MegatronConfig  *string  `json:"megatron_config"`
	MegatronCore    string   `json:"megatron_core"`
	ModulesToSave   any      `json:"modules_to_save"`
	PeftType        string   `json:"peft_type"`
	Rank            int      `json:"r"`
	RankPattern     struct{} `json:"rank_pattern"`
	Revision        *string  `json:"revision"`
	TargetModules   any      `json:"target_modules"`
	TaskType        string   `json:"task_type"`
	TrainableTokens *string  `json:"trainable_token_indices"`
	UseDora         bool     `json:"use_dora"`
	UseRSLoRA       bool     `json:"use_rslora"`
}

// MarshalConfig returns adapter_config.json for an adapter, as PEFT 0.15 and later
// read it. An invalid configuration is an error.
func MarshalConfig(c Config) ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	f := peftFile{
		BaseModel: c.BaseModel, Bias: "none", InferenceMode: true, InitWeights: true,
		Alpha: c.Alpha, Dropout: c.Dropout, MegatronCore: "megatron.core",
		PeftType: "LORA", Rank: c.Rank, TaskType: "CAUSAL_LM", UseRSLoRA: c.RSLoRA,
		TargetModules: slices.Sorted(slices.Values(c.Targets)),
	}
	if c.TargetPattern != "" {
		f.TargetModules = c.TargetPattern
	}
	if c.Head {
		f.TaskType, f.ModulesToSave = "SEQ_CLS", []string{"classifier", HeadModule}
	}
	return json.Marshal(f, jsontext.WithIndent("  "))
}

// peftInput is what is read of adapter_config.json. Defaults are PEFT's.
type peftInput struct {
	PeftType      string         `json:"peft_type"`
	TaskType      string         `json:"task_type"`
	BaseModel     string         `json:"base_model_name_or_path"`
	Rank          int            `json:"r"`
	Alpha         float64        `json:"lora_alpha"`
	Dropout       float64        `json:"lora_dropout"`
	Bias          string         `json:"bias"`
	UseRSLoRA     bool           `json:"use_rslora"`
	TargetModules jsontext.Value `json:"target_modules"`
	ModulesToSave []string       `json:"modules_to_save"`
	InitWeights   jsontext.Value `json:"init_lora_weights"`
}

// peftRefused are features that change what an adapter computes and that are not
// implemented. They count as unused where null, false or empty.
var peftRefused = []struct{ key, what string }{
	{"use_dora", "DoRA"},
	{"use_qalora", "QA-LoRA"},
	{"use_bdlora", "block-diagonal LoRA"},
	{"lora_bias", "a bias in the branch"},
	{"rank_pattern", "ranks that differ by layer"},
	{"alpha_pattern", "alphas that differ by layer"},
	{"layers_to_transform", "a choice of layers"},
	{"layers_pattern", "a choice of layers"},
	{"layer_replication", "repeated layers"},
	{"exclude_modules", "excluded modules"},
	{"fan_in_fan_out", "transposed weights"},
	{"trainable_token_indices", "trained rows of the embedding"},
	{"target_parameters", "branches on parameters"},
	{"megatron_config", "Megatron layers"},
	{"alora_invocation_tokens", "activated LoRA"},
	{"arrow_config", "Arrow routing"},
	{"kasa_config", "KaSA"},
	{"monteclora_config", "MonteCLoRA"},
	{"velora_config", "VeLoRA"},
}

// peftHarmlessInit are the ways to initialise that leave the base model as it is;
// others (PiSSA, OLoRA, CorDA, LoftQ) train against a changed base.
var peftHarmlessInit = []string{"", "true", "false", `"gaussian"`, `"eva"`, `"orthogonal"`, "null"}

// ParseConfig reads adapter_config.json. Unknown keys are ignored. Features that
// change what the adapter computes and are not implemented are refused by their
// key, all in one error: DoRA, patterns of ranks, biases, a choice of layers,
// transposed weights, initialisations that change the base model, other methods
// than LoRA, tasks other than CAUSAL_LM and SEQ_CLS. "all-linear" becomes
// [AllLinear], target_modules that are null become [QV] (PEFT's choice for the
// models of this library), any other text is a regular expression. The head is
// wanted for SEQ_CLS and where modules_to_save lists "score"; other names there
// are ignored.
func ParseConfig(text []byte) (Config, error) {
	in := peftInput{Rank: 8, Alpha: 8, Bias: "none"}
	keys := map[string]jsontext.Value{}
	if err := json.Unmarshal(text, &keys); err != nil {
		return Config{}, err
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return Config{}, err
	}
	c := Config{
		Rank: in.Rank, Alpha: in.Alpha, Dropout: in.Dropout, RSLoRA: in.UseRSLoRA, BaseModel: in.BaseModel,
		Head: in.TaskType == "SEQ_CLS" || slices.Contains(in.ModulesToSave, HeadModule),
	}
	err := oneline.Join(peftSupported(in, keys), c.setTargets(in.TargetModules))
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// peftSupported names every feature in use that is not implemented.
func peftSupported(in peftInput, keys map[string]jsontext.Value) error {
	var errs []error
	refuse := func(key string, value any, what string) {
		errs = append(errs, fmt.Errorf("%s: %v: %s not supported", key, value, what))
	}
	if in.PeftType != "LORA" {
		refuse("peft_type", fmt.Sprintf("%q", in.PeftType), `methods other than "LORA"`)
	}
	if !slices.Contains([]string{"", "CAUSAL_LM", "SEQ_CLS"}, in.TaskType) {
		refuse("task_type", fmt.Sprintf("%q", in.TaskType), "tasks other than CAUSAL_LM and SEQ_CLS")
	}
	if in.Bias != "none" && in.Bias != "" {
		refuse("bias", fmt.Sprintf("%q", in.Bias), "trained biases")
	}
	if init := string(in.InitWeights); !slices.Contains(peftHarmlessInit, init) {
		refuse("init_lora_weights", init, "an initialisation that may change the base model")
	}
	for _, f := range peftRefused {
		if v := keys[f.key]; !peftUnused(v) {
			refuse(f.key, peftShort(v), f.what)
		}
	}
	return oneline.Join(errs...)
}

// peftUnused reports whether a value switches a feature off.
func peftUnused(v jsontext.Value) bool {
	v = slices.Clone(v)
	if len(v) == 0 {
		return true
	}
	if v.Compact() != nil {
		return false
	}
	return slices.Contains([]string{"null", "false", "{}", "[]", `""`}, string(v))
}

// peftShort cuts a long value for a message.
func peftShort(v jsontext.Value) string {
	const most = 60
	s := strings.Join(strings.Fields(string(v)), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// setTargets reads target_modules: null, a list of names, or a text. Names come
// sorted: the file means a set.
func (c *Config) setTargets(v jsontext.Value) error {
	var text string
	switch v.Kind() {
	case 0, 'n':
		c.Targets = slices.Clone(QV)
		return nil
	case '[':
		if err := json.Unmarshal(v, &c.Targets); err != nil {
			return fmt.Errorf("target_modules: %w", err)
		}
		slices.Sort(c.Targets)
		return nil
	}
	if err := json.Unmarshal(v, &text); err != nil {
		return fmt.Errorf("target_modules: %s: a list of names or a text expected", peftShort(v))
	}
	if strings.EqualFold(text, "all-linear") {
		c.Targets = slices.Sorted(slices.Values(AllLinear))
		return nil
	}
	c.TargetPattern = text
	if _, err := c.pattern(); err != nil || text == "" {
		return fmt.Errorf("target_modules: %q is not a regular expression that Go reads: %v", text, err)
	}
	return nil
}
