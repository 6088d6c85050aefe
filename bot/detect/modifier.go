package detect

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// modifiers is what stands after a field's name, sorted out.
type modifiers struct {
	how     string   // contains, startswith, endswith, re, cidr, exists, gt, gte, lt, lte, or "" for equality
	every   bool     // all
	neg     bool     // neq
	cased   bool     // cased
	ref     bool     // fieldref
	expand  bool     // expand
	flags   string   // of re
	changes []string // base64, base64offset, wide, utf16…, windash in the order written
	part    func(time.Time) int
}

var timeParts = map[string]func(time.Time) int{
	"minute": time.Time.Minute, "hour": time.Time.Hour, "day": time.Time.Day, "year": time.Time.Year,
	"month": func(t time.Time) int { return int(t.Month()) },
	"week":  func(t time.Time) int { _, w := t.ISOWeek(); return w },
}

// parseModifiers refuses what it does not know and what contradicts itself.
func parseModifiers(words []string, line int) (m modifiers, err error) {
	for _, w := range words {
		switch w {
		case "contains", "startswith", "endswith", "re", "cidr", "exists", "gt", "gte", "lt", "lte":
			if m.how != "" {
				return m, parseErrorf(line, "the modifiers %q and %q do not go together", m.how, w)
			}
			m.how = w
		case "i", "m", "s":
			if m.how != "re" {
				return m, parseErrorf(line, "the modifier %q only goes after re", w)
			}
			m.flags += w
		case "ignorecase", "multiline", "dotall":
			if m.how != "re" {
				return m, parseErrorf(line, "the modifier %q only goes after re", w)
			}
			m.flags += w[:1]
		case "all":
			m.every = true
		case "neq":
			m.neg = true
		case "cased":
			m.cased = true
		case "fieldref":
			m.ref = true
		case "expand":
			m.expand = true
		case "base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash":
			m.changes = append(m.changes, w)
		default:
			part, ok := timeParts[w]
			if !ok {
				return m, parseErrorf(line, "the modifier %q is not known", w)
			}
			m.part = part
		}
	}
	m.flags = strings.ReplaceAll(m.flags, "d", "s") // dotall
	return m, m.contradiction(line)
}

func (m *modifiers) contradiction(line int) error {
	comparison := slices.Contains([]string{"gt", "gte", "lt", "lte"}, m.how)
	special := comparison || m.how == "cidr" || m.how == "exists" || m.how == "re" || m.part != nil
	switch {
	case m.ref && (special || m.expand || len(m.changes) > 0):
		return parseErrorf(line, "fieldref goes with contains, startswith, endswith, cased and neq alone")
	case special && len(m.changes) > 0:
		return parseErrorf(line, "%s does not go with %s", m.changes[0], m.name())
	case special && m.cased && m.how != "re":
		return parseErrorf(line, "cased does not go with %s", m.name())
	case m.how == "exists" && (m.every || m.neg || m.expand):
		return parseErrorf(line, "exists stands alone")
	case comparison && m.neg:
		return parseErrorf(line, "neq does not go with %s", m.how)
	case m.part != nil && m.how != "" && !comparison:
		return parseErrorf(line, "a part of a time does not go with %s", m.how)
	}
	return nil
}

func (m *modifiers) name() string {
	if m.how == "" {
		return "a part of a time"
	}
	return m.how
}

// compiler is what rules are compiled with.
type compiler struct {
	placeholders map[string][]string
}

// item compiles one line of a detection: a key with its modifiers, and a value
// or list of values.
func (c *compiler) item(key string, v *value) (expr, error) {
	words := strings.Split(key, "|")
	path := words[0]
	m, err := parseModifiers(words[1:], v.line)
	if err == nil {
		err = knownField(path, v.line)
	}
	if err != nil {
		return nil, err
	}
	if path == "" && m.how == "" {
		m.how = "contains" // keywords search
	}
	if path == "" && !slices.Contains([]string{"contains", "re"}, m.how) || path == "" && m.ref {
		return nil, parseErrorf(v.line, "%q needs a field", key)
	}
	values := []*value{v}
	if v.kind == isList {
		values = v.items
	}
	if len(values) == 0 {
		return nil, parseErrorf(v.line, "%q has no value, so it could never match", key)
	}
	switch {
	case m.how == "exists":
		return c.exists(path, key, values)
	case m.ref:
		return c.fieldref(path, key, m, values)
	}
	return c.compared(path, key, m, values)
}

