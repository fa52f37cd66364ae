package policy

import (
	"fmt"

	"github.com/socialrl/socialrl/lora"
)

// end is the last part of a pass: from the last block's output to the numbers that
// a loss sees, and back.
type end struct {
	*pass
	f         *Forest
	o         options
	x, normed lora.View // the last block's output, before and after the final norm
	out       lora.HeadOutput
}

// targets computes log-probabilities, or scores where the forest has no targets.
func (e *end) targets(x lora.View) (Targets, error) {
	t := Targets{Index: e.f.index, Spans: e.f.spans, Total: e.o.total}
	e.x, e.normed = x, e.final(x)
	if e.f.Targets() == 0 {
		return e.scores(t)
	}
	n := len(e.f.headRows)
	e.out = lora.HeadOutput{LogProb: make([]float64, e.f.Targets()), LSE: make([]float64, n)}
	if e.o.entropy {
		e.out.Entropy = make([]float64, n)
	}
	if err := e.n.eng.LogProbs(&e.out, e.normed, e.n.head, e.f.headTargets, e.o.temperature); err != nil {
		return Targets{}, err
	}
	t.LogProb = e.out.LogProb
	if e.o.entropy {
		t.Entropy = make([]float64, e.f.Targets())
		for i, target := range e.f.headTargets {
			t.Entropy[i] = e.out.Entropy[target.Row]
		}
	}
	return t, nil
}

func (e *end) scores(t Targets) (Targets, error) {
	y := e.n.eng.Temp(len(e.f.headRows), 1)
	e.n.eng.Linear(y, e.normed, &e.n.score, lora.View{})
	buf := make([]float32, y.Rows)
	if err := e.n.eng.Read(buf, y); err != nil {
		return Targets{}, err
	}
	t.Score = make([]float64, e.f.Examples())
	for i, target := range e.f.scoreAt {
		t.Score[i] = float64(buf[target])
	}
	return t, nil
}

func (e *end) checkDerivatives(d []float64) error {
	want := e.f.Targets()
	if want == 0 {
		want = e.f.Examples()
	}
	if len(d) != want {
		return fmt.Errorf("policy: the loss returned %d derivatives for %d targets", len(d), want)
	}
	return nil
}

// back sets dx, the gradient with respect to the last block's output.
func (e *end) back(dx lora.View, d []float64) {
	eng := e.n.eng
	mark := eng.Mark()
	defer eng.Reset(mark)
	dnormed := eng.Temp(e.x.Rows, e.x.Cols)
	if e.f.Targets() == 0 {
		e.scoresBack(dnormed, d)
	} else {
		eng.LogProbsBack(dnormed, e.n.dHead, e.normed, e.n.head, e.f.headTargets, e.out.LSE, d, e.o.temperature)
	}
	eng.RMSNormBack(dx, dnormed, e.x, e.n.norm.w, e.n.norm.dw, e.n.cfg.RMSNormEps)
}

func (e *end) scoresBack(dnormed lora.View, d []float64) {
	sum := make([]float32, dnormed.Rows)
	for i, row := range e.f.scoreAt {
		sum[row] += float32(d[i])
	}
	dy := e.n.eng.Temp(dnormed.Rows, 1)
	e.n.eng.Write(dy, sum)
	e.n.eng.LinearBack(dnormed, dy, e.normed, &e.n.score, lora.View{}, false)
}
