package detect

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// modifiers are the parsed modifiers of an item, such as contains and all in
// field|contains|all.
type modifiers struct {
	operator  string   // contains, startswith, endswith, re, cidr, exists, gt, gte, lt, lte, or "" for equality
	all       bool     // all
	negated   bool     // neq
	cased     bool     // cased
	fieldref  bool     // fieldref
	expand    bool     // expand
	flags     string   // of re
	encodings []string // base64, base64offset, wide, utf16…, windash in the order of the rule
	timePart  func(time.Time) int
}

var timeParts = map[string]func(time.Time) int{
	"minute": time.Time.Minute, "hour": time.Time.Hour, "day": time.Time.Day, "year": time.Time.Year,
	"month": func(t time.Time) int { return int(t.Month()) },
	"week":  func(t time.Time) int { _, w := t.ISOWeek(); return w },
}

// parseModifiers parses modifiers. It returns an error for unknown and conflicting
// ones.
func parseModifiers(words []string, line int) (m modifiers, err error) {
	for _, w := range words {
		switch w {
		case "contains", "startswith", "endswith", "re", "cidr", "exists", "gt", "gte", "lt", "lte":
			if m.operator != "" {
				return m, parseErrorf(line, "the modifiers %q and %q cannot be combined", m.operator, w)
			}
			m.operator = w
		case "i", "m", "s":
			if m.operator != "re" {
				return m, parseErrorf(line, "the modifier %q needs re before it", w)
			}
			m.flags += w
		case "ignorecase", "multiline", "dotall":
			if m.operator != "re" {
				return m, parseErrorf(line, "the modifier %q needs re before it", w)
			}
			m.flags += w[:1]
		case "all":
			m.all = true
		case "neq":
			m.negated = true
		case "cased":
			m.cased = true
		case "fieldref":
			m.fieldref = true
		case "expand":
			m.expand = true
		case "base64", "base64offset", "wide", "utf16", "utf16le", "utf16be", "windash":
			m.encodings = append(m.encodings, w)
		default:
			part, ok := timeParts[w]
			if !ok {
				return m, parseErrorf(line, "unknown modifier %q", w)
			}
			m.timePart = part
		}
	}
	m.flags = strings.ReplaceAll(m.flags, "d", "s") // dotall
	return m, m.checkConflicts(line)
}

func (m *modifiers) checkConflicts(line int) error {
	comparison := slices.Contains([]string{"gt", "gte", "lt", "lte"}, m.operator)
	special := comparison || m.operator == "cidr" || m.operator == "exists" || m.operator == "re" || m.timePart != nil
	switch {
	case m.fieldref && (special || m.expand || len(m.encodings) > 0):
		return parseErrorf(line, "fieldref can only be combined with contains, startswith, endswith, cased and neq")
	case special && len(m.encodings) > 0:
		return parseErrorf(line, "the modifiers %s and %s cannot be combined", m.encodings[0], m.name())
	case special && m.cased && m.operator != "re":
		return parseErrorf(line, "the modifiers cased and %s cannot be combined", m.name())
	case m.operator == "exists" && (m.all || m.negated || m.expand):
		return parseErrorf(line, "exists cannot be combined with all, neq or expand")
	case comparison && m.negated:
		return parseErrorf(line, "the modifiers neq and %s cannot be combined", m.operator)
	case m.timePart != nil && m.operator != "" && !comparison:
		return parseErrorf(line, "a part of a time (minute, hour, …) cannot be combined with %s", m.operator)
	}
	return nil
}

func (m *modifiers) name() string {
	if m.operator == "" {
		return "the part of a time"
	}
	return m.operator
}

// compiler compiles detections. placeholders are the values for expand.
type compiler struct {
	placeholders map[string][]string
}

// item compiles one line of a detection, a key with modifiers and a value or a
// list of values.
func (c *compiler) item(key string, v *value) (expr, error) {
	words := strings.Split(key, "|")
	path := words[0]
	m, err := parseModifiers(words[1:], v.line)
	if err == nil {
		err = checkField(path, v.line)
	}
	if err != nil {
		return nil, err
	}
	if path == "" && m.operator == "" {
		m.operator = "contains" // keywords search in texts
	}
	if path == "" && !slices.Contains([]string{"contains", "re"}, m.operator) || path == "" && m.fieldref {
		return nil, parseErrorf(v.line, "%q needs the name of a field", key)
	}
	values := []*value{v}
	if v.kind == isList {
		values = v.items
	}
	if len(values) == 0 {
		return nil, parseErrorf(v.line, "%q has no value, so it could never match", key)
	}
	switch {
	case m.operator == "exists":
		return c.exists(path, key, values)
	case m.fieldref:
		return c.fieldref(path, key, m, values)
	}
	return c.comparison(path, key, m, values)
}

