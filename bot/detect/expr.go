package detect

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// expr is a compiled condition.
type expr interface{ eval(*Record) bool }

type (
	andExpr   []expr
	orExpr    []expr
	notExpr   struct{ x expr }
	constExpr bool
)

func (e andExpr) eval(r *Record) bool {
	for _, x := range e {
		if !x.eval(r) {
			return false
		}
	}
	return true
}

func (e orExpr) eval(r *Record) bool {
	for _, x := range e {
		if x.eval(r) {
			return true
		}
	}
	return false
}

func (e notExpr) eval(r *Record) bool   { return !e.x.eval(r) }
func (e constExpr) eval(r *Record) bool { return bool(e) }

// allOf joins expressions by and. It sorts them by [cost], cheapest first.
func allOf(es []expr) expr {
	if len(es) == 1 {
		return es[0]
	}
	es = slices.Clone(es)
	slices.SortStableFunc(es, func(a, b expr) int { return cost(a) - cost(b) })
	return andExpr(es)
}

func anyOf(es []expr) expr {
	if len(es) == 1 {
		return es[0]
	}
	return orExpr(slices.Clone(es))
}

// cost returns a rough measure of the time that an expression takes.
func cost(e expr) int {
	sum := 0
	switch e := e.(type) {
	case andExpr:
		for _, x := range e {
			sum += cost(x)
		}
	case orExpr:
		for _, x := range e {
			sum += cost(x)
		}
	case notExpr:
		sum = cost(e.x)
	case *item:
		sum = 2 + len(e.tests)
		if e.path == "eventName" || e.path == "eventSource" {
			sum = 1
		}
		if e.derived != notDerived || e.op == opFieldref && (isDerived(e.path) || isDerived(e.ref.path)) {
			sum += 50
		}
		for _, t := range e.tests {
			if _, ok := t[0].(*regexpTest); ok || e.path == "" {
				sum += 100
			}
		}
	}
	return sum
}

// item is one line of a detection, a comparison of a field with values.
type item struct {
	path    string // "" for keywords, which search the whole record
	derived family // of path, always notDerived with opFieldref
	op      itemOp
	tests   []alternatives // one for each value of the rule
	all     bool           // modifier all, each value must match
	negated bool           // modifier neq
	want    bool           // of opExists
	ref     reference      // of opFieldref
	label   string         // the key as in the rule
	source  []string       // the values as in the rule, placeholders replaced
	line    int
}

type itemOp uint8

const (
	opText itemOp = iota // the field's texts are tested
	opExists
	opNull
	opFieldref
)

// alternatives are the tests for one value of a rule, joined by or. There are
// several if placeholders or encodings give the value several texts.
type alternatives []test

// test reports whether the text of one value matches.
type test interface{ match(text []byte) bool }

func (it *item) eval(r *Record) bool {
	if it.derived != notDerived {
		r = r.derive(it.derived)
	}
	switch it.op {
	case opExists:
		_, found := r.firstNode(r.root, it.path)
		return found == it.want
	case opFieldref:
		return it.ref.eval(r, it.path) && !it.negated || it.negated && it.ref.bothPresent(r, it.path) && !it.ref.eval(r, it.path)
	case opNull:
		return r.present(r.root, it.path) == it.negated
	}
	if it.negated {
		return r.present(r.root, it.path) && !it.matchTests(r)
	}
	return it.matchTests(r)
}

func (it *item) matchTests(r *Record) bool {
	for _, t := range it.tests {
		if r.matchesAt(r.root, it.path, t) != it.all {
			return !it.all
		}
	}
	return it.all
}

// present reports whether a path leads to a value other than null.
func (r *Record) present(n int32, path string) bool {
	nd := &r.nodes[n]
	if path == "" {
		return nd.kind != kindNull
	}
	switch nd.kind {
	case kindObject:
		child, used := r.member(n, path)
		return child >= 0 && r.present(child, rest(path, used))
	case kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if r.present(c, path) {
				return true
			}
		}
	}
	return false
}

// matchesAt reports whether a path leads to a value that one of the tests matches.
func (r *Record) matchesAt(n int32, path string, tests alternatives) bool {
	if path == "" {
		return r.matchesNode(n, tests)
	}
	nd := &r.nodes[n]
	switch nd.kind {
	case kindObject:
		child, used := r.member(n, path)
		return child >= 0 && r.matchesAt(child, rest(path, used), tests)
	case kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if r.matchesAt(c, path, tests) {
				return true
			}
		}
	}
	return false
}

