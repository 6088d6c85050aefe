package detect

import (
	"fmt"
	"slices"
	"strings"
)

// fileTitle is the title of a rule and the file of the rule. Titles are unique
// neither in a file nor between files.
type fileTitle struct{ file, title string }

// register adds a rule under its id, name and title. It returns an error if another
// rule has its id or name.
func (l *loader) register(r *Rule) error {
	for _, key := range []string{r.ID, r.Name} {
		if other := l.known[key]; other != nil && key != "" && other != r {
			return parseErrorf(r.Line, "%q is already the id or name of the rule in %s", key, other.File)
		}
		if key != "" {
			l.known[key] = r
		}
	}
	key := fileTitle{r.File, r.Title}
	l.titled[key] = append(l.titled[key], r)
	return nil
}

func (l *loader) unregister(r *Rule) {
	for _, key := range []string{r.ID, r.Name} {
		if l.known[key] == r {
			delete(l.known, key)
		}
	}
	key := fileTitle{r.File, r.Title}
	l.titled[key] = slices.DeleteFunc(l.titled[key], func(other *Rule) bool { return other == r })
}

// ruleNamed returns the rule that a document names by id, by name or by title. An id
// or name can be that of a rule in any file. A title must be that of one rule in the
// file of the document, because the files of other authors may repeat it.
func (l *loader) ruleNamed(d *document, name string, line int) (*Rule, error) {
	here := l.titled[fileTitle{d.file, name}]
	r := l.known[name]
	switch {
	case r != nil:
		if i := slices.IndexFunc(here, func(other *Rule) bool { return other != r && other != d.rule }); i >= 0 {
			return nil, parseErrorf(line, "%q is the id or name of the rule in %s, and also the title of the rule in line %d. Change the title, or write the id of the rule instead",
				name, place(r), here[i].Line)
		}
		return r, nil
	case len(here) == 1:
		return here[0], nil
	case len(here) > 1:
		return nil, parseErrorf(line, "%d rules in this file have the title %q (lines %s). Write the id or name of the rule instead", len(here), name, lines(here))
	}
	if others := l.titledElsewhere(name); len(others) > 0 {
		return nil, parseErrorf(line, "the %s names the unknown rule %q. The rule in %s has this title, but a title works only in the same file. Write its id or name instead", d.kind(), name, others[0])
	}
	return nil, parseErrorf(line, "the %s names the unknown rule %q. Write the id or name of a rule, or the title of a rule in the same file", d.kind(), name)
}

// titledElsewhere returns the places of the rules with a title, in order.
func (l *loader) titledElsewhere(title string) (out []string) {
	for key, rules := range l.titled {
		for _, r := range rules {
			if key.title == title {
				out = append(out, place(r))
			}
		}
	}
	slices.Sort(out)
	return out
}

// rulesNamed returns the rules with a name or id, or with a title in a file.
func rulesNamed(rules []*Rule, file, name string) (out []*Rule) {
	for _, r := range rules {
		if r.listedIn([]string{name}) || r.File == file && r.Title == name {
			out = append(out, r)
		}
	}
	return out
}

// kind returns the word for a document that refers to rules.
func (d *document) kind() string {
	if d.value.get("filter") != nil {
		return "filter"
	}
	return "correlation"
}

func place(r *Rule) string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

// lines returns the lines of rules, such as "3, 10".
func lines(rules []*Rule) string {
	var out []string
	for _, r := range rules {
		out = append(out, fmt.Sprint(r.Line))
	}
	return strings.Join(out, ", ")
}
