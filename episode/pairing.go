package episode

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Pairing returns the pairing with an id. The error of an unknown one wraps
// [ErrNotFound].
func (p *Profiles) Pairing(id string) (*Pairing, error) {
	return find(p.Pairings, "pairing", id, func(c *Pairing) bool { return c.ID == id })
}

// PairingsOf returns the pairings of an environment, in their order.
func (p *Profiles) PairingsOf(environment string) []*Pairing {
	var all []*Pairing
	for _, c := range p.Pairings {
		if c.EnvironmentID == environment {
			all = append(all, c)
		}
	}
	return all
}

// Candidates returns the pairs of agents that an environment admits: those that a
// relationship profile of its level joins, in the order of these profiles, whose
// ages, occupations and names fit its constraints; a pair that only fits the other
// way round is turned round. Where there are no relationship profiles at all every
// pair of agents counts as related as the environment asks.
func (p *Profiles) Candidates(env *EnvironmentProfile) [][2]string {
	var pairs [][2]string
	add := func(a, b *AgentProfile) {
		switch {
		case env.admits(a, b):
			pairs = append(pairs, [2]string{a.ID, b.ID})
		case env.admits(b, a):
			pairs = append(pairs, [2]string{b.ID, a.ID})
		}
	}
	if len(p.Relationships) == 0 {
		for i, a := range p.Agents {
			for _, b := range p.Agents[i+1:] {
				add(a, b)
			}
		}
		return pairs
	}
	byID := map[string]*AgentProfile{}
	for _, a := range p.Agents {
		byID[a.ID] = a
	}
	for _, r := range p.Relationships {
		if a, b := byID[r.First], byID[r.Second]; r.Level == env.Relationship && a != nil && b != nil {
			add(a, b)
		}
	}
	return pairs
}

// admits reports whether two agents fit the seats of the environment. Two of one
// name cannot be told apart in a dialogue.
func (p *EnvironmentProfile) admits(first, second *AgentProfile) bool {
	for seat, a := range []*AgentProfile{first, second} {
		if !p.Ages[seat].Admits(a.Age) || !p.Occupations.Admits(seat, a.Occupation) ||
			!p.Agents.Admits(seat, a.ID, a.Name(), a.FirstName) {
			return false
		}
	}
	return first.Name() != second.Name()
}

// SamplePairings draws n different pairs of agents for an environment among its
// [Profiles.Candidates], the same for the same seed, each as a pairing whose id is
// made of what it says. Fewer than n candidates are an error.
func (p *Profiles) SamplePairings(env *EnvironmentProfile, n int, seed uint64) ([]*Pairing, error) {
	pairs := p.Candidates(env)
	if len(pairs) < n {
		return nil, fmt.Errorf("episode: environment %s (%s, between %s) admits %d pairs of agents, want %d",
			env.ID, env.Codename, levelPlural(env.Relationship), len(pairs), n)
	}
	r := rand.New(rand.NewPCG(seed, hash64("pairing", env.ID)))
	r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	var out []*Pairing
	for _, pair := range pairs[:n] {
		out = append(out, &Pairing{
			ID: stableID("pairing", env.ID, pair[0], pair[1]), EnvironmentID: env.ID, AgentIDs: pair[:],
		})
	}
	return out, nil
}

func levelPlural(l RelationshipLevel) string {
	if l == Stranger {
		return "strangers"
	}
	return "people who are: " + l.String()
}

// PairingsFor returns the first n pairings of an environment, all of them where n
// is 0; where it has none, n (at least 1) are sampled from a seed. More than there
// are is an error.
func (p *Profiles) PairingsFor(env *EnvironmentProfile, n int, seed uint64) ([]*Pairing, error) {
	have := p.PairingsOf(env.ID)
	switch {
	case len(have) == 0:
		return p.SamplePairings(env, max(1, n), seed)
	case n == 0:
		return have, nil
	case len(have) < n:
		return nil, fmt.Errorf("episode: environment %s has %d pairings, want %d", env.ID, len(have), n)
	}
	return have[:n], nil
}

// The names of the benchmark's lists.
const (
	BenchmarkHard = "hard" // the 14 scenarios of SOTOPIA-hard
	BenchmarkAll  = "all"  // every environment there is; 90 in SOTOPIA
)

// hardEnvironments are the ids of SOTOPIA-hard (Zhou et al. 2024, section 4), for
// sets of profiles that come without a list.
var hardEnvironments = strings.Fields(`
01H7VFHNV13MHN97GAH73E3KM8 01H7VFHN5WVC5HKKVBHZBA553R 01H7VFHN9W0WAFZCBT09PKJJNK 01H7VFHPDZVVCDZR3AARA547CY
01H7VFHPQQQY6H4DNC6NBQ8XTG 01H7VFHN7WJK7VWVRZZTQ6DX9T 01H7VFHPS5WJW2694R1MNC8JFY 01H7VFHNN7XTR99319DS8KZCQM
01H7VFHQ11NAMZS4A2RDGDB01V 01H7VFHPSWGDGEYRP63H2DJKV0 01H7VFHNF4G18PC9JHGRC8A1R6 01H7VFHNNYH3W0VRWVY178K2TK
01H7VFHP8AN5643B0NR0NP00VE 01H7VFHN7A1ZX5KSMT2YN9RXC4`)

// Benchmark returns the environments of a list: [BenchmarkAll], a list of Lists,
// or [BenchmarkHard], which needs no list where the environments of SOTOPIA-hard
// are there. The order is that of the list.
func (p *Profiles) Benchmark(name string) ([]*EnvironmentProfile, error) {
	if name == BenchmarkAll {
		return p.Environments, nil
	}
	ids, ok := p.Lists[name]
	if !ok && name == BenchmarkHard {
		ids, ok = hardEnvironments, true
	}
	if !ok {
		known := append(slices.Sorted(maps.Keys(p.Lists)), BenchmarkHard, BenchmarkAll)
		return nil, fmt.Errorf("episode: no list of environments is called %q (known: %s)", name, strings.Join(known, ", "))
	}
	var all []*EnvironmentProfile
	for _, id := range ids {
		env, err := p.Environment(id)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", name, err)
		}
		all = append(all, env)
	}
	return all, nil
}
