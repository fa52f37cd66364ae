package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/socialrl/socialrl/internal/appendlog"
	"github.com/socialrl/socialrl/internal/atomicfile"
	"github.com/socialrl/socialrl/lora"
)

// Run is the directory of a training run:
//
//	config.json          the effective configuration; a run resumes with an equal one only
//	metrics.jsonl        one line a step, and other logs that the trainer opens
//	checkpoint-N/        the state after step N: adapter, optimizer.safetensors, trainer_state.json
//
// A checkpoint appears whole or not at all. On resume the logs are cut back to where
// they were at the checkpoint, so that a run that was killed and resumed leaves the
// same bytes as one that was not.
type Run struct {
	dir  string
	keep int
	logs map[string]*appendlog.Log
	a    *lora.Adapter
	opt  *lora.AdamW
}

// The files of a checkpoint beside the adapter's own.
const (
	optimizerFile  = "optimizer.safetensors"
	parametersFile = "model.safetensors" // of full fine-tuning, instead of an adapter's files
	stateFile      = "trainer_state.json"
	checkpointName = "checkpoint-"
)

// checkpointState is trainer_state.json.
type checkpointState struct {
	Step  int              `json:"step"`
	Logs  map[string]int64 `json:"log_offsets"`
	State json.RawMessage  `json:"state"`
}

// OpenRun opens or creates a run's directory. The logs are file names in it. Where
// there is a checkpoint, the newest one is loaded into the adapter, the optimiser
// and state, and resumed is true. config is compared with that of the directory:
// another value is an error that names the field. keep is how many checkpoints to
// keep (0: all).
func OpenRun(dir string, config any, logs []string, keep int, a *lora.Adapter, opt *lora.AdamW, state any) (r *Run, resumed bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, err
	}
	if err := matchConfig(filepath.Join(dir, "config.json"), config); err != nil {
		return nil, false, err
	}
	r = &Run{dir: dir, keep: keep, logs: map[string]*appendlog.Log{}, a: a, opt: opt}
	for _, name := range logs {
		if r.logs[name], err = appendlog.Open(filepath.Join(dir, name)); err != nil {
			return nil, false, errors.Join(err, r.Close())
		}
	}
	resumed, err = r.resume(state)
	if err != nil {
		return nil, false, errors.Join(err, r.Close())
	}
	return r, resumed, nil
}

// matchConfig writes the configuration of a new run, or compares it with the one
// that is there.
func matchConfig(path string, config any) error {
	want, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return atomicfile.WriteFile(path, append(want, '\n'), 0o644)
	}
	if err != nil {
		return err
	}
	if bytes.Equal(bytes.TrimSpace(have), want) {
		return nil
	}
	return fmt.Errorf("%s: the run was started with another configuration: %s", path, firstDifference(have, want))
}

func firstDifference(have, want []byte) string {
	var h, w map[string]json.RawMessage
	if err := json.Unmarshal(have, &h); err != nil {
		return err.Error()
	}
	if err := json.Unmarshal(want, &w); err != nil {
		return err.Error()
	}
	names := make([]string, 0, len(h)+len(w))
	for _, m := range []map[string]json.RawMessage{h, w} {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if compact(h[name]) != compact(w[name]) {
			return fmt.Sprintf("%s was %s, now %s", name, compact(h[name]), compact(w[name]))
		}
	}
	return "fields in another order"
}

func compact(v json.RawMessage) string {
	if v == nil {
		return "absent"
	}
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		return string(v)
	}
	return b.String()
}

// Log appends a record to one of the run's logs.
func (r *Run) Log(name string, record any) error { return r.logs[name].Append(record) }

// Dir returns the run's directory.
func (r *Run) Dir() string { return r.dir }

// Checkpoint saves the adapter, the optimiser and the trainer's state after a step.
func (r *Run) Checkpoint(step int, state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	s := checkpointState{Step: step, Logs: map[string]int64{}, State: raw}
	for name, log := range r.logs {
		if err := log.Sync(); err != nil {
			return err
		}
		s.Logs[name] = log.Offset()
	}
	final := filepath.Join(r.dir, checkpointName+strconv.Itoa(step))
	if err := r.writeCheckpoint(final, s); err != nil {
		return fmt.Errorf("%s: %w", final, err)
	}
	return r.prune()
}