func (c *compiler) exists(path, key string, values []*value) (expr, error) {
	v := values[0]
	if len(values) != 1 || v.text != "true" && v.text != "false" {
		return nil, parseErrorf(v.line, "%q takes true or false", key)
	}
	return &item{path: path, derived: familyOf(path), op: opExists, want: v.text == "true", label: key, line: v.line}, nil
}

func (c *compiler) fieldref(path, key string, m modifiers, values []*value) (expr, error) {
	var es []expr
	for _, v := range values {
		if v.kind != isText || v.text == "" {
			return nil, parseErrorf(v.line, "%q takes the name of a field", key)
		}
		if err := checkField(v.text, v.line); err != nil {
			return nil, err
		}
		es = append(es, &item{
			path: path, derived: notDerived, op: opFieldref, negated: m.negated, label: key, line: v.line,
			ref: reference{path: v.text, operator: m.operator, cased: m.cased},
		})
	}
	if m.all || m.negated {
		return allOf(es), nil
	}
	return anyOf(es), nil
}

func (c *compiler) comparison(path, key string, m modifiers, values []*value) (expr, error) {
	it := &item{path: path, derived: familyOf(path), all: m.all && !m.negated, negated: m.negated, label: key, line: values[0].line}
	null := false
	for _, v := range values {
		switch {
		case v.kind == isList || v.kind == isMap:
			return nil, parseErrorf(v.line, "%q has %s among its values", key, v.kind)
		case v.kind == isNull && (m.operator != "" || len(m.encodings) > 0 || m.expand || m.timePart != nil):
			return nil, parseErrorf(v.line, "%q cannot be compared with null", key)
		case v.kind == isNull:
			null = true
		default:
			texts, err := c.expandValue(v, m)
			if err != nil {
				return nil, err
			}
			tests, err := c.alternatives(texts, v, key, m)
			if err != nil {
				return nil, err
			}
			it.tests, it.source = append(it.tests, tests), append(it.source, texts...)
		}
	}
	if !null {
		return it, nil
	}
	absent := &item{path: path, derived: it.derived, op: opNull, negated: m.negated, label: key, line: it.line}
	switch {
	case len(it.tests) == 0:
		return absent, nil
	case m.all || m.negated:
		return allOf([]expr{absent, it}), nil
	}
	return anyOf([]expr{absent, it}), nil
}

// expandValue returns the texts of one value with placeholders replaced.
func (c *compiler) expandValue(v *value, m modifiers) ([]string, error) {
	if !m.expand {
		return []string{v.text}, nil
	}
	return c.expand(v.text, v.line)
}

// alternatives compiles the texts of one value to tests.
func (c *compiler) alternatives(texts []string, v *value, key string, m modifiers) (alternatives, error) {
	var out alternatives
	for _, text := range texts {
		ts, err := compileValue(text, v.line, key, m)
		if err != nil {
			return nil, err
		}
		out = append(out, ts...)
	}
	return out, nil
}

func compileValue(text string, line int, key string, m modifiers) (alternatives, error) {
	switch m.operator {
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
			return nil, parseErrorf(line, "%q: %q is not a network in CIDR notation such as 10.0.0.0/8", key, text)
		}
		return alternatives{&cidrTest{network}}, nil
	}
	if m.timePart != nil || m.operator == "gt" || m.operator == "gte" || m.operator == "lt" || m.operator == "lte" {
		f, ok := number([]byte(text))
		if !ok {
			return nil, parseErrorf(line, "%q needs a number, not %q", key, text)
		}
		return alternatives{&numberTest{op: m.operator, value: f, timePart: m.timePart}}, nil
	}
	patterns, err := applyEncodings(parsePattern(text), line, m.encodings)
	if err != nil {
		return nil, err
	}
	var out alternatives
	for _, p := range patterns {
		switch m.operator {
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

// parseNetwork parses a CIDR prefix or an address, which becomes a prefix of full
// length.
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
