package detect

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// partIndex holds the rules that need one of certain parts in the text of a field,
// such as the name of a tool in the user agent. Searching for the parts in the folded
// text is several times faster than evaluating the rules.
type partIndex struct {
	path  string
	parts []part
	rules []*Rule // all rules in parts
	grams grams   // of the parts
}

// part is a folded text and the rules that need it.
type part struct {
	text  []byte
	rules []*Rule
}

// maxPartRules is the number of rules of one field that are evaluated at most once for
// a record that contains several parts.
const maxPartRules = 64

// indexByPart adds a rule. Rules beyond maxPartRules are evaluated for every record.
func (rs *Ruleset) indexByPart(r *Rule, path string, parts [][]byte) {
	at := slices.IndexFunc(rs.byPart, func(f partIndex) bool { return f.path == path })
	if at < 0 {
		at = len(rs.byPart)
		rs.byPart = append(rs.byPart, partIndex{path: path})
	}
	f := &rs.byPart[at]
	if len(f.rules) == maxPartRules {
		rs.always = append(rs.always, r)
		return
	}
	f.rules = append(f.rules, r)
	for _, text := range parts {
		i := slices.IndexFunc(f.parts, func(p part) bool { return bytes.Equal(p.text, text) })
		if i < 0 {
			i = len(f.parts)
			f.parts = append(f.parts, part{text: text})
			f.grams.add(text)
		}
		if !slices.Contains(f.parts[i].rules, r) {
			f.parts[i].rules = append(f.parts[i].rules, r)
		}
	}
}

// matchParts evaluates each rule at most once.
func (rs *Ruleset) matchParts(r *Record, hit func(Hit)) {
	for i := range rs.byPart {
		f := &rs.byPart[i]
		text, scalar := r.foldedField(f.path)
		if !scalar {
			rs.matchRules(f.rules, r, hit)
			continue
		}
		if !f.grams.mayContain(text) {
			continue
		}
		var found uint64 // the rules whose parts were found, by their place
		for _, p := range f.parts {
			if bytes.Contains(text, p.text) {
				for _, rule := range p.rules {
					found |= 1 << slices.Index(f.rules, rule)
				}
			}
		}
		for i, rule := range f.rules {
			if found&(1<<i) != 0 {
				rs.matchRule(rule, r, hit)
			}
		}
	}
}

// grams are four adjacent bytes of each part of an index, by their hash. Most texts have
// none of them, so one pass over a text replaces the search for each part.
type grams struct {
	bits [1 << 10]uint64
	all  bool // whether a part is too short, so each text may contain it
}

// gramSize is the number of bytes of a gram.
const gramSize = 4

// letterOrder are the letters from the most to the least frequent.
const letterOrder = "etaoinsrhldcumfpgwybvkxjqz"

// add adds the gram of a part that is rarest in texts.
func (g *grams) add(text []byte) {
	g.all = g.all || len(text) < gramSize
	rarest, best := -gramSize-1, uint32(0)
	for i := 0; i+gramSize <= len(text); i++ {
		rarity := 0
		for _, b := range text[i : i+gramSize] {
			rarity += strings.IndexByte(letterOrder, b)
		}
		if rarity > rarest {
			rarest, best = rarity, binary.BigEndian.Uint32(text[i:])
		}
	}
	h := gramHash(best)
	g.bits[h>>6] |= 1 << (h & 63)
}

// mayContain returns false only for texts without any of the parts.
func (g *grams) mayContain(text []byte) bool {
	if g.all || len(text) < gramSize {
		return g.all
	}
	gram := binary.BigEndian.Uint32(text) >> 8
	for _, b := range text[gramSize-1:] {
		gram = gram<<8 | uint32(b)
		if h := gramHash(gram); g.bits[h>>6]&(1<<(h&63)) != 0 {
			return true
		}
	}
	return false
}

// gramHash returns the number of a bit.
func gramHash(gram uint32) uint16 { return uint16(gram * 0x9e3779b1 >> 16) }

// partNeeds returns a field that must contain one of parts for the expression to be
// true. path is empty if there is no such field.
func partNeeds(e expr) (path string, parts [][]byte) {
	for _, p := range comparedFields(e) {
		if got, ok := partsOf(e, p); ok && (path == "" || len(got) < len(parts)) {
			path, parts = p, got
		}
	}
	return path, parts
}

// partsOf returns the parts of a field, one of which is necessary for the expression.
// ok is false if the expression can be true without them.
func partsOf(e expr, field string) (out [][]byte, ok bool) {
	switch e := e.(type) {
	case andExpr:
		for _, x := range e {
			if got, found := partsOf(x, field); found && (!ok || len(got) < len(out)) {
				out, ok = got, true
			}
		}
		return out, ok
	case orExpr:
		for _, x := range e {
			got, found := partsOf(x, field)
			if !found {
				return nil, false
			}
			out = append(out, got...)
		}
		return out, len(e) > 0
	case *item:
		return e.parts(field)
	}
	return nil, false
}

func (it *item) parts(field string) (out [][]byte, ok bool) {
	if it.path != field || it.op != opText || it.negated {
		return nil, false
	}
	for _, forms := range it.tests {
		for _, t := range forms {
			parts := necessaryParts(t)
			if len(parts) == 0 {
				return nil, false
			}
			out = append(out, parts...)
		}
	}
	return out, true
}

// necessaryParts returns folded texts, one of which each match of a test contains, or
// nil.
func necessaryParts(t test) [][]byte {
	switch t := t.(type) {
	case *glob:
		if longest := t.longestPart(); len(longest) > 0 {
			return [][]byte{longest}
		}
	case *regexpTest:
		return t.anyOf
	}
	return nil
}

// longestPart returns the longest folded text without wildcards that each match
// contains, or nil.
func (g *glob) longestPart() (longest []byte) {
	for _, s := range g.segments {
		var text []byte
		for i, r := range s.runes {
			if plain := r >= 0 && r&rawByte == 0; plain {
				text = append(text, string(r)...)
				if i < len(s.runes)-1 {
					continue
				}
			}
			if len(text) > len(longest) {
				longest = text
			}
			text = nil
		}
	}
	return appendFolded(nil, longest)
}
