package playbooks

import (
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"tocsin/bot/incident"
)

// checkPlaceholders reports unknown placeholders in a text of a step, and placeholders
// between quotes whose value may need quotes itself.
func (r *reader) checkPlaceholders(n ast.Node, s string) {
	first := startOf(n).Line
	if literal, ok := n.(*ast.LiteralNode); ok {
		first = literal.Value.GetToken().Position.Line
	}
	for at, line := range strings.Split(s, "\n") {
		for _, found := range incident.PlaceholderPattern.FindAllStringSubmatchIndex(line, -1) {
			name, number := line[found[2]:found[3]], r.lineOf(first+at, line)
			column := 1
			if number <= len(r.lines) {
				column = max(strings.Index(r.lines[number-1], line[found[0]:found[1]])+1, 1)
			}
			switch {
			case !slices.Contains(incident.Placeholders(), name):
				r.errorAtLine(number, column, "unknown placeholder %q%s", name, suggestion(name, incident.Placeholders()))
			case !incident.ExactPlaceholder(name) && isQuoted(line[:found[0]]):
				r.errorAtLine(number, column, "the placeholder %q is between quotes, remove the quotes because Tocsin adds them if the value needs them", name)
			}
		}
	}
}

// lineOf returns the number of the line with a text that is the nearest to near.
func (r *reader) lineOf(near int, text string) int {
	for d := range len(r.lines) {
		for _, number := range []int{near + d, near - d} {
			if number >= 1 && number <= len(r.lines) && strings.Contains(r.lines[number-1], text) {
				return number
			}
		}
	}
	return near
}

// isQuoted reports whether the end of a text is between quotes. An apostrophe in a word is
// not a quote.
func isQuoted(s string) bool {
	var open, before rune
	for _, c := range s {
		switch {
		case open != 0 && c == open:
			open = 0
		case open == 0 && (c == '"' || c == '\'') && !unicode.IsLetter(before) && !unicode.IsDigit(before):
			open = c
		}
		before = c
	}
	return open != 0
}
