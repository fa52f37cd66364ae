package attribution

import "context"

// Spend counts calls that were made elsewhere on behalf of an attribution, such as by
// another machine. Within [Annotate] they stand in its [Summary]; they are not held
// against a MaxCost before they are made. Outside Annotate it does nothing.
func Spend(ctx context.Context, u Usage) {
	a, _ := ctx.Value(accountKey{}).(*account)
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spent.Add(u)
}
