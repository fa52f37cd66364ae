package grpo

import (
	"fmt"
	"slices"
	"testing"

	"github.com/socialrl/socialrl/episode"
)

func itemsOf(episodes ...string) []episode.Item {
	var out []episode.Item
	for i, e := range episodes {
		out = append(out, episode.Item{EpisodeID: e, Turn: i})
	}
	return out
}

// Every epoch takes every item once; items of an episode follow each other in their
// order; another epoch has another order, and the same again when asked again.
func TestStreamKeepsEpisodesTogether(t *testing.T) {
	items := itemsOf("a", "a", "a", "b", "b", "c", "", "", "d", "e")
	s := &stream{items: items, shuffle: true, seed: 5}
	var epochs [][]int
	for e := range 3 {
		var order []int
		for n := range items {
			order = append(order, s.at(e*len(items)+n))
		}
		for i, item := range order {
			if item == 0 && !slices.Equal(order[i:i+3], []int{0, 1, 2}) {
				t.Errorf("epoch %d takes episode a apart: %v", e, order)
			}
		}
		epochs = append(epochs, order)
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("epoch %d takes %v", e, sorted)
		}
	}
	if slices.Equal(epochs[0], epochs[1]) || slices.Equal(epochs[1], epochs[2]) {
		t.Errorf("epochs have one order: %v", epochs)
	}
	again := &stream{items: items, shuffle: true, seed: 5}
	if got := again.at(len(items) + 3); got != epochs[1][3] {
		t.Errorf("item 3 of epoch 1 is %d, was %d", got, epochs[1][3])
	}
}

func TestTotalSteps(t *testing.T) {
	for _, c := range []struct {
		why   string
		c     Config
		items int
		want  int
	}{
		{"two prompts a step", Config{Group: 4, MicroBatch: 8, Accumulation: 1, Passes: 1, Epochs: 3}, 10, 15},
		{"the last step takes the first items again", Config{Group: 4, MicroBatch: 8, Accumulation: 1, Passes: 1, Epochs: 1}, 3, 2},
		{"passes are steps", Config{Group: 4, MicroBatch: 8, Accumulation: 1, Passes: 2, Epochs: 1}, 10, 10},
		{"MaxSteps bounds", Config{Group: 4, MicroBatch: 8, Accumulation: 1, Passes: 1, Epochs: 3, MaxSteps: 4}, 10, 4},
		{"MaxSteps alone decides", Config{Group: 4, MicroBatch: 8, Accumulation: 1, Passes: 1, MaxSteps: 40}, 10, 40},
	} {
		if got := c.c.totalSteps(c.items); got != c.want {
			t.Errorf("%s: %d steps, want %d", c.why, got, c.want)
		}
	}
}

// Held-out episodes share no item with the others.
func TestSplit(t *testing.T) {
	var episodes []string
	for i := range 20 {
		episodes = append(episodes, fmt.Sprint(i), fmt.Sprint(i))
	}
	train, held := Split(itemsOf(episodes...), 0.1, 42)
	if len(train) != 36 || len(held) != 4 || held[0].EpisodeID != held[1].EpisodeID || held[0].EpisodeID == held[2].EpisodeID {
		t.Errorf("%d and %d items, held out %v", len(train), len(held), held)
	}
	if _, held := Split(itemsOf("a", "a"), 0.5, 42); len(held) != 0 {
		t.Errorf("the only episode was held out: %v", held)
	}
	if train, held := Split(itemsOf("", "", "a"), 0.01, 42); len(train) != 2 || len(held) != 1 {
		t.Errorf("%d and %d items", len(train), len(held))
	}
	if train, held := Split(itemsOf("a", "b"), 0, 42); len(train) != 2 || held != nil {
		t.Errorf("%d and %d items", len(train), len(held))
	}
}
