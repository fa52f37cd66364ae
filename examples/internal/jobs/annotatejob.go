package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/examples/internal/credit"
)

// annotation is the payload of a job of kind Annotate.
type annotation struct {
	Agent    string            `json:"agent"`
	Methods  credit.Methods    `json:"methods"` // one of them
	Endpoint credit.Endpoint   `json:"endpoint"`
	Price    attribution.Price `json:"price"`
	Episode  json.RawMessage   `json:"episode"`
}

// attributed is the result of such a job.
type attributed struct {
	Attribution *attribution.Attribution `json:"attribution,omitempty"`
	Failure     *attribution.Failure     `json:"failure,omitempty"`
	Remote      *episode.RemoteError     `json:"remote,omitempty"` // why the model could not be asked
	Error       string                   `json:"error,omitempty"`  // what else went wrong
}

// annotateJob returns the job of crediting an agent's part in an episode.
func annotateJob(ep *episode.Episode, key attribution.Key, a annotation) (Job, error) {
	var line bytes.Buffer
	if err := episode.WriteJSONL(&line, ep); err != nil {
		return Job{}, err
	}
	a.Agent, a.Episode = key.Agent, line.Bytes()
	return NewJob(Annotate, key.String(), a)
}

// Annotator returns the handler of jobs of kind Annotate. Models are opened with the
// worker's own keys.
func Annotator(keys *credit.Keys) Handler {
	return func(ctx context.Context, payload []byte) ([]byte, error) {
		var a annotation
		if err := json.Unmarshal(payload, &a); err != nil {
			return nil, err
		}
		method, err := a.Methods.Attributor(func() (episode.LLM, error) {
			llm, err := keys.Open(a.Endpoint, true)
			return priced{llm, a.Price}, err
		})
		if err != nil {
			return nil, err
		}
		for ep, err := range episode.ReadJSONL(bytes.NewReader(a.Episode)) {
			if err != nil {
				return nil, err
			}
			return annotate(ctx, method, ep, a.Agent)
		}
		return nil, errors.New("a job without an episode")
	}
}

func annotate(ctx context.Context, method attribution.Attributor, ep *episode.Episode, agent string) ([]byte, error) {
	var out attributed
	var err error
	if out.Attribution, err = method.Attribute(ctx, ep, agent); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		out.Attribution = nil
		if errors.As(err, &out.Failure) {
			errors.As(out.Failure.Err, &out.Remote)
		} else {
			out.Error = err.Error()
		}
	}
	return json.Marshal(out)
}

// unpack returns what [attribution.Attributor.Attribute] returned on the worker.
func (out attributed) unpack() (*attribution.Attribution, attribution.Usage, error) {
	switch {
	case out.Attribution != nil:
		return out.Attribution, out.Attribution.Usage, nil
	case out.Failure != nil:
		if out.Remote != nil {
			out.Failure.Err = out.Remote
		}
		return nil, out.Failure.Usage, out.Failure
	}
	return nil, attribution.Usage{}, errors.New(out.Error)
}

// priced is a model whose replies tell what they cost.
type priced struct {
	episode.LLM
	price attribution.Price
}

// Chat implements [episode.LLM].
func (p priced) Chat(ctx context.Context, r episode.Request) (episode.Reply, error) {
	reply, err := p.LLM.Chat(ctx, r)
	if u := &reply.Usage; u.Cost == 0 {
		u.Cost = p.price.Cost(u.PromptTokens, u.CompletionTokens)
	}
	return reply, err
}

// elsewhere is a method whose work is done by workers.
type elsewhere struct {
	run     *annotationRun
	method  attribution.Method
	payload annotation
}

// Method implements [attribution.Described].
func (m elsewhere) Method() attribution.Method { return m.method }

// Requests implements [attribution.Planner]: to the program that hands out jobs each is
// one request.
func (m elsewhere) Requests(*episode.Episode, string) ([]episode.Request, error) {
	return []episode.Request{{}}, nil
}

// Attribute waits for a worker's result. The result before this one is on the disk now.
func (m elsewhere) Attribute(ctx context.Context, ep *episode.Episode, agent string) (*attribution.Attribution, error) {
	key := attribution.Key{EpisodeID: ep.ID, Agent: agent, Method: m.method}
	if err := m.run.forgetLast(); err != nil {
		return nil, err
	}
	job, err := annotateJob(ep, key, m.payload)
	if err != nil {
		return nil, err
	}
	text, err := m.run.queue.Wait(ctx, job)
	if err != nil {
		return nil, queueError{err}
	}
	var out attributed
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("result of %s: %w", job.Key, err)
	}
	m.run.collected(key, job)
	a, usage, err := out.unpack()
	attribution.Spend(ctx, usage)
	return a, err
}

// queueError is the end of a run: the Redis cannot be used.
type queueError struct{ error }

// Permanent says that other calls would fail as well.
func (queueError) Permanent() bool { return true }

// Unwrap returns the cause.
func (e queueError) Unwrap() error { return e.error }
