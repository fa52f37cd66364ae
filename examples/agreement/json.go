package main

import (
	"encoding/json"
	"math"

	"github.com/socialrl/socialrl/attribution"
	"github.com/socialrl/socialrl/internal/atomicfile"
)

// The file of figures. What is not a number, as the correlation with a constant,
// is null.
type (
	resultJSON struct {
		Pairs  []pairJSON  `json:"pairs"`
		Groups []groupJSON `json:"groups"`
	}
	pairJSON struct {
		Predicted  string   `json:"predicted"`
		Truth      string   `json:"truth"`
		N          int      `json:"n"`
		Difference *float64 `json:"mean_absolute_difference"`
		Spearman   *float64 `json:"spearman"`
		Exact      *float64 `json:"exact_match"`
		Accuracy   *float64 `json:"accuracy_of_top"`
		Precision  *float64 `json:"precision_of_top"`
		Recall     *float64 `json:"recall_of_top"`
		F1         *float64 `json:"f1_of_top"`
		kappasJSON
	}
	groupJSON struct {
		Dimension  string   `json:"dimension"`
		Annotators []string `json:"annotators"`
		N          int      `json:"n"`
		kappasJSON
	}
	kappasJSON struct {
		Kappa    *float64 `json:"fleiss_kappa"`
		TopKappa *float64 `json:"fleiss_kappa_of_top"`
	}
)

// writeJSON writes the figures to a file.
func writeJSON(path string, r *result) error {
	out := resultJSON{Pairs: []pairJSON{}, Groups: []groupJSON{}}
	for _, p := range r.pairs {
		out.Pairs = append(out.Pairs, newPairJSON(p.predicted, p.truth, p.Agreement, p.kappas))
	}
	for _, g := range r.groups {
		out.Groups = append(out.Groups, groupJSON{string(g.dimension), g.raters, g.n, g.kappas.json()})
	}
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(path, append(text, '\n'), 0o644)
}

func newPairJSON(predicted, truth string, a attribution.Agreement, k kappas) pairJSON {
	return pairJSON{
		predicted, truth, a.N, known(a.MeanAbsoluteDifference), known(a.Spearman), known(a.ExactMatch),
		known(a.Accuracy), known(a.Precision), known(a.Recall), known(a.F1), k.json(),
	}
}

func (k kappas) json() kappasJSON { return kappasJSON{known(k.labels), known(k.top)} }

func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
