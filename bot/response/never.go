package response

import (
	"slices"
	"strings"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
)

// Given is what the alerts of one source can contain. It serves to find routing rules
// that can never match.
type Given struct {
	Source string
	Kinds  []string // "*" at the end stands for any rest. Empty: any kind
	Levels []string
}

// Never is why a routing rule never matches.
type Never struct {
	Rule      int
	Shadowed  bool       // an earlier rule matches each alert that this one would
	Otherwise []Mismatch // values in the condition that no alert has
}

// Mismatch is a text that the condition of a rule compares with a field, although no
// alert has it there.
type Mismatch struct{ Field, Text string }

// FindUnopened returns the levels at which an alert of a source opens no incident, if it
// has no other properties, by the number of the rule that decides. A rule that drops
// alerts is left out, because it gives a reason.
func FindUnopened(rules []Rule, g Given) map[int][]string {
	r := &Routing{rules: rules}
	out := map[int][]string{}
	for _, level := range g.Levels {
		for _, kind := range g.Kinds {
			v := r.route(incident.Alert{Source: g.Source, Kind: kind, Level: incident.Level(level)})
			if n := v.position - 1; n >= 0 && v.rule.Open == "" && v.rule.Drop == "" && !slices.Contains(out[n], level) {
				out[n] = append(out[n], level)
			}
		}
	}
	return out
}

// maxCases is the maximum number of combinations of values for which a rule is
// evaluated. A rule with more is not checked.
const maxCases = 20_000

// FindNever returns the rules that never match. Rules that do not compile are ignored.
// It judges comparisons with constant texts exactly, and takes any other part of a
// condition as true or false.
func FindNever(rules []Rule, given []Given) []Never {
	var out []Never
	logics := make([]*expression.Logic, len(rules))
	for n, r := range rules {
		if _, err := compileCondition(r.When); err == nil {
			logics[n] = expression.NewLogic(r.When)
		}
		if logics[n] == nil {
			continue
		}
		never := Never{Rule: n, Otherwise: mismatches(logics[n], given)}
		matches, decides, judged := judge(logics[n], logics[:n], given)
		never.Shadowed = judged && matches && !decides
		if judged && !matches || never.Shadowed || len(never.Otherwise) > 0 {
			out = append(out, never)
		}
	}
	return out
}

// mismatches returns the levels and kinds that no alert has.
func mismatches(l *expression.Logic, given []Given) []Mismatch {
	var out []Mismatch
	for _, v := range l.Variables {
		for _, text := range v.Texts {
			isGiven := true
			switch v.Name {
			case "level":
				isGiven = slices.ContainsFunc(given, func(g Given) bool { return slices.Contains(g.Levels, text) })
			case "kind":
				isGiven = isKind(text, given)
			}
			if !isGiven {
				out = append(out, Mismatch{v.Name, text})
			}
		}
	}
	return out
}

// isKind reports whether an alert can have a kind. A source without a list can give any
// kind, except one that begins like those of another source.
func isKind(kind string, given []Given) bool {
	prefix, _, _ := strings.Cut(kind, ".")
	isOwned := false
	for _, g := range given {
		switch {
		case len(g.Kinds) > 0 && g.hasKind(kind):
			return true
		case slices.ContainsFunc(g.Kinds, func(k string) bool { return strings.HasPrefix(k, prefix+".") }):
			isOwned = true
		}
	}
	return !isOwned && slices.ContainsFunc(given, func(g Given) bool { return len(g.Kinds) == 0 })
}

// hasKind reports whether an alert of the source can have a kind.
func (g Given) hasKind(kind string) bool {
	return len(g.Kinds) == 0 || slices.ContainsFunc(g.Kinds, func(k string) bool {
		prefix, open := strings.CutSuffix(k, "*")
		return k == kind || open && strings.HasPrefix(kind, prefix)
	})
}

// kindsIn returns the kinds of the source that a rule can distinguish: those that it
// names, and others.
func (g Given) kindsIn(named []string) []string {
	out := slices.DeleteFunc(slices.Clone(named), func(k string) bool { return !g.hasKind(k) })
	if len(g.Kinds) == 0 {
		return append(out, other)
	}
	for _, k := range g.Kinds {
		if !slices.Contains(out, k) {
			out = append(out, k) // an open one stands for all that no rule names
		}
	}
	return out
}

// other stands for any text that a condition does not name.
const other = "\x00other"

// judge reports whether a rule can match at all, and whether it can match an alert that
// no earlier rule matches. It reports false for judged if the rule has too many cases.
func judge(rule *expression.Logic, earlier []*expression.Logic, given []Given) (matches, decides, judged bool) {
	free := slices.DeleteFunc(slices.Clone(rule.Variables), func(v expression.Variable) bool {
		return v.Name == "source" || v.Name == "level" || v.Name == "kind"
	})
	values := map[string]string{}
	lookup := func(name string) (string, bool) { v, known := values[name]; return v, known }
	visit := func() {
		if matches && decides || rule.Evaluate(lookup) == expression.False {
			return
		}
		matches = true
		decides = decides || !slices.ContainsFunc(earlier, func(l *expression.Logic) bool { return l != nil && l.Evaluate(lookup) == expression.True })
	}
	cases := 1
	for _, v := range free {
		cases *= max(2, len(v.Texts)+1)
		if cases > maxCases {
			return false, false, false
		}
	}
	var assign func(n int)
	assign = func(n int) {
		if n == len(free) {
			visit()
			return
		}
		v := free[n]
		for _, value := range choices(v) {
			values[v.Name] = value
			assign(n + 1)
		}
	}
	kinds := namedKinds(append([]*expression.Logic{rule}, earlier...))
	for _, g := range given {
		for _, level := range g.Levels {
			for _, kind := range g.kindsIn(kinds) {
				values["source"], values["level"], values["kind"] = g.Source, level, kind
				assign(0)
				if matches && decides {
					return true, true, true
				}
			}
		}
	}
	return matches, decides, true
}

// choices returns the values of a variable that conditions can distinguish.
func choices(v expression.Variable) []string {
	if v.Texts == nil {
		return []string{"true", "false"}
	}
	return append(slices.Clone(v.Texts), other)
}

// namedKinds returns the kinds with which rules compare.
func namedKinds(rules []*expression.Logic) []string {
	var out []string
	for _, l := range rules {
		if l == nil {
			continue
		}
		for _, v := range l.Variables {
			if v.Name == "kind" {
				out = append(out, v.Texts...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
