package policy_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/socialrl/socialrl/episode"
	"github.com/socialrl/socialrl/internal/tiny"
	"github.com/socialrl/socialrl/policy"
)

func ExampleServer() {
	base, closeBase, err := tiny.Load("cpu")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeBase()
	s := policy.NewServer(base, policy.ServerConfig{Name: "tiny", APIKey: "secret"})
	defer s.Close()
	web := httptest.NewServer(s) // in a program: http.ListenAndServe(":8000", s)
	defer web.Close()

	llm := episode.NewRemote(web.URL+"/v1", "secret", "tiny")
	reply, err := llm.Chat(context.Background(), episode.Request{
		Messages: episode.Prompt("How do you greet a stranger?"), Schema: episode.ExactActionSchema(), MaxTokens: 80})
	if err != nil {
		fmt.Println(err)
		return
	}
	action, err := episode.ParseAction(reply.Text)
	fmt.Println(action.Type.Valid(), err)
	// Output: true <nil>
}
