package policy_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/socialrl/socialrl/policy"
)

func TestGenerationConfig(t *testing.T) {
	dir := t.TempDir()
	g, err := policy.LoadGenerationConfig(dir)
	if want := (policy.GenerationConfig{Temperature: 1, TopK: 50, TopP: 1, RepetitionPenalty: 1}); err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("no file: %+v (%v), want %+v", g, err, want)
	}
	path := filepath.Join(dir, "generation_config.json")
	cfgWrite(t, path, []byte(`{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.05,
		"bos_token_id": 9, "pad_token_id": 9, "eos_token_id": [8, 9], "transformers_version": "4.37.0"}`))
	g, err = policy.LoadGenerationConfig(dir)
	want := policy.GenerationConfig{EOS: []int{8, 9}, BOS: new(9), Pad: new(9), Sample: true,
		Temperature: 0.7, TopK: 20, TopP: 0.8, MinP: 0.05, RepetitionPenalty: 1.05}
	if err != nil || !reflect.DeepEqual(g, want) {
		t.Errorf("%+v (%v), want %+v", g, err, want)
	}
	for text, name := range map[string]string{
		`{"temperature": -1}`: "temperature: -1", `{"top_k": -1}`: "top_k: -1", `{"top_p": 1.5}`: "top_p: 1.5",
		`{"min_p": 2}`: "min_p: 2", `{"repetition_penalty": 0}`: "repetition_penalty: 0", `{"eos_token_id": -2}`: "eos_token_id: -2", `{`: "EOF",
	} {
		cfgWrite(t, path, []byte(text))
		if _, err := policy.LoadGenerationConfig(dir); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v lacks %q or the path", text, err, name)
		}
	}
}
