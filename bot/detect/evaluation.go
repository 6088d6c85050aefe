package detect

import (
	"slices"
	"strconv"
	"strings"
)

// Compare returns a negative number if l is less severe than other, and a positive
// one if it is more severe.
func (l Level) Compare(other Level) int { return slices.Index(levels, l) - slices.Index(levels, other) }

// Evaluate returns the rules about single records that match r, in no particular
// order.
func (rs *Ruleset) Evaluate(r *Record) []*Rule {
	var hits []*Rule
	rs.Match(r, func(h Hit) { hits = append(hits, h.Rule) })
	return hits
}

// EncodeHits returns the result of [Ruleset.Evaluate] as a short text. It can be
// stored with the record, to evaluate the record only once.
func (rs *Ruleset) EncodeHits(hits []*Rule) string {
	out := append(make([]byte, 0, len(rs.id)+4*len(hits)+1), rs.id...)
	for _, r := range hits {
		out = strconv.AppendInt(append(out, ' '), int64(r.index), 10)
	}
	return string(out)
}

// DecodeHits returns the rules in a text of [Ruleset.EncodeHits]. It reports false
// if another ruleset returned the text, and the record must then be evaluated again.
// Every compiled ruleset is another one: after a restart, after a change of the
// rules, after an upgrade and in another process.
func (rs *Ruleset) DecodeHits(encoded string) (hits []*Rule, ok bool) {
	id, list, _ := strings.Cut(encoded, " ")
	if id != rs.id {
		return nil, false
	}
	for index := range strings.FieldsSeq(list) {
		i, err := strconv.Atoi(index)
		if err != nil || i < 0 || i >= len(rs.rules) {
			return nil, false
		}
		hits = append(hits, rs.rules[i])
	}
	return hits, true
}
