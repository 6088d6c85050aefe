package detect

import (
	"slices"
	"strings"
)

// Ruleset is rules that are ready to match. It is safe for concurrent use.
type Ruleset struct {
	rules        []*Rule
	correlations []*Rule
	digest       string

	byName   map[string][]*Rule // folded eventName
	byPrefix [256][]prefixed    // by the folded first byte of eventName
	bySource map[string][]*Rule // rules that ask for an eventSource only
	always   []*Rule
}

type prefixed struct {
	prefix string
	rule   *Rule
}

// Hit is a rule that matched a record.
type Hit struct {
	Rule   *Rule
	Record *Record
}

// Rules are the rules about single records and the correlations, in the order
// they were loaded.
func (rs *Ruleset) Rules() []*Rule { return slices.Concat(rs.rules, rs.correlations) }

// Digest identifies the files that were loaded.
func (rs *Ruleset) Digest() string { return rs.digest }

func (rs *Ruleset) add(r *Rule) {
	if r.Correlation != nil {
		rs.correlations = append(rs.correlations, r)
		return
	}
	r.index = len(rs.rules)
	rs.rules = append(rs.rules, r)
}

// Match calls hit for each rule about single records that a record matches, in
// no particular order. It allocates nothing unless a rule hits or compares a
// whole object that has to be rendered.
func (rs *Ruleset) Match(r *Record, hit func(Hit)) {
	name, plainName := r.folded("eventName", 0)
	source, plainSource := r.folded("eventSource", 1)
	if !plainName || !plainSource { // a list or an object where a text belongs: leave nothing out
		rs.try(rs.rules, r, hit)
		return
	}
	rs.try(rs.byName[string(name)], r, hit)
	if len(name) > 0 {
		for _, p := range rs.byPrefix[name[0]] {
			if len(name) >= len(p.prefix) && string(name[:len(p.prefix)]) == p.prefix {
				rs.one(p.rule, r, hit)
			}
		}
	}
	rs.try(rs.bySource[string(source)], r, hit)
	rs.try(rs.always, r, hit)
}

func (rs *Ruleset) try(rules []*Rule, r *Record, hit func(Hit)) {
	for _, rule := range rules {
		rs.one(rule, r, hit)
	}
}

func (rs *Ruleset) one(rule *Rule, r *Record, hit func(Hit)) {
	if rule.expr.eval(r) {
		hit(Hit{rule, r})
	}
}

// folded is the text of a field of the top level without its case, in scratch
// memory. It is not plain when it is a list or an object.
func (r *Record) folded(field string, slot int) (text []byte, plain bool) {
	n, used := r.member(r.root, field)
	if n < 0 || used != len(field) {
		return nil, true
	}
	switch r.nodes[n].kind {
	case kindNull:
		return nil, true
	case kindArray, kindObject:
		return nil, false
	}
	r.keys[slot] = appendFolded(r.keys[slot][:0], r.textOf(n))
	return r.keys[slot], true
}

// build fills the index. A rule whose condition can only hold for some names of
// events goes under those; another that asks for a source under that.
func (rs *Ruleset) build() {
	rs.byName, rs.bySource = map[string][]*Rule{}, map[string][]*Rule{}
	for _, r := range rs.rules {
		if names, ok := needs(r.expr, "eventName"); ok {
			rs.byNames(r, names)
			continue
		}
		if sources, ok := needs(r.expr, "eventSource"); ok && !slices.ContainsFunc(sources, isPrefix) {
			for i, s := range sources {
				if !slices.Contains(sources[:i], s) {
					rs.bySource[s.text] = append(rs.bySource[s.text], r)
				}
			}
			continue
		}
		rs.always = append(rs.always, r)
	}
}

func isPrefix(n need) bool { return n.prefix }

func (rs *Ruleset) byNames(r *Rule, names []need) {
	// A rule is tried once: what a prefix covers needs no entry of its own.
	for i, n := range names {
		covered := slices.ContainsFunc(names[:i], func(o need) bool { return o == n })
		for _, o := range names {
			covered = covered || o != n && o.prefix && strings.HasPrefix(n.text, o.text)
		}
		switch {
		case covered:
		case n.prefix:
			first := n.text[0]
			rs.byPrefix[first] = append(rs.byPrefix[first], prefixed{n.text, r})
		default:
			rs.byName[n.text] = append(rs.byName[n.text], r)
		}
	}
}

// need is a text, or the beginning of one, that a field must have.
type need struct {
	text   string // folded
	prefix bool
}

// needs finds texts of which a field must have one for the expression to hold.
// Not ok: it can hold with others too.
func needs(e expr, field string) (out []need, ok bool) {
	switch e := e.(type) {
	case all:
		for _, x := range e {
			if got, found := needs(x, field); found && (!ok || len(got) < len(out)) {
				out, ok = got, true
			}
		}
		return out, ok
	case anyone:
		for _, x := range e {
			got, found := needs(x, field)
			if !found {
				return nil, false
			}
			out = append(out, got...)
		}
		return out, len(e) > 0
	case *item:
		return e.needs(field)
	}
	return nil, false
}

func (it *item) needs(field string) (out []need, ok bool) {
	if it.path != field || it.op != opText || it.neg {
		return nil, false
	}
	for _, forms := range it.tests {
		for _, t := range forms {
			g, isGlob := t.(*glob)
			if !isGlob {
				return nil, false
			}
			n, found := g.need()
			if !found {
				return nil, false
			}
			out = append(out, n)
		}
	}
	return out, true
}

// need is what a text must begin with to fit the pattern.
func (g *glob) need() (need, bool) {
	if g.open || len(g.segments) == 0 {
		return need{}, false
	}
	var text []byte
	whole := g.shut && len(g.segments) == 1
	for _, r := range g.segments[0].runes {
		if r < 0 || r&rawByte != 0 {
			whole = false
			break
		}
		text = append(text, string(r)...)
	}
	if len(text) == 0 {
		return need{}, false
	}
	return need{string(appendFolded(nil, text)), !whole}, true
}
