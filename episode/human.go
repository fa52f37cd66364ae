package episode

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Human is an agent whose actions a person types, a line for each turn:
//
//	Good morning!        says it
//	/do opens the door   an action
//	/show smiles         non-verbal communication
//	/none                nothing
//	/leave               leaves; so does the end of the input
//
// What the person is to know is written to Out before each turn: what the
// environment told since the last one. A Human plays one episode at a time.
type Human struct {
	In  io.Reader
	Out io.Writer

	start sync.Once
	lines chan typed
	shown map[string]int // messages shown so far, by episode
}

// typed is a line of input, or why there is none.
type typed struct {
	text string
	err  error
}

// Act shows what is new and reads an action.
func (h *Human) Act(ctx context.Context, o Observation) (Action, error) {
	h.start.Do(h.read)
	if err := h.show(o); err != nil {
		return Action{}, err
	}
	for {
		if _, err := fmt.Fprintf(h.Out, "%s> ", o.Agent); err != nil {
			return Action{}, err
		}
		line, err := h.next(ctx)
		if err == io.EOF {
			return Action{Type: Leave}, nil
		}
		if err != nil {
			return Action{}, err
		}
		action, err := ParseTyped(line)
		if err == nil {
			return action, nil
		}
		if _, err := fmt.Fprintln(h.Out, err); err != nil {
			return Action{}, err
		}
	}
}

// read passes lines on, so that waiting for one can be given up.
func (h *Human) read() {
	h.lines, h.shown = make(chan typed), map[string]int{}
	go func() {
		scanner := bufio.NewScanner(h.In)
		for scanner.Scan() {
			h.lines <- typed{text: scanner.Text()}
		}
		err := scanner.Err()
		if err == nil {
			err = io.EOF
		}
		for {
			h.lines <- typed{err: err}
		}
	}()
}

func (h *Human) next(ctx context.Context) (string, error) {
	select {
	case l := <-h.lines:
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// show writes what the agent was told since its last turn.
func (h *Human) show(o Observation) error {
	for _, m := range o.Messages[h.shown[o.EpisodeID]:] {
		if _, err := fmt.Fprintln(h.Out, strings.TrimSpace(m)); err != nil {
			return err
		}
	}
	h.shown[o.EpisodeID] = len(o.Messages)
	return nil
}

// typedHelp says what can be typed.
const typedHelp = "type what you say, /do ACTION, /show GESTURE, /none or /leave"

// ParseTyped reads an action as a person types it; see [Human]. The error says
// what can be typed.
func ParseTyped(line string) (Action, error) {
	text := strings.TrimSpace(line)
	if text == "" {
		return Action{}, fmt.Errorf("episode: nothing typed: %s", typedHelp)
	}
	if !strings.HasPrefix(text, "/") {
		return Action{Speak, text}, nil
	}
	command, argument, _ := strings.Cut(text, " ")
	a := Action{Argument: strings.TrimSpace(argument)}
	switch command {
	case "/none":
		return Action{Type: None}, nil
	case "/leave":
		return Action{Type: Leave}, nil
	case "/do":
		a.Type = PhysicalAction
	case "/show":
		a.Type = NonVerbal
	case "/say":
		a.Type = Speak
	default:
		return Action{}, fmt.Errorf("episode: unknown command %s: %s", quote(command), typedHelp)
	}
	if a.Argument == "" {
		return Action{}, fmt.Errorf("episode: %s needs words behind it: %s", command, typedHelp)
	}
	return a, nil
}
