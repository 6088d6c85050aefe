package cloudtrail

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tocsin/bot/detect"
	"tocsin/bot/incident"
)

// Rules returns the digest of the rules, and what Explain restores them from.
func (s *Source) Rules() (digest string, source []byte) {
	if s.rules == nil {
		return "", nil
	}
	return s.rules.Digest(), s.rules.Source()
}

// Evaluates reports whether records of a source come before the rules. SNS brings
// them too, in messages of its own.
func (s *Source) Evaluates(source string) bool { return source == sourceName || source == "sns" }

// Explain holds records of a delivery against rules that were kept, or those in
// force: that of the event alone where it is among them, else the first most of
// them. To try every rule takes its time, so more only counts the rest.
func (s *Source) Explain(kept, body []byte, event string, most int) (records []incident.RecordTrace, more int, err error) {
	rules, err := s.rulesFrom(kept)
	if err != nil || rules == nil {
		return nil, 0, err
	}
	all := recordsIn(body, 0)
	for _, raw := range all {
		var r struct {
			EventID text `json:"eventID"`
		}
		if event == "" || decode(raw, &r) != nil || string(r.EventID) != event {
			continue
		}
		if j := explainRecord(rules, raw); j.ID == event {
			return []incident.RecordTrace{j}, 0, nil
		}
	}
	for _, raw := range all[:min(most, len(all))] {
		records = append(records, explainRecord(rules, raw))
	}
	return records, len(all) - len(records), nil
}

// ExplainCorrelation says by which rule, and of which events, an alert about several was
// made.
func (s *Source) ExplainCorrelation(kept []byte, a incident.Alert) (string, error) {
	if !strings.HasPrefix(a.Kind, kindCorrelation) {
		return "", nil
	}
	rules, err := s.rulesFrom(kept)
	if err != nil {
		return "", err
	}
	out := a.Rule + ", which is not among the rules"
	if rules != nil {
		for _, r := range rules.Rules() {
			if r.ID == a.Tags["rule_id"] && r.Correlation != nil {
				out = describeCorrelation(r)
			}
		}
	}
	for line := range strings.Lines(a.Detail) {
		if strings.HasPrefix(line, eventsLabel) {
			out += ". " + strings.TrimSpace(line)
		}
	}
	return out, nil
}

// rulesFrom restores rules that were kept; nil: those in force.
func (s *Source) rulesFrom(kept []byte) (*detect.Ruleset, error) {
	if kept == nil {
		return s.rules, nil
	}
	return s.past.restore(kept)
}

// maxPastRulesets is how many rulesets of the past are held ready: to compile one takes
// long, and whoever asks about one alert asks about the next.
const maxPastRulesets = 4

// rulesetCache holds rulesets that were restored, by the SHA-256 of what they were
// restored from, the last used last.
type rulesetCache struct {
	mu   sync.Mutex
	sets []cachedRuleset
}

type cachedRuleset struct {
	digest [sha256.Size]byte
	rules  *detect.Ruleset
}

func (p *rulesetCache) restore(kept []byte) (*detect.Ruleset, error) {
	digest := sha256.Sum256(kept)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := slices.IndexFunc(p.sets, func(r cachedRuleset) bool { return r.digest == digest }); n >= 0 {
		have := p.sets[n]
		p.sets = append(slices.Delete(p.sets, n, n+1), have)
		return have.rules, nil
	}
	rules, err := detect.Restore(kept)
	if err != nil {
		return nil, err
	}
	if p.sets = append(p.sets, cachedRuleset{digest, rules}); len(p.sets) > maxPastRulesets {
		p.sets = slices.Delete(p.sets, 0, 1)
	}
	return rules, nil
}

// maxNesting bounds how deep a record is looked for.
const maxNesting = 4

// recordsIn finds the records in a delivery where Decode finds them. A finding of
// GuardDuty is none.
func recordsIn(body []byte, depth int) (out []json.RawMessage) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || depth == maxNesting {
		return nil
	}
	if body[0] == '[' {
		var items []json.RawMessage
		if json.Unmarshal(body, &items) != nil {
			return nil
		}
		for _, item := range items {
			out = append(out, recordsIn(item, depth+1)...)
		}
		return out
	}
	var v struct {
		Type    text            `json:"Type"` // of a message of SNS
		Message text            `json:"Message"`
		Records json.RawMessage `json:"Records"`
		Detail  json.RawMessage `json:"detail"`
		Name    text            `json:"eventName"`
		Service text            `json:"eventSource"`
	}
	if body[0] != '{' || decode(body, &v) != nil {
		return nil
	}
	switch {
	case v.Name != "" && v.Service != "":
		return []json.RawMessage{body}
	case v.Type == "Notification" && v.Message != "":
		return recordsIn([]byte(v.Message), depth+1)
	case len(v.Records) > 0 && v.Records[0] == '[':
		return recordsIn(v.Records, depth+1)
	}
	return recordsIn(v.Detail, depth+1)
}

func explainRecord(rules *detect.Ruleset, raw []byte) incident.RecordTrace {
	r, err := detect.DecodeRecord(raw)
	if err != nil {
		return incident.RecordTrace{Error: err.Error()}
	}
	tried, others := rules.Trace(r)
	slices.SortStableFunc(tried, func(a, b detect.RuleTrace) int {
		return cmp.Or(failedComparisons(a)-failedComparisons(b), -cmp.Compare(levelOrder(a.Rule.Level), levelOrder(b.Rule.Level)), cmp.Compare(a.Rule.ID, b.Rule.ID))
	})
	out := incident.RecordTrace{Name: r.EventName(), Service: r.EventSource(), ID: r.EventID(), Others: others}
	for _, t := range tried {
		d := incident.DetectionTrace{ID: t.Rule.ID, Title: t.Rule.Title, Level: incident.Level(t.Rule.Level), File: t.Rule.File, Line: t.Rule.Line, Matched: t.Hit, Silent: t.Rule.Silent}
		for _, c := range t.Counts {
			d.Counts = append(d.Counts, describeCorrelation(c))
		}
		for _, c := range t.Compared {
			d.Why = append(d.Why, incident.FieldComparison(c))
		}
		out.Rules = append(out.Rules, d)
	}
	return out
}

// failedComparisons is how far a rule is from matching.
func failedComparisons(t detect.RuleTrace) int {
	if t.Hit {
		return 0
	}
	return len(t.Compared)
}

// describeCorrelation says what a rule about several events waits for.
func describeCorrelation(r *detect.Rule) string {
	c := r.Correlation
	what := "events"
	switch {
	case strings.HasPrefix(c.Type, "temporal"):
		what = "of its rules"
	case c.Type == "value_count":
		what = "values of " + strings.Join(c.Values, ", ")
	}
	out := fmt.Sprintf("%s (%s), from %d %s within %s", r.Title, r.ID, c.MinCount, what, c.Timespan)
	if len(c.GroupBy) > 0 {
		out += " by " + strings.Join(c.GroupBy, ", ")
	}
	return out
}
