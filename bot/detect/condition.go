package detect

import (
	"strings"
)

// conditionParser parses a condition by recursive descent. By increasing
// precedence, the operators are or, and, not. Operands are names, parentheses, and
// "1 of", "any of" or "all of" with "them" or a pattern of names.
type conditionParser struct {
	words  []string
	at     int
	line   int
	lookup *identifiers
	depth  int
}

// identifiers are the named detections of one rule, in the order of the file.
// used holds the names that a condition refers to.
type identifiers struct {
	names []string
	exprs []expr
	used  map[string]bool
}

func (ids *identifiers) add(name string, e expr) {
	ids.names, ids.exprs = append(ids.names, name), append(ids.exprs, e)
}

// matching returns the detections whose names match a pattern with wildcards. The
// word "them" matches all names that do not begin with an underscore.
func (ids *identifiers) matching(word string) []expr {
	var out []expr
	them := strings.EqualFold(word, "them")
	g := compileGlob(parsePattern(word), true)
	for i, name := range ids.names {
		if them && !strings.HasPrefix(name, "_") || !them && g.match([]byte(name)) {
			ids.used[name] = true
			out = append(out, ids.exprs[i])
		}
	}
	return out
}

// parseCondition compiles a condition over the identifiers.
func parseCondition(text string, line int, ids *identifiers) (expr, error) {
	if i := strings.IndexByte(text, '|'); i >= 0 {
		return nil, parseErrorf(line, "the aggregation %q is obsolete, write a correlation document instead (event_count, value_count or temporal)", strings.TrimSpace(text[i:]))
	}
	p := &conditionParser{words: conditionWords(text), line: line, lookup: ids}
	if len(p.words) == 0 {
		return nil, parseErrorf(line, "the condition is empty")
	}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.words) {
		return nil, parseErrorf(line, "unexpected %q in the condition, where only and, or or the end can follow", p.words[p.at])
	}
	return e, nil
}

func conditionWords(text string) []string {
	text = strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text)
	return strings.Fields(text)
}

func (p *conditionParser) peek(word string) bool {
	return p.at < len(p.words) && strings.EqualFold(p.words[p.at], word)
}

func (p *conditionParser) take(word string) bool {
	if p.peek(word) {
		p.at++
		return true
	}
	return false
}

func (p *conditionParser) or() (expr, error) {
	return p.joined("or", p.and, anyOf)
}

func (p *conditionParser) and() (expr, error) {
	return p.joined("and", p.not, allOf)
}

func (p *conditionParser) joined(word string, operand func() (expr, error), join func([]expr) expr) (expr, error) {
	var operands []expr
	for {
		e, err := operand()
		if err != nil {
			return nil, err
		}
		operands = append(operands, e)
		if !p.take(word) {
			return join(operands), nil
		}
	}
}

func (p *conditionParser) not() (expr, error) {
	negated := false
	for p.take("not") {
		negated = !negated
	}
	e, err := p.primary()
	if err != nil || !negated {
		return e, err
	}
	return notExpr{e}, nil
}

func (p *conditionParser) primary() (expr, error) {
	if p.at >= len(p.words) {
		return nil, parseErrorf(p.line, "the condition is incomplete")
	}
	if p.take("(") {
		if p.depth++; p.depth > maxRuleNesting {
			return nil, parseErrorf(p.line, "parentheses nest deeper than %d", maxRuleNesting)
		}
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, parseErrorf(p.line, "the condition lacks a closing parenthesis")
		}
		p.depth--
		return e, nil
	}
	word := p.words[p.at]
	p.at++
	if p.peek("of") {
		p.at++
		return p.quantified(word)
	}
	switch strings.ToLower(word) {
	case "and", "or", "not", "of", "them", ")":
		return nil, parseErrorf(p.line, "the condition lacks a name before %q", word)
	case "near":
		return nil, parseErrorf(p.line, `"near" is obsolete, write a correlation document of type temporal instead`)
	}
	if strings.ContainsAny(word, "*?") {
		return nil, parseErrorf(p.line, `the pattern %q needs "1 of" or "all of" before it`, word)
	}
	found := p.lookup.matching(word)
	if len(found) == 0 {
		return nil, parseErrorf(p.line, "the condition names %q, which is not defined", word)
	}
	return found[0], nil
}

// quantified parses the pattern after "1 of", "any of" or "all of".
func (p *conditionParser) quantified(count string) (expr, error) {
	var join func([]expr) expr
	switch strings.ToLower(count) {
	case "1", "any":
		join = anyOf
	case "all":
		join = allOf
	default:
		return nil, parseErrorf(p.line, `"%s of" is not supported, only "1 of", "any of" and "all of" are`, count)
	}
	if p.at >= len(p.words) || p.peek("(") || p.peek(")") {
		return nil, parseErrorf(p.line, `"%s of" needs "them" or a pattern of names after it`, count)
	}
	word := p.words[p.at]
	p.at++
	found := p.lookup.matching(word)
	if len(found) == 0 {
		return nil, parseErrorf(p.line, "the condition names %q, which matches no detection", word)
	}
	return join(found), nil
}
