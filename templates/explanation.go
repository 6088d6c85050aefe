package templates

import (
	"fmt"

	"tocsin/bot/incident"
)

// explanation tells why an alert was treated as it was.
func explanation(x incident.Explanation) []string {
	var out []string
	if d := x.Delivery; d != nil {
		out = append(out, fmt.Sprintf("D%d came from %s at %s, sender %s, verified %s, SHA-256 %s", d.ID, oneLine(d.Source), d.At.UTC().Format(answerTime),
			orUnknown(d.Sender), orUnknown(d.Verified), d.SHA256))
		if d.Reason != "" {
			out = append(out, "Reason: "+oneLine(d.Reason))
		}
	}
	if x.Alert.ID != 0 {
		out = append(out, AlertLine(x.Alert))
	}
	if x.FirstDelivery != 0 {
		out = append(out, fmt.Sprintf("It came first with D%d.", x.FirstDelivery))
	}
	for _, u := range x.DecodeFailures {
		out = append(out, fmt.Sprintf("Not read: %s · %d times, last D%d at %s", oneLine(u.Reason), u.Count, u.Last, u.At.UTC().Format(answerTime)))
	}
	out = append(out, "Decided: "+oneLine(x.Outcome))
	return append(append(out, routing(x)...), detection(x.Detection)...)
}

func routing(x incident.Explanation) []string {
	since := ""
	if !x.Since.IsZero() {
		since = ", in force since " + x.Since.UTC().Format(answerTime)
	}
	out := []string{"By the routing " + orUnknown(x.Digest) + since + ":"}
	if len(x.Rules) == 0 {
		out[0] = "The routing was " + orUnknown(x.Digest) + since + "; no rule was tried: there was no alert."
	}
	out = append(out, ruleLines(x.Rules)...)
	switch {
	case x.Digest == x.CurrentDigest:
		return append(out, "The routing has not changed since.")
	case len(x.Rules) == 0:
		return append(out, "Today's routing is "+orUnknown(x.CurrentDigest)+".")
	}
	out = append(out, "The routing has changed since; by today's, "+orUnknown(x.CurrentDigest)+":")
	return append(out, ruleLines(x.CurrentRules)...)
}

func ruleLines(rules []incident.RuleTrace) []string {
	var out []string
	for _, r := range rules {
		name := "behind all rules"
		if r.Index > 0 {
			name = fmt.Sprintf("rule %d, %s", r.Index, clip(oneLine(r.When), 300))
		}
		if r.Matched {
			out = append(out, "fits: "+name+" → "+oneLine(r.Action))
			continue
		}
		out = append(out, "does not fit: "+name)
		for _, why := range r.Why {
			out = append(out, "  "+clip(oneLine(why), 400))
		}
	}
	return out
}

// detection tells what the detection rules make of the records.
func detection(d incident.Detection) []string {
	if d.CurrentDigest == "" && d.Digest == "" {
		return nil
	}
	var out []string
	switch {
	case d.Digest == d.CurrentDigest:
		out = append(out, "Detection rules "+oneLine(d.Digest)+"; they have not changed since.")
	case d.Digest == "":
		out = append(out, "Detection rules of today "+oneLine(d.CurrentDigest)+".")
	default:
		out = append(out, "Detection rules "+oneLine(d.Digest)+"; they have changed since, today's are "+orUnknown(d.CurrentDigest)+".")
	}
	if d.Note != "" {
		out = append(out, oneLine(d.Note))
	}
	if d.Counted != "" {
		out = append(out, "It is about several events. Counted by "+clip(oneLine(d.Counted), 1000))
	}
	if d.Delivery == 0 {
		return out
	}
	if len(d.Records)+len(d.CurrentRecords) == 0 {
		return append(out, fmt.Sprintf("D%d holds no record that detection rules judge.", d.Delivery))
	}
	in := fmt.Sprintf("in D%d", d.Delivery)
	for _, j := range d.Records {
		out = append(out, recordLines(j, in)...)
	}
	for _, j := range d.CurrentRecords {
		out = append(out, recordLines(j, in+", by today's rules")...)
	}
	if d.More > 0 {
		out = append(out, fmt.Sprintf("%d more records are not shown.", d.More))
	}
	return out
}

func recordLines(j incident.RecordTrace, where string) []string {
	if j.Error != "" {
		return []string{"A record " + where + " cannot be judged: " + clip(oneLine(j.Error), 300)}
	}
	head := oneLine(j.Name) + " of " + oneLine(j.Service) + " " + where
	if j.ID != "" {
		head += ", event " + oneLine(j.ID)
	}
	out, hits := []string{clip(head, 400) + ":"}, 0
	for _, r := range j.Rules {
		name := fmt.Sprintf("%s · %s · %s · %s:%d", oneLine(string(r.Level)), clip(oneLine(r.Title), 120), oneLine(r.ID), oneLine(r.File), r.Line)
		if !r.Matched {
			out = append(append(out, "does not match: "+name), lines(r.Why)...)
			continue
		}
		if r.Silent {
			name += " · it is counted only"
		} else {
			hits++
		}
		out = append(append(out, "matches: "+name), lines(r.Why)...)
		for _, c := range r.Counts {
			out = append(out, "  counted by "+clip(oneLine(c), 300))
		}
	}
	rest := fmt.Sprintf("%d other rules ask for other events.", j.Others)
	if hits == 0 {
		rest = "No rule makes it more than informational; " + rest
	}
	return append(out, rest)
}

// maxComparisons is how many lines of a rule are told; those of a rule that is that
// far from matching say little.
const maxComparisons = 8

func lines(why []incident.FieldComparison) []string {
	var out []string
	for n, c := range why {
		if n == maxComparisons {
			return append(out, fmt.Sprintf("  and %d more", len(why)-n))
		}
		field, asks := c.Field, "asks for "
		if field == "" {
			field = "a keyword"
		}
		if c.Negated {
			asks = "leaves out "
		}
		out = append(out, fmt.Sprintf("  line %d, %s: %s%s, the record has %s", c.Line, oneLine(field), asks, clip(oneLine(c.Expected), 300), clip(oneLine(c.Actual), 300)))
	}
	return out
}
