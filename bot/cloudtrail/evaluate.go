package cloudtrail

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// verdict holds the rules that match a record.
type verdict struct {
	rule   *detect.Rule   // the most severe one, or nil
	others []*detect.Rule // by decreasing severity
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
	lines := []text.Flex{text.Flex(describeRule(v.rule))}
	for _, r := range v.others {
		lines = append(lines, text.Field("Also", text.Flex(ruleAndAuthor(r))))
	}
	return text.Join("\n", lines...)
}

// describeRule returns the description of one rule in several lines.
func describeRule(r *detect.Rule) string {
	var techniques []string
	for _, tag := range r.Tags {
		if t, ok := strings.CutPrefix(tag, "attack."); ok {
			techniques = append(techniques, t)
		}
	}
	return text.Join("\n", text.Flex(r.Description), text.Field("Possible false positive", text.Flex(strings.Join(r.FalsePositives, " "))),
		text.Field("ATT&CK", text.Flex(strings.Join(techniques, ", "))), text.Field("Rule", text.Flex(ruleAndAuthor(r))))
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

// evaluateRecord returns the rules that match a record, encoded. It reports whether the
// record is notable, see [Source.Evaluate].
func (s *Source) evaluateRecord(r *detect.Record) (evaluation string, notable bool) {
	if s.rules == nil {
		return "", false
	}
	hits := s.rules.Evaluate(r)
	for _, rule := range hits {
		notable = notable || !rule.Silent && rule.Level != detect.Informational
	}
	for _, rule := range hits {
		if notable {
			break
		}
		detect.Hit{Rule: rule, Record: r}.Observe(time.Time{}, func(detect.Observation) { notable = true })
	}
	if !notable {
		return "", false
	}
	return s.rules.EncodeHits(hits), true
}

// hits returns the rules that match a record. It takes them from its evaluation if the
// rules have not changed since then.
func (s *Source) hits(r *detect.Record, evaluation string) []*detect.Rule {
	if s.rules == nil {
		return nil
	}
	if hits, ok := s.rules.DecodeHits(evaluation); ok {
		return hits
	}
	return s.rules.Evaluate(r)
}

// evaluate returns the alert and the observations of a record. r holds the fields of
// decoded.
func (s *Source) evaluate(r *record, decoded *detect.Record, evaluation string) incident.Signal {
	var alerting []*detect.Rule
	var observed []detect.Observation
	for _, rule := range s.hits(decoded, evaluation) {
		if !rule.Silent {
			alerting = append(alerting, rule)
		}
		detect.Hit{Rule: rule, Record: decoded}.Observe(time.Time{}, func(o detect.Observation) { observed = append(observed, o) })
	}
	slices.SortFunc(alerting, func(a, b *detect.Rule) int {
		return cmp.Or(b.Level.Compare(a.Level), cmp.Compare(a.ID, b.ID))
	})
	var v verdict
	if len(alerting) > 0 {
		v = verdict{alerting[0], alerting[1:]}
	}
	a := r.alert(v)
	return incident.Signal{Alert: &a, Observations: observations(observed, &a), Activity: r.activity(a.At)}
}
