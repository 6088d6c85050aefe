package detect

import (
	"bytes"
	"regexp"
	"regexp/syntax"
)

// regexpTest searches with a regular expression. For speed, it first searches for
// the literals that every match contains, in their order.
type regexpTest struct {
	re       *regexp.Regexp
	literals [][]byte
	anyOf    [][]byte // see anyLiteral
}

func newRegexpTest(text string) (*regexpTest, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &regexpTest{re, requiredLiterals(tree), anyLiteral(tree)}, nil
}

func (t *regexpTest) match(text []byte) bool {
	left := text
	for _, l := range t.literals {
		i := bytes.Index(left, l)
		if i < 0 {
			return false
		}
		left = left[i+len(l):]
	}
	return t.re.Match(text)
}

// requiredLiterals returns texts that every match contains, in this order and
// without overlap. It finds only obvious ones.
func requiredLiterals(re *syntax.Regexp) (out [][]byte) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			out = append(out, []byte(string(re.Rune)))
		}
	case syntax.OpCapture, syntax.OpPlus:
		return requiredLiterals(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			out = append(out, requiredLiterals(sub)...)
		}
	}
	return out
}

// anyLiteral returns folded texts, one of which each match of a regular expression
// contains, or nil.
func anyLiteral(re *syntax.Regexp) (out [][]byte) {
	switch re.Op {
	case syntax.OpLiteral:
		return [][]byte{appendFolded(nil, []byte(string(re.Rune)))}
	case syntax.OpCapture, syntax.OpPlus:
		return anyLiteral(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if got := anyLiteral(sub); shortest(got) > shortest(out) {
				out = got
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			got := anyLiteral(sub)
			if len(got) == 0 {
				return nil
			}
			out = append(out, got...)
		}
	}
	return out
}

// shortest returns the length of the shortest text, or 0.
func shortest(texts [][]byte) int {
	least := 0
	for i, text := range texts {
		if i == 0 || len(text) < least {
			least = len(text)
		}
	}
	return least
}
