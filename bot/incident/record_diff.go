package incident

import (
	"slices"
	"strings"
)

// PartChange is how one part of a signed document differs from an earlier one.
type PartChange struct {
	Label          string
	Removed, Added []string // sentences
}

// ChangesSince returns the parts of the document that differ from an earlier one. lines
// returns the facts as people read them.
func (d SignedDocument) ChangesSince(old SignedDocument, lines func(Facts) []string) []PartChange {
	var out []PartChange
	add := func(label string, before, after []string) {
		if removed, added := missingFrom(after, before), missingFrom(before, after); len(removed)+len(added) > 0 {
			out = append(out, PartChange{label, removed, added})
		}
	}
	for _, f := range RecordFields() {
		add(f.Label, sentencesOf(old.Record.Get(f.Name)), sentencesOf(d.Record.Get(f.Name)))
	}
	add("Facts", lines(old.Facts), lines(d.Facts))
	add("Severity", []string{string(old.Severity)}, []string{string(d.Severity)})
	add("Steps left open", sentencesOf(old.Unfinished.Text()), sentencesOf(d.Unfinished.Text()))
	return out
}

// missingFrom returns the elements of list that have does not contain.
func missingFrom(have, list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(have, s) {
			out = append(out, s)
		}
	}
	return out
}

// sentencesOf splits a text at line ends and after full stops.
func sentencesOf(text string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		for _, s := range strings.SplitAfter(line, ". ") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
	}
	return out
}
