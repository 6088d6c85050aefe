// Package expression compiles and runs the expressions of routing rules,
// maintenance windows, playbooks and mappings with a bounded cost.
//
// expr-lang cannot be interrupted while it runs, so this package bounds the cost
// before it runs anything:
//
//   - [Compile] accepts only operators and functions from a list. It refuses
//     ranges, predicates inside predicates, patterns that are not constant, and
//     sources, texts, patterns and lists beyond their limits.
//   - Compile computes the cost of the expression on values of usual
//     size and refuses the expression if it exceeds the limit.
//   - [Program.Run] computes the cost on the actual values and returns a [*CostError]
//     instead of running an expression that exceeds its [Budget].
//
// A step of the cost is about one nanosecond. The cost is computed from the
// expression and the sizes of the values alone, so it is equal on every machine:
//
//	program, err := expression.Compile(`title contains "login"`, alert{}, expression.Condition)
//	value, err := program.Run(alert{Title: "login failed"}, expression.NewBudget(expression.ConditionSteps))
//
// No other package imports expr-lang.
package expression
