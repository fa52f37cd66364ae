package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/socialrl/socialrl/lora"
	"github.com/socialrl/socialrl/policy"
)

// LoadAdapter reads what a training run left in its folder "adapter": a PEFT
// directory, or the weights of full fine-tuning.
func LoadAdapter(base *policy.Base, dir string) (*lora.Adapter, error) {
	_, err := os.Stat(filepath.Join(dir, "adapter_config.json"))
	_, fullErr := os.Stat(filepath.Join(dir, "model.safetensors"))
	if !errors.Is(err, fs.ErrNotExist) || fullErr != nil {
		return policy.LoadAdapter(base, dir)
	}
	a, err := policy.NewFull(base)
	if err != nil {
		return nil, err
	}
	if err := policy.LoadParameters(a, dir); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// OpenPolicy loads a model and, unless dir is empty, an adapter of it. close gives
// all memory back.
func (m *Model) OpenPolicy(dir string) (p *policy.Policy, close func(), err error) {
	base, closeBase, err := m.Open()
	if err != nil {
		return nil, nil, err
	}
	var a *lora.Adapter
	if dir != "" {
		if a, err = LoadAdapter(base, dir); err != nil {
			closeBase()
			return nil, nil, err
		}
	}
	close = func() {
		if a != nil {
			a.Close()
		}
		closeBase()
	}
	if p, err = policy.New(base, a); err != nil {
		close()
		return nil, nil, err
	}
	return p, close, nil
}