func (c *compiler) exists(path, key string, values []*value) (expr, error) {
	v := values[0]
	if len(values) != 1 || v.text != "true" && v.text != "false" {
		return nil, parseErrorf(v.line, "%q takes true or false", key)
	}
	return &item{path: path, made: isDerived(path), op: opExists, want: v.text == "true", label: key, line: v.line}, nil
}

func (c *compiler) fieldref(path, key string, m modifiers, values []*value) (expr, error) {
	var es []expr
	for _, v := range values {
		if v.kind != isText || v.text == "" {
			return nil, parseErrorf(v.line, "%q takes the name of a field", key)
		}
		if err := knownField(v.text, v.line); err != nil {
			return nil, err
		}
		es = append(es, &item{
			path: path, op: opFieldref, neg: m.neg, label: key, line: v.line,
			ref: reference{path: v.text, how: m.how, cased: m.cased},
		})
	}
	if m.every || m.neg {
		return allOf(es), nil
	}
	return anyOf(es), nil
}

func (c *compiler) compared(path, key string, m modifiers, values []*value) (expr, error) {
	it := &item{path: path, made: isDerived(path), every: m.every && !m.neg, neg: m.neg, label: key, line: values[0].line}
	null := false
	for _, v := range values {
		switch {
		case v.kind == isList || v.kind == isMap:
			return nil, parseErrorf(v.line, "%q has %s among its values", key, v.kind)
		case v.kind == isNull && (m.how != "" || len(m.changes) > 0 || m.expand || m.part != nil):
			return nil, parseErrorf(v.line, "%q cannot be compared with null", key)
		case v.kind == isNull:
			null = true
		default:
			texts, err := c.spelled(v, m)
			if err != nil {
				return nil, err
			}
			tests, err := c.tests(texts, v, key, m)
			if err != nil {
				return nil, err
			}
			it.tests, it.source = append(it.tests, tests), append(it.source, texts...)
		}
	}
	if !null {
		return it, nil
	}
	absent := &item{path: path, made: it.made, op: opNull, neg: m.neg, label: key, line: it.line}
	switch {
	case len(it.tests) == 0:
		return absent, nil
	case m.every || m.neg:
		return allOf([]expr{absent, it}), nil
	}
	return anyOf([]expr{absent, it}), nil
}

// spelled is one value as the rule writes it, with what its placeholders stand for.
func (c *compiler) spelled(v *value, m modifiers) ([]string, error) {
	if !m.expand {
		return []string{v.text}, nil
	}
	return c.expand(v.text, v.line)
}

// tests are the forms of the texts of one value.
func (c *compiler) tests(texts []string, v *value, key string, m modifiers) (alternatives, error) {
	var out alternatives
	for _, text := range texts {
		ts, err := formsOf(text, v.line, key, m)
		if err != nil {
			return nil, err
		}
		out = append(out, ts...)
	}
	return out, nil
}

func formsOf(text string, line int, key string, m modifiers) (alternatives, error) {
	switch m.how {
	case "re":
		flags := m.flags
		if flags != "" {
			text = "(?" + flags + ")" + text
		}
		t, err := newRegexpTest(text)
		if err != nil {
			return nil, parseErrorf(line, "%q: %s", key, err)
		}
		return alternatives{t}, nil
	case "cidr":
		network, err := parseNetwork(text)
		if err != nil {
			return nil, parseErrorf(line, "%q: %q is no network in CIDR notation", key, text)
		}
		return alternatives{&cidrTest{network}}, nil
	}
	if m.part != nil || m.how == "gt" || m.how == "gte" || m.how == "lt" || m.how == "lte" {
		f, ok := number([]byte(text))
		if !ok {
			return nil, parseErrorf(line, "%q needs a number, not %q", key, text)
		}
		return alternatives{&numberTest{op: m.how, than: f, part: m.part}}, nil
	}
	patterns, err := applyEncodings(parsePattern(text), line, m.changes)
	if err != nil {
		return nil, err
	}
	var out alternatives
	for _, p := range patterns {
		switch m.how {
		case "contains":
			p = slices.Concat(pattern{anyRunes}, p, pattern{anyRunes})
		case "startswith":
			p = append(slices.Clone(p), anyRunes)
		case "endswith":
			p = append(pattern{anyRunes}, p...)
		}
		out = append(out, compileGlob(p, m.cased))
	}
	return out, nil
}

// parseNetwork reads a prefix; an address alone is a network of one.
func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}
