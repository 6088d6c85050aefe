package detect

import (
	"crypto/rand"
	"slices"
	"strings"
)

// Ruleset holds compiled rules. It is safe for concurrent use.
type Ruleset struct {
	rules        []*Rule
	correlations []*Rule
	source       []byte // see Source
	id           string // random, see DecodeHits

	byName   map[string][]*Rule // by folded eventName
	byPrefix [256][]prefixed    // by the first byte of the folded eventName
	byField  []fieldIndex       // rules that match any eventName but need another field
	byPart   []partIndex        // rules that only need a part of some field
	always   []*Rule            // rules that are evaluated for every record
}

// fieldIndex holds the rules that need one of certain texts in a field.
type fieldIndex struct {
	path   string
	byText map[string][]*Rule // by folded text
	rules  []*Rule            // all rules in byText
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

// Rules returns the rules about single records, then the correlations, each in
// the order they were loaded.
func (rs *Ruleset) Rules() []*Rule { return slices.Concat(rs.rules, rs.correlations) }

func (rs *Ruleset) add(r *Rule) {
	if r.Correlation != nil {
		rs.correlations = append(rs.correlations, r)
		return
	}
	rs.rules = append(rs.rules, r)
}

// Match calls hit for each rule about single records that matches r, in no
// particular order. It allocates only if a rule matches or compares a whole object
// that has to be rendered. Concurrent calls need different records.
func (rs *Ruleset) Match(r *Record, hit func(Hit)) {
	name, scalar := r.foldedField("eventName")
	if !scalar { // the index does not cover lists and objects
		rs.matchRules(rs.rules, r, hit)
		return
	}
	rs.matchRules(rs.byName[string(name)], r, hit)
	if len(name) > 0 {
		for _, p := range rs.byPrefix[name[0]] {
			if len(name) >= len(p.prefix) && string(name[:len(p.prefix)]) == p.prefix {
				rs.matchRule(p.rule, r, hit)
			}
		}
	}
	for i := range rs.byField {
		f := &rs.byField[i]
		if text, scalar := r.foldedField(f.path); scalar {
			rs.matchRules(f.byText[string(text)], r, hit)
		} else {
			rs.matchRules(f.rules, r, hit)
		}
	}
	rs.matchParts(r, hit)
	rs.matchRules(rs.always, r, hit)
}

func (rs *Ruleset) matchRules(rules []*Rule, r *Record, hit func(Hit)) {
	for _, rule := range rules {
		rs.matchRule(rule, r, hit)
	}
}

func (rs *Ruleset) matchRule(rule *Rule, r *Record, hit func(Hit)) {
	if rule.expr.eval(r) {
		hit(Hit{rule, r})
	}
}

// foldedField returns the case-folded text at a path. The text is valid until the
// next call. scalar is false if the path leads through a list or ends at a list or
// an object.
func (r *Record) foldedField(path string) (text []byte, scalar bool) {
	n := r.root
	for path != "" {
		switch r.nodes[n].kind {
		case kindArray:
			return nil, false
		case kindObject:
			child, used := r.member(n, path)
			if child < 0 {
				return nil, true
			}
			n, path = child, rest(path, used)
		default:
			return nil, true
		}
	}
	switch r.nodes[n].kind {
	case kindNull:
		return nil, true
	case kindArray, kindObject:
		return nil, false
	}
	r.foldBuf = appendFolded(r.foldBuf[:0], r.textOf(n))
	return r.foldBuf, true
}

// buildIndex fills the index. It adds a rule that needs one of certain event names
// under these names, and another rule under the texts that it needs in some other
// field.
func (rs *Ruleset) buildIndex() {
	rs.byName, rs.id = map[string][]*Rule{}, rand.Text()
	for i, r := range rs.rules {
		r.index = i
		if names, ok := needs(r.expr, "eventName"); ok {
			rs.indexByName(r, names)
		} else if path, texts := otherFieldNeeds(r.expr); path != "" {
			rs.indexByField(r, path, texts)
		} else if path, parts := partNeeds(r.expr); path != "" {
			rs.indexByPart(r, path, parts)
		} else {
			rs.always = append(rs.always, r)
		}
	}
}

// otherFieldNeeds returns a field that must equal one of texts for the expression
// to be true. It chooses the field with the fewest texts. path is empty if there is
// no such field.
func otherFieldNeeds(e expr) (path string, texts []need) {
	for _, p := range comparedFields(e) {
		if got, ok := needs(e, p); ok && !slices.ContainsFunc(got, isPrefix) && (path == "" || len(got) < len(texts)) {
			path, texts = p, got
		}
	}
	return path, texts
}

// comparedFields returns the fields of a record that an expression compares,
// without derived fields and negated expressions.
func comparedFields(e expr) (out []string) {
	switch e := e.(type) {
	case andExpr:
		for _, x := range e {
			out = append(out, comparedFields(x)...)
		}
	case orExpr:
		for _, x := range e {
			out = append(out, comparedFields(x)...)
		}
	case *item:
		if e.path != "" && !isDerived(e.path) {
			out = append(out, e.path)
		}
	}
	return out
}

func (rs *Ruleset) indexByField(r *Rule, path string, texts []need) {
	at := slices.IndexFunc(rs.byField, func(f fieldIndex) bool { return f.path == path })
	if at < 0 {
		at = len(rs.byField)
		rs.byField = append(rs.byField, fieldIndex{path: path, byText: map[string][]*Rule{}})
	}
	f := &rs.byField[at]
	f.rules = append(f.rules, r)
	for i, n := range texts {
		if !slices.Contains(texts[:i], n) {
			f.byText[n.text] = append(f.byText[n.text], r)
		}
	}
}

func isPrefix(n need) bool { return n.prefix }

func (rs *Ruleset) indexByName(r *Rule, names []need) {
	// Match must evaluate a rule only once. A name that begins with a prefix of the
	// same rule therefore gets no entry.
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

// need is a text that a field must equal, or begin with if prefix is set.
type need struct {
	text   string // folded
	prefix bool
}

// needs returns the texts for which the expression can be true. ok is false if it
// can be true for any other text of the field.
func needs(e expr, field string) (out []need, ok bool) {
	switch e := e.(type) {
	case andExpr:
		for _, x := range e {
			if got, found := needs(x, field); found && (!ok || len(got) < len(out)) {
				out, ok = got, true
			}
		}
		return out, ok
	case orExpr:
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
	if it.path != field || it.op != opText || it.negated {
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

// need returns the text, or the beginning of the text, that the pattern requires.
// ok is false if there is none, for example with a wildcard at the beginning.
func (g *glob) need() (n need, ok bool) {
	if g.openStart || len(g.segments) == 0 {
		return need{}, false
	}
	var text []byte
	whole := g.closedEnd && len(g.segments) == 1
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
