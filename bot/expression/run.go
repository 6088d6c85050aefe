package expression

import (
	"errors"
	"fmt"

	"github.com/expr-lang/expr/vm"
)

// Limits of the cost, in steps of about a nanosecond. The time of a run is at most
// about twice the cost: as long as the computation of the cost and the run itself.
const (
	ConditionSteps = 400_000    // of a condition
	MappingSteps   = 15_000_000 // of all expressions on one delivery
)

// Budget is the number of steps that expressions may still use. It is not safe for
// concurrent use.
type Budget struct{ left, limit int }

// NewBudget returns a budget of a number of steps.
func NewBudget(steps int) *Budget { return &Budget{left: steps, limit: steps} }

// Used returns the number of steps used.
func (b *Budget) Used() int { return b.limit - b.left }

// Exhausted reports whether the budget is too small for any expression.
func (b *Budget) Exhausted() bool { return b.left < minSteps }

// CostError is the error of an expression that was not run because its cost exceeds
// the budget.
type CostError struct{ Limit int }

// Error implements error.
func (e *CostError) Error() string {
	return fmt.Sprintf("the expression needs more than %d steps on these values. Use shorter patterns, or contains in place of matches", e.Limit)
}

// Run evaluates the expression on env, which has the type given to [Compile]. It
// returns a [*CostError] without evaluating it if the cost exceeds the budget.
func (p *Program) Run(env any, b *Budget) (any, error) {
	e := p.estimator(env, b.left)
	e.charge(runSteps)
	e.visit(p.node)
	if e.exceeded() {
		b.left = max(b.left-e.work, 0)
		return nil, &CostError{Limit: b.limit}
	}
	b.left -= e.steps
	machine := vm.VM{MemoryBudget: maxMemory}
	value, err := machine.Run(p.compiled, env)
	if err != nil {
		return nil, errors.New(firstLine(err))
	}
	return value, nil
}

// Matches evaluates a condition within [ConditionSteps].
func (p *Program) Matches(env any) (bool, error) {
	value, err := p.Run(env, NewBudget(ConditionSteps))
	return value == true, err
}
