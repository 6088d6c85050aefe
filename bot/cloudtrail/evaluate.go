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

// verdict is what the rules think of a record.
type verdict struct {
	rule   *detect.Rule   // the gravest that matches; nil: none does
	others []*detect.Rule // the others
}

// levelOrder orders the levels.
func levelOrder(l detect.Level) int {
	return slices.Index([]detect.Level{detect.Informational, detect.Low, detect.Medium, detect.High, detect.Critical}, l)
}

func (v verdict) level() incident.Level {
	if v.rule == nil {
		return incident.LevelInformational
	}
	return incident.Level(v.rule.Level)
}

// description is what a responder reads first: what it means, what makes it
// harmless, and who says so. The licence of SigmaHQ's rules asks for the latter.
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

func describeRule(r *detect.Rule) string {
	var techniques []string
	for _, tag := range r.Tags {
		if t, ok := strings.CutPrefix(tag, "attack."); ok {
			techniques = append(techniques, t)
		}
	}
	return joinNonEmpty("\n", text(r.Description), field("Before you believe it", text(strings.Join(r.FalsePositives, " "))),
		field("ATT&CK", text(strings.Join(techniques, ", "))), field("Rule", text(ruleAndAuthor(r))))
}

// ruleAndAuthor names a rule with its author.
func ruleAndAuthor(r *detect.Rule) string {
	switch {
	case r == nil:
		return ""
	case r.Author == "":
		return fmt.Sprintf("%s (%s)", r.Title, r.ID)
	}
	return fmt.Sprintf("%s (%s) by %s", r.Title, r.ID, r.Author)
}

// records are decoded records whose memory is used again.
var records = sync.Pool{New: func() any { return new(detect.Record) }}

// evaluate holds the rules against a record. Its bytes are those that r was
// decoded from.
func (s *Source) evaluate(r *record, body []byte) (incident.Signal, error) {
	decoded := records.Get().(*detect.Record)
	defer records.Put(decoded)
	if err := decoded.Decode(body); err != nil {
		return incident.Signal{}, err
	}
	var loud []*detect.Rule
	var seen []detect.Observation
	if s.rules != nil {
		s.rules.Match(decoded, func(h detect.Hit) {
			if !h.Rule.Silent {
				loud = append(loud, h.Rule)
			}
			h.Observe(time.Time{}, func(o detect.Observation) { seen = append(seen, o) })
		})
	}
	slices.SortFunc(loud, func(a, b *detect.Rule) int {
		return cmp.Or(-cmp.Compare(levelOrder(a.Level), levelOrder(b.Level)), cmp.Compare(a.ID, b.ID))
	})
	var v verdict
	if len(loud) > 0 {
		v = verdict{loud[0], loud[1:]}
	}
	a := r.alert(v)
	return incident.Signal{Alert: &a, Observations: observations(seen, &a)}, nil
}
