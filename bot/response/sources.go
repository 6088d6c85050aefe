package response

import (
	"slices"

	"tocsin/bot/expression"
)

// UnknownSources returns the names that a condition compares with the source of
// an alert and that are not in sources. Such a comparison is always a mistake.
// For a condition that does not parse it returns nil.
func UnknownSources(when string, sources []string) []string {
	var names []string
	for _, c := range expression.Comparisons(when) {
		compares := c.Operator == "==" || c.Operator == "!=" || c.Operator == "in"
		if c.Name == "source" && compares && !slices.Contains(sources, c.Text) && !slices.Contains(names, c.Text) {
			names = append(names, c.Text)
		}
	}
	return names
}

// ComparedSources returns the names that a condition compares with the source of an alert
// by == or in.
func ComparedSources(when string) []string {
	var names []string
	for _, c := range expression.Comparisons(when) {
		if c.Name == "source" && (c.Operator == "==" || c.Operator == "in") {
			names = append(names, c.Text)
		}
	}
	return names
}

// OrdersLevels reports whether a condition compares the level of an alert by <, <=, > or
// >=. Such a comparison is always a mistake: it uses the order of the alphabet.
func OrdersLevels(when string) bool {
	return slices.ContainsFunc(expression.Comparisons(when), func(c expression.Comparison) bool {
		return c.Name == "level" && (c.Operator[0] == '<' || c.Operator[0] == '>')
	})
}
