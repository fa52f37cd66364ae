package grpo

// Phase is a part of an optimiser step. Steps that make another pass over a batch
// have the last one only.
type Phase string

// The phases, in their order.
const (
	SamplePhase    Phase = "sample"    // completions are drawn
	ScorePhase     Phase = "score"     // the scorers are asked
	ReferencePhase Phase = "reference" // log-probabilities under the reference, where the loss has a KL term
	UpdatePhase    Phase = "update"    // gradients and the update of the adapter
)

// begin tells that a phase begins.
func (t *GRPOTrainer) begin(p Phase) {
	if t.cfg.OnPhase != nil {
		t.cfg.OnPhase(p)
	}
}
