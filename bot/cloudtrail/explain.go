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
	"tocsin/bot/text"
)

// Rules returns the digest of the rules and their encoded form, which Explain and
// ExplainCorrelation accept. Both are empty without rules.
func (s *Source) Rules() (digest string, source []byte) {
	if s.rules == nil {
		return "", nil
	}
	return s.rules.Digest(), s.rules.Source()
}

// Evaluates reports whether the rules evaluate records of a source. These are
// cloudtrail and sns.
func (s *Source) Evaluates(source string) bool { return source == sourceName || source == "sns" }

// Explain evaluates the records of a delivery and returns a trace of every rule. The
// stored rules are a result of [Source.Rules], or nil for the current rules. If a
// record has the ID event, Explain returns only its trace. Otherwise it returns the
// traces of the first limit records, because a trace is slow, and the number of
// the others. Without rules, it returns nothing.
func (s *Source) Explain(stored, body []byte, event string, limit int) (records []incident.RecordTrace, more int, err error) {
	rules, err := s.rulesFrom(stored)
	if err != nil || rules == nil {
		return nil, 0, err
	}
	all := recordsIn(body, 0)
	for _, raw := range all {
		var r struct {
			EventID text.Flex `json:"eventID"`
		}
		if event == "" || decode(raw, &r) != nil || string(r.EventID) != event {
			continue
		}
		if trace := explainRecord(rules, raw); trace.ID == event {
			return []incident.RecordTrace{trace}, 0, nil
		}
	}
	for _, raw := range all[:min(limit, len(all))] {
		records = append(records, explainRecord(rules, raw))
	}
	return records, len(all) - len(records), nil
}

// ExplainCorrelation describes the rule and lists the events of an alert about several
// events. It returns "" for other alerts. The stored rules are a result of
// [Source.Rules], or nil for the current rules.
func (s *Source) ExplainCorrelation(stored []byte, a incident.Alert) (string, error) {
	if !strings.HasPrefix(a.Kind, kindCorrelation) {
		return "", nil
	}
	rules, err := s.rulesFrom(stored)
	if err != nil {
		return "", err
	}
	out := a.Rule + ", which is no longer loaded"
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

// rulesFrom restores stored rules. It returns the current rules for nil.
func (s *Source) rulesFrom(stored []byte) (*detect.Ruleset, error) {
	if stored == nil {
		return s.rules, nil
	}
	return s.past.restore(stored)
}

// maxPastRulesets is the size of the cache of restored rulesets. Compiling a ruleset is
// slow, and consecutive explanations often need one ruleset.
const maxPastRulesets = 4

// rulesetCache is an LRU cache of restored rulesets. It is safe for concurrent use.
type rulesetCache struct {
	mu   sync.Mutex
	sets []cachedRuleset // the most recently used last
}

type cachedRuleset struct {
	digest [sha256.Size]byte // of the stored form
	rules  *detect.Ruleset
}

// restore returns the ruleset of a stored form, from the cache if possible.
func (c *rulesetCache) restore(stored []byte) (*detect.Ruleset, error) {
	digest := sha256.Sum256(stored)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := slices.IndexFunc(c.sets, func(r cachedRuleset) bool { return r.digest == digest }); n >= 0 {
		cached := c.sets[n]
		c.sets = append(slices.Delete(c.sets, n, n+1), cached)
		return cached.rules, nil
	}
	rules, err := detect.Restore(stored)
	if err != nil {
		return nil, err
	}
	if c.sets = append(c.sets, cachedRuleset{digest, rules}); len(c.sets) > maxPastRulesets {
		c.sets = slices.Delete(c.sets, 0, 1)
	}
	return rules, nil
}

// maxNesting bounds the nesting of arrays, envelopes and notifications around a record.
const maxNesting = 4

// recordsIn returns the CloudTrail records in a body, in every form that Decode
// accepts. It skips findings.
func recordsIn(body []byte, depth int) (out []json.RawMessage) {
	if depth == maxNesting {
		return nil
	}
	_ = detect.ReadItems(bytes.NewReader(body), detect.Limits{}, func(item *detect.Item) error {
		switch {
		case item.Record != nil:
			out = append(out, recordsInValue(item.Record.Root(), depth)...)
		case isRecordText(item.Raw): // the rules cannot evaluate it, which its trace reports
			out = append(out, bytes.Clone(item.Raw))
		}
		return nil
	})
	return out
}

var nestingFields = detect.NewFields("Type", "Message", "Records", "detail")

// recordsInValue returns the records in an element of a body.
func recordsInValue(v detect.Value, depth int) []json.RawMessage {
	if isRecord(v) {
		return []json.RawMessage{bytes.Clone(v.Raw())}
	}
	var nested [4]detect.Value // by the index of the field
	for key, member := range v.Members() {
		if i := nestingFields.Index(key); i >= 0 {
			nested[i] = member
		}
	}
	kind, message, list, detail := nested[0], nested[1], nested[2], nested[3]
	switch {
	case kind.Text() == "Notification" && message.HasText(): // of SNS
		return recordsIn([]byte(message.Text()), depth+1)
	case list.IsArray():
		return recordsIn(list.Raw(), depth+1)
	}
	return recordsIn(detail.Raw(), depth+1)
}

// explainRecord returns the trace of one record. Its rules are sorted by the number of
// failed comparisons, then by severity.
func explainRecord(rules *detect.Ruleset, raw []byte) incident.RecordTrace {
	r, err := detect.DecodeRecord(raw)
	if err != nil {
		return incident.RecordTrace{Error: err.Error()}
	}
	traces, others := rules.Trace(r)
	slices.SortStableFunc(traces, func(a, b detect.RuleTrace) int {
		return cmp.Or(failedComparisons(a)-failedComparisons(b), b.Rule.Level.Compare(a.Rule.Level), cmp.Compare(a.Rule.ID, b.Rule.ID))
	})
	out := incident.RecordTrace{Name: r.EventName(), Service: r.EventSource(), ID: r.EventID(), Others: others}
	for _, t := range traces {
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

// failedComparisons returns the number of comparisons that prevented a match.
func failedComparisons(t detect.RuleTrace) int {
	if t.Hit {
		return 0
	}
	return len(t.Compared)
}

// describeCorrelation describes the condition of a correlation rule.
func describeCorrelation(r *detect.Rule) string {
	c := r.Correlation
	counted := "events"
	switch {
	case strings.HasPrefix(c.Type, "temporal"):
		counted = "of its rules"
	case c.Type == "value_count":
		counted = "values of " + strings.Join(c.Values, ", ")
	}
	out := fmt.Sprintf("%s (%s), from %d %s within %s", r.Title, r.ID, c.MinCount, counted, c.Timespan)
	if len(c.GroupBy) > 0 {
		out += " by " + strings.Join(c.GroupBy, ", ")
	}
	return out
}