// matchesNode reports whether one of the tests matches the value of a node or, in
// an array, the value of an element.
func (r *Record) matchesNode(n int32, tests alternatives) bool {
	nd := &r.nodes[n]
	if nd.kind == kindNull {
		return false
	}
	text := r.textOf(n)
	for _, t := range tests {
		if t.match(text) {
			return true
		}
	}
	switch nd.kind {
	case kindArray:
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if r.matchesNode(c, tests) {
				return true
			}
		}
	case kindObject:
		return r.matchesInnerString(n, tests)
	}
	return false
}

// matchesInnerString reports whether a test for a substring matches the decoded
// form of an escaped string inside an object.
func (r *Record) matchesInnerString(n int32, tests alternatives) bool {
	if len(r.text) == 0 {
		return false
	}
	for _, t := range tests {
		g, ok := t.(*glob)
		if !ok || !g.contains() {
			continue
		}
		for c := n + 1; c < r.nodes[n].next; c++ {
			if nd := &r.nodes[c]; nd.kind == kindString && nd.escaped && g.match(r.stringOf(nd)) {
				return true
			}
		}
	}
	return false
}

// cidrTest matches IP addresses in a network, and no other texts.
type cidrTest struct{ network netip.Prefix }

func (t *cidrTest) match(text []byte) bool {
	if len(text) > 45 || len(text) < 2 {
		return false
	}
	addr, err := netip.ParseAddr(string(text))
	return err == nil && addr.Zone() == "" && t.network.Contains(addr.Unmap())
}

// numberTest compares numbers or, if timePart is set, a part of an RFC 3339 time.
type numberTest struct {
	op       string
	value    float64
	timePart func(time.Time) int
}

func (t *numberTest) match(text []byte) bool {
	var f float64
	if t.timePart != nil {
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil {
			return false
		}
		f = float64(t.timePart(at.UTC()))
	} else {
		var ok bool
		if f, ok = number(text); !ok {
			return false
		}
	}
	switch t.op {
	case "gt":
		return f > t.value
	case "gte":
		return f >= t.value
	case "lt":
		return f < t.value
	case "lte":
		return f <= t.value
	}
	return f == t.value
}

// number parses a decimal number. Unlike [strconv.ParseFloat], it does not accept
// hexadecimal numbers, underscores, Inf and NaN.
func number(text []byte) (float64, bool) {
	if len(text) == 0 || len(text) > 400 {
		return 0, false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && bytes.IndexByte([]byte("+-.eE"), c) < 0 {
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

// reference compares a field with another field of the same record.
type reference struct {
	path     string
	operator string // "", contains, startswith, endswith
	cased    bool
}

// eval reports whether a value at path matches a value of the referenced field.
func (f *reference) eval(r *Record, path string) bool {
	one, other := r.recordFor(path), r.recordFor(f.path)
	return one.eachText(one.root, path, func(a []byte) bool {
		a = append(r.refBuf[:0], a...)
		r.refBuf = a
		return other.eachText(other.root, f.path, func(b []byte) bool { return f.compare(a, b) })
	})
}

func (f *reference) bothPresent(r *Record, path string) bool {
	one, other := r.recordFor(path), r.recordFor(f.path)
	return one.present(one.root, path) && other.present(other.root, f.path)
}

func (f *reference) compare(a, b []byte) bool {
	if !f.cased {
		a, b = appendFolded(nil, a), appendFolded(nil, b)
	}
	switch f.operator {
	case "contains":
		return bytes.Contains(a, b)
	case "startswith":
		return bytes.HasPrefix(a, b)
	case "endswith":
		return bytes.HasSuffix(a, b)
	}
	return bytes.Equal(a, b)
}

// eachText calls yes with the texts of the values at a path until yes returns
// true. It reports whether that happened.
func (r *Record) eachText(n int32, path string, yes func([]byte) bool) bool {
	nd := &r.nodes[n]
	switch {
	case nd.kind == kindArray:
		if path == "" && yes(r.textOf(n)) {
			return true
		}
		for c := n + 1; c < nd.next; c = r.nodes[c].next {
			if r.eachText(c, path, yes) {
				return true
			}
		}
	case path == "":
		return nd.kind != kindNull && yes(r.textOf(n))
	case nd.kind == kindObject:
		child, used := r.member(n, path)
		return child >= 0 && r.eachText(child, rest(path, used), yes)
	}
	return false
}
