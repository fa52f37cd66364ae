package tokenizer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// config is what tokenizer_config.json says.
type config struct {
	special map[string]string // by role: bos_token, eos_token, ...
}

// roles are the fields of tokenizer_config.json that name special tokens; chat
// templates see them as variables.
var roles = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// configure reads tokenizer_config.json and the chat templates.
func (t *Tokenizer) configure(o options) error {
	var fields map[string]json.RawMessage
	if len(o.config) > 0 {
		if err := json.Unmarshal(o.config, &fields); err != nil {
			return fmt.Errorf("%s: %w", configFile, err)
		}
	}
	if err := t.readRoles(fields); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	return t.readTemplates(fields["chat_template"], o.template)
}

// addConfigured adds the tokens that only tokenizer_config.json lists, in
// added_tokens_decoder, as the Python library does.
func (f *file) addConfigured(data []byte) error {
	var fields struct {
		Tokens map[int]addedToken `json:"added_tokens_decoder"`
	}
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	known := map[string]bool{}
	for _, a := range f.AddedTokens {
		known[a.Content] = true
	}
	for _, id := range slices.Sorted(maps.Keys(fields.Tokens)) {
		if a := fields.Tokens[id]; !known[a.Content] {
			a.ID = id
			f.AddedTokens = append(f.AddedTokens, a)
		}
	}
	return nil
}

// tokenName is a token in tokenizer_config.json: a string, an object with its
// content, or null.
type tokenName string

func (n *tokenName) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var object struct{ Content string }
		err := json.Unmarshal(data, &object)
		*n = tokenName(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(n))
}

// readRoles notes the special tokens. The three that have an id here must be in the
// vocabulary.
func (t *Tokenizer) readRoles(fields map[string]json.RawMessage) error {
	t.config.special = map[string]string{}
	for _, role := range roles {
		var name tokenName
		if raw, ok := fields[role]; ok {
			if err := json.Unmarshal(raw, &name); err != nil {
				return fmt.Errorf("%s: %w", role, err)
			}
		}
		if name == "" {
			continue
		}
		needed := slices.Contains([]string{"bos_token", "eos_token", "pad_token"}, role)
		if _, ok := t.ids[string(name)]; !ok && needed {
			return fmt.Errorf("%s %s is not in the vocabulary of %s", role, strconv.Quote(string(name)), tokenizerFile)
		}
		t.config.special[role] = string(name)
	}
	return nil
}