func (r *Run) writeCheckpoint(final string, s checkpointState) error {
	temp := final + ".tmp"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return err
	}
	if err := SaveParameters(r.a, temp); err != nil {
		return err
	}
	tensors, metadata, err := r.opt.State()
	if err != nil {
		return err
	}
	if err := lora.WriteSafetensors(filepath.Join(temp, optimizerFile), tensors, metadata); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(temp, stateFile), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return replaceDir(temp, final)
}

// replaceDir gives a complete directory its name, in place of one that may be there.
func replaceDir(temp, final string) error {
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	if err := os.Rename(temp, final); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(final))
}

// steps lists the run's complete checkpoints, oldest first.
func (r *Run) steps() ([]int, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), checkpointName)
		if n, err := strconv.Atoi(number); ok && err == nil {
			steps = append(steps, n)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

func (r *Run) prune() error {
	steps, err := r.steps()
	if err != nil || r.keep == 0 {
		return err
	}
	for _, n := range steps[:max(0, len(steps)-r.keep)] {
		if err := os.RemoveAll(filepath.Join(r.dir, checkpointName+strconv.Itoa(n))); err != nil {
			return err
		}
	}
	return nil
}

// resume loads the newest checkpoint, or starts the logs anew where there is none.
func (r *Run) resume(state any) (bool, error) {
	steps, err := r.steps()
	if err != nil {
		return false, err
	}
	if len(steps) == 0 {
		return false, r.cutLogs(nil)
	}
	dir := filepath.Join(r.dir, checkpointName+strconv.Itoa(steps[len(steps)-1]))
	if err := r.load(dir, state); err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	return true, nil
}

func (r *Run) load(dir string, state any) error {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	var s checkpointState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("%s: %w", stateFile, err)
	}
	if err := json.Unmarshal(s.State, state); err != nil {
		return fmt.Errorf("%s: %w", stateFile, err)
	}
	if err := LoadParameters(r.a, dir); err != nil {
		return err
	}
	if err := r.loadOptimizer(filepath.Join(dir, optimizerFile)); err != nil {
		return err
	}
	return r.cutLogs(s.Logs)
}

func (r *Run) loadOptimizer(path string) error {
	f, err := lora.OpenSafetensors(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := r.opt.SetState(allTensors(f), f.Metadata()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func allTensors(f *lora.Safetensors) []lora.Tensor {
	var out []lora.Tensor
	for _, name := range f.Names() {
		t, _ := f.Tensor(name)
		out = append(out, t)
	}
	return out
}

// cutLogs cuts every log back to its offset; logs without one start anew.
func (r *Run) cutLogs(offsets map[string]int64) error {
	for name, log := range r.logs {
		if err := log.Truncate(offsets[name]); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the logs.
func (r *Run) Close() error {
	var errs []error
	for _, log := range r.logs {
		if log != nil {
			errs = append(errs, log.Close())
		}
	}
	return errors.Join(errs...)
}

// SaveParameters writes what is trained: a PEFT directory for an adapter, and
// model.safetensors with the base's names for full fine-tuning.
func SaveParameters(a *lora.Adapter, dir string) error {
	if a.Config.Rank > 0 || a.Config.Head {
		return SaveAdapter(a, dir)
	}
	tensors, err := a.Tensors()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return lora.WriteSafetensors(filepath.Join(dir, parametersFile), tensors, map[string]string{"format": "pt"})
}

// LoadParameters reads what SaveParameters wrote into an adapter with the same
// parameters.
func LoadParameters(a *lora.Adapter, dir string) error {
	if a.Config.Rank > 0 || a.Config.Head {
		_, tensors, err := lora.ReadAdapterFiles(dir)
		if err != nil {
			return err
		}
		return a.SetTensors(tensors)
	}
	f, err := lora.OpenSafetensors(filepath.Join(dir, parametersFile))
	if err != nil {
		return err
	}
	defer f.Close()
	return a.SetTensors(allTensors(f))
}
