package policy

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// servedModel is a policy under a name. Apart from name, policy and path its fields
// belong to the owner of the engine.
type servedModel struct {
	name, path string
	policy     *Policy
	created    int64
	loaded     bool // by the server, which closes the adapter

	session *Session
	live    map[int]*choice // replies under way, by the session's number
	kept    []heldPrompt    // the oldest first
	tokens  int             // of those kept
	removed bool
}

// close gives the session's memory back, and that of an adapter which the server
// loaded.
func (m *servedModel) close() {
	m.reset()
	if m.loaded && m.policy.Adapter() != nil {
		m.policy.Adapter().Close()
		m.loaded = false
	}
}

// reset gives the session's memory back.
func (m *servedModel) reset() {
	if m.session != nil {
		m.session.Close()
	}
	m.session, m.kept, m.tokens = nil, nil, 0
}

// heldPrompt is a prompt that stays in the cache after its reply.
type heldPrompt struct {
	end    *twig
	tokens int
}

// keep holds a prompt, and lets the oldest ones go beyond a number of tokens. Tokens
// that prompts share count each time.
func (m *servedModel) keep(p heldPrompt, most int) {
	m.kept = append(m.kept, p)
	m.tokens += p.tokens
	for m.tokens > most {
		m.letGo()
	}
}

// letGo lets the oldest prompt go that is kept; it reports false where there is none.
func (m *servedModel) letGo() bool {
	if len(m.kept) == 0 {
		return false
	}
	m.session.release(m.kept[0].end)
	m.tokens -= m.kept[0].tokens
	m.kept = m.kept[1:]
	return true
}

// Add serves a policy of the server's base under a name, in place of one that had the
// name. It panics where the policy has another base.
func (s *Server) Add(name string, p *Policy) {
	if p.base != s.base {
		panic("policy: Server.Add: the policy has another base than the server")
	}
	s.add(&servedModel{name: name, policy: p})
}

func (s *Server) add(m *servedModel) {
	m.created = time.Now().Unix()
	s.mu.Lock()
	old := s.models[m.name]
	s.models[m.name] = m
	if old == nil {
		s.order = append(s.order, m.name)
	}
	s.mu.Unlock()
	if old != nil {
		go s.retire(old)
	}
}

// retire closes a model once its replies have ended.
func (s *Server) retire(m *servedModel) {
	s.Do(context.Background(), func() {
		m.removed = true
		if len(m.live) == 0 {
			m.close()
		}
	})
}

// Remove ends serving a name; replies under way are finished, those that wait are not. It reports whether there
// was one.
func (s *Server) Remove(name string) bool {
	s.mu.Lock()
	m := s.models[name]
	delete(s.models, name)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == name })
	s.mu.Unlock()
	if m != nil {
		s.retire(m)
	}
	return m != nil
}

// model finds a model by its name.
func (s *Server) model(name string) (*servedModel, error) {
	if name == "" {
		return nil, &apiError{status: http.StatusBadRequest, Message: "model is missing", Param: "model", Code: "missing_model"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[name]
	if m == nil {
		return nil, noModel(name)
	}
	return m, nil
}

func noModel(name string) error {
	return &apiError{status: http.StatusNotFound, Message: "there is no model " + name, Param: "model", Code: "model_not_found"}
}

// modelCard describes a model to clients.
type modelCard struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	Root    string `json:"root,omitempty"`
	Parent  any    `json:"parent"`
}

func (s *Server) card(m *servedModel) modelCard {
	c := modelCard{ID: m.name, Object: "model", Created: m.created, OwnedBy: "socialrl", Root: m.path}
	if m.name != s.cfg.Name {
		c.Parent = s.cfg.Name
	}
	return c
}

// listModels answers GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	cards := make([]modelCard, len(s.order))
	for i, name := range s.order {
		cards[i] = s.card(s.models[name])
	}
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": cards})
	return nil
}

// showModel answers GET /v1/models/{name}.
func (s *Server) showModel(w http.ResponseWriter, r *http.Request) error {
	m, err := s.model(r.PathValue("name"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.card(m))
	return nil
}

type adapterRequest struct {
	Name string `json:"lora_name"`
	Path string `json:"lora_path"`
}

func (q *adapterRequest) read(s *Server, r *http.Request) error {
	if err := readBody(r, q); err != nil {
		return err
	}
	switch {
	case s.cfg.Adapters == "":
		return &apiError{status: http.StatusForbidden, Message: "this server does not load adapters", Code: "adapters_disabled"}
	case q.Name == "":
		return invalid("lora_name", "lora_name is missing")
	case q.Name == s.cfg.Name:
		return invalid("lora_name", "%s is the base model", q.Name)
	}
	return nil
}

// loadAdapter answers /v1/load_lora_adapter. A path is relative to the directory of
// adapters, or absolute and inside of it; links do not lead out.
func (s *Server) loadAdapter(w http.ResponseWriter, r *http.Request) error {
	var q adapterRequest
	if err := q.read(s, r); err != nil {
		return err
	}
	path, err := s.adapterPath(q.Path)
	if err != nil {
		return err
	}
	if _, err := s.model(q.Name); err == nil {
		return invalid("lora_name", "there is a model %s already", q.Name)
	}
	var m *servedModel
	var wrong error
	if err := s.Do(r.Context(), func() { m, wrong = s.openAdapter(q.Name, path) }); err != nil {
		return err
	}
	if wrong != nil {
		return invalid("lora_path", "%v", wrong)
	}
	s.add(m)
	writeJSON(w, http.StatusOK, map[string]string{"status": "loaded", "lora_name": q.Name})
	return nil
}

// openAdapter reads an adapter, in the goroutine that owns the engine.
func (s *Server) openAdapter(name, path string) (*servedModel, error) {
	a, err := LoadAdapter(s.base, path)
	if err != nil {
		return nil, err
	}
	p, err := New(s.base, a)
	return &servedModel{name: name, path: path, policy: p, loaded: true}, err
}

func (s *Server) adapterPath(path string) (string, error) {
	if path == "" {
		return "", invalid("lora_path", "lora_path is missing")
	}
	root, err := filepath.EvalSymlinks(s.cfg.Adapters)
	if err != nil {
		return "", err
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(root, path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		var rel string
		if rel, err = filepath.Rel(root, real); err == nil && !filepath.IsLocal(rel) {
			err = os.ErrPermission
		}
	}
	if err != nil {
		return "", invalid("lora_path", "lora_path is no adapter below the server's directory of adapters")
	}
	return real, nil
}

// unloadAdapter answers /v1/unload_lora_adapter.
func (s *Server) unloadAdapter(w http.ResponseWriter, r *http.Request) error {
	var q adapterRequest
	if err := q.read(s, r); err != nil {
		return err
	}
	if !s.Remove(q.Name) {
		_, err := s.model(q.Name)
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "unloaded", "lora_name": q.Name})
	return nil
}
