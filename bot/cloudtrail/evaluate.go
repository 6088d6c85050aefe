package cloudtrail

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

// verdict holds the rules that match a record.
type verdict struct {
	rule   *detect.Rule   // the most severe one, or nil
	others []*detect.Rule // by decreasing severity
}

// levelOrder returns the position of a level, where a higher one is more severe.
func levelOrder(l detect.Level) int {
	return slices.Index([]detect.Level{detect.Informational, detect.Low, detect.Medium, detect.High, detect.Critical}, l)
}

func (v verdict) level() incident.Level {
	if v.rule == nil {
		return incident.LevelInformational
	}
	return incident.Level(v.rule.Level)
}

// description returns the first lines of an alert's detail: the meaning of the rule,
// its false positives and its author. The licence of SigmaHQ's rules requires the
// author.
func (v verdict) description() string {
	if v.rule == nil {
		return ""
	}
	lines := []text{text(describeRule(v.rule))}
	for _, r := range v.others {
		lines = append(lines, field("Also", text(ruleAndAuthor(r))))
	}
	return joinNonEmpty("\n", lines...)
}

// describeRule returns the description of one rule in several lines.
func describeRule(r *detect.Rule) string {
	var techniques []string
	for _, tag := range r.Tags {
		if t, ok := strings.CutPrefix(tag, "attack."); ok {
			techniques = append(techniques, t)
		}
	}
	return joinNonEmpty("\n", text(r.Description), field("Possible false positive", text(strings.Join(r.FalsePositives, " "))),
		field("ATT&CK", text(strings.Join(techniques, ", "))), field("Rule", text(ruleAndAuthor(r))))
}

// ruleAndAuthor returns the title, ID and author of a rule, or "" for nil.
func ruleAndAuthor(r *detect.Rule) string {
	switch {
	case r == nil:
		return ""
	case r.Author == "":
		return fmt.Sprintf("%s (%s)", r.Title, r.ID)
	}
	return fmt.Sprintf("%s (%s) by %s", r.Title, r.ID, r.Author)
}

// records is a pool of decoded records, to reuse their memory.
var records = sync.Pool{New: func() any { return new(detect.Record) }}

// evaluate matches a record against the rules and returns its alert and observations.
// The body must be the bytes that r was decoded from.
func (s *Source) evaluate(r *record, body []byte) (incident.Signal, error) {
	decoded := records.Get().(*detect.Record)
	defer records.Put(decoded)
	if err := decoded.Decode(body); err != nil {
		return incident.Signal{}, err
	}
	var alerting []*detect.Rule
	var observed []detect.Observation
	if s.rules != nil {
		s.rules.Match(decoded, func(h detect.Hit) {
			if !h.Rule.Silent {
				alerting = append(alerting, h.Rule)
			}
			h.Observe(time.Time{}, func(o detect.Observation) { observed = append(observed, o) })
		})
	}
	slices.SortFunc(alerting, func(a, b *detect.Rule) int {
		return cmp.Or(-cmp.Compare(levelOrder(a.Level), levelOrder(b.Level)), cmp.Compare(a.ID, b.ID))
	})
	var v verdict
	if len(alerting) > 0 {
		v = verdict{alerting[0], alerting[1:]}
	}
	a := r.alert(v)
	return incident.Signal{Alert: &a, Observations: observations(observed, &a)}, nil
}
