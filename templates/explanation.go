package templates

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// explanationLines explains how an alert or delivery was routed.
func explanationLines(x incident.Explanation) []string {
	var out []string
	if d := x.Delivery; d != nil {
		out = append(out, d.Origin.Marked(fmt.Sprintf("D%d was received from %s at %s, sender %s, verification: %s, SHA-256 %s", d.ID, oneLine(d.Source), d.At.UTC().Format(timeLayout),
			orUnknown(d.Sender), orUnknown(d.Verified), d.SHA256)))
		if d.Reason != "" {
			out = append(out, "Reason: "+oneLine(d.Reason))
		}
	}
	if x.Alert.ID != 0 {
		out = append(out, AlertLine(x.Alert))
	}
	if x.FirstDelivery != 0 {
		out = append(out, fmt.Sprintf("First delivery: D%d", x.FirstDelivery))
	}
	for _, u := range x.DecodeFailures {
		out = append(out, fmt.Sprintf("Undecodable: %s · %s, last D%d at %s", oneLine(u.Reason), plural(u.Count, "time"), u.Last, u.At.UTC().Format(timeLayout)))
	}
	out = append(out, "Outcome: "+oneLine(x.Outcome))
	for _, line := range slices.Concat(x.UnconfirmedWindows, x.FailedWindows) {
		out = append(out, clip(oneLine(line), 400))
	}
	return append(append(out, routingLines(x)...), detectionLines(x.Detection)...)
}

func routingLines(x incident.Explanation) []string {
	since := ""
	if !x.Since.IsZero() {
		since = " (in effect since " + x.Since.UTC().Format(timeLayout) + ")"
	}
	out := []string{"Routing " + orUnknown(x.Digest) + since + ":"}
	if len(x.Rules) == 0 {
		out[0] = "Routing " + orUnknown(x.Digest) + since + ". No rule was evaluated, because there was no alert."
	}
	out = append(out, ruleLines(x.Rules)...)
	switch {
	case x.Digest == x.CurrentDigest:
		return append(out, "The routing has not changed since.")
	case len(x.Rules) == 0:
		return append(out, "The routing has changed since. Current routing: "+orUnknown(x.CurrentDigest))
	}
	out = append(out, "The routing has changed since. Current routing "+orUnknown(x.CurrentDigest)+":")
	return append(out, ruleLines(x.CurrentRules)...)
}

func ruleLines(rules []incident.RuleTrace) []string {
	var out []string
	for _, r := range rules {
		name := "default rule"
		switch {
		case r.Index > 0:
			name = fmt.Sprintf("rule %d, %s", r.Index, clip(oneLine(r.When), 300))
		case r.Index < 0:
			name = "a delivery that cannot be read, at the usual severity of its source"
		}
		if r.Matched {
			out = append(out, "matches: "+name+" → "+oneLine(r.Action))
			continue
		}
		switch {
		case r.Applied:
			out = append(out, "failed: "+name+" → "+oneLine(r.Action)+", because a failing rule may not hide an alert")
		case r.Failed != "":
			out = append(out, "failed: "+name)
		default:
			out = append(out, "does not match: "+name)
		}
		if r.Failed != "" {
			out = append(out, "  "+clip(oneLine(r.Failed), 400))
		}
		for _, why := range r.Why {
			out = append(out, "  "+clip(oneLine(why), 400))
		}
	}
	return out
}

// detectionLines explains which detection rules match the records of a delivery.
func detectionLines(d incident.Detection) []string {
	if d.CurrentDigest == "" && d.Digest == "" {
		return nil
	}
	var out []string
	switch {
	case d.Digest == d.CurrentDigest:
		out = append(out, "Detection rules "+oneLine(d.Digest)+". They have not changed since.")
	case d.Digest == "":
		out = append(out, "Current detection rules: "+oneLine(d.CurrentDigest))
	default:
		out = append(out, "Detection rules "+oneLine(d.Digest)+". They have changed since. Current rules: "+orUnknown(d.CurrentDigest))
	}
	if d.Note != "" {
		out = append(out, oneLine(d.Note))
	}
	if d.Counted != "" {
		out = append(out, "Several events together: "+clip(oneLine(d.Counted), 1000))
	}
	if d.Delivery == 0 {
		return out
	}
	if len(d.Records)+len(d.CurrentRecords) == 0 {
		return append(out, fmt.Sprintf("D%d contains no record that detection rules evaluate.", d.Delivery))
	}
	in := fmt.Sprintf("in D%d", d.Delivery)
	for _, j := range d.Records {
		out = append(out, recordLines(j, in)...)
	}
	for _, j := range d.CurrentRecords {
		out = append(out, recordLines(j, in+", with the current rules")...)
	}
	if d.More > 0 {
		out = append(out, fmt.Sprintf("%d more records are not shown.", d.More))
	}
	return out
}

func recordLines(j incident.RecordTrace, where string) []string {
	if j.Error != "" {
		return []string{"A record " + where + " cannot be evaluated: " + clip(oneLine(j.Error), 300)}
	}
	head := oneLine(j.Name) + " of " + oneLine(j.Service) + " " + where
	if j.ID != "" {
		head += ", event " + oneLine(j.ID)
	}
	out, hits := []string{clip(head, 400) + ":"}, 0
	for _, r := range j.Rules {
		name := fmt.Sprintf("%s · %s · %s · %s:%d", oneLine(string(r.Level)), clip(oneLine(r.Title), 120), oneLine(r.ID), oneLine(r.File), r.Line)
		if !r.Matched {
			out = append(append(out, "does not match: "+name), comparisonLines(r.Why)...)
			continue
		}
		if r.Silent {
			name += " · only counted"
		} else {
			hits++
		}
		out = append(append(out, "matches: "+name), comparisonLines(r.Why)...)
		for _, c := range r.Counts {
			out = append(out, "  counted for "+clip(oneLine(c), 300))
		}
	}
	rest := fmt.Sprintf("%d other rules apply to other events.", j.Others)
	if hits == 0 {
		rest = "No rule rates the record above informational. " + rest
	}
	return append(out, rest)
}

// maxComparisons is the maximum number of comparisons shown for a rule. More do
// not help, because such a rule is far from matching.
const maxComparisons = 8

func comparisonLines(why []incident.FieldComparison) []string {
	var out []string
	for n, c := range why {
		if n == maxComparisons {
			return append(out, fmt.Sprintf("  and %d more", len(why)-n))
		}
		field, verb := c.Field, "expects "
		if field == "" {
			field = "a keyword"
		}
		if c.Negated {
			verb = "excludes "
		}
		out = append(out, fmt.Sprintf("  line %d, %s: %s%s, the record has %s", c.Line, oneLine(field), verb, clip(oneLine(c.Expected), 300), clip(oneLine(c.Actual), 300)))
	}
	return out
}
