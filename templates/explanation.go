package templates

import (
	"fmt"

	"tocsin/bot/incident"
)

// explanation tells why an alert was treated as it was.
func explanation(x incident.Explanation) []string {
	var out []string
	if d := x.Delivery; d != nil {
		out = append(out, fmt.Sprintf("D%d came from %s at %s, sender %s, verified %s, SHA-256 %s", d.ID, flat(d.Source), d.At.UTC().Format(answerTime),
			orUnknown(d.Sender), orUnknown(d.Verified), d.SHA256))
		if d.Reason != "" {
			out = append(out, "Reason: "+flat(d.Reason))
		}
	}
	if x.Alert.ID != 0 {
		out = append(out, AlertLine(x.Alert))
	}
	if x.FirstDelivery != 0 {
		out = append(out, fmt.Sprintf("It came first with D%d.", x.FirstDelivery))
	}
	for _, u := range x.Unread {
		out = append(out, fmt.Sprintf("Not read: %s · %d times, last D%d at %s", flat(u.Reason), u.Count, u.Last, u.At.UTC().Format(answerTime)))
	}
	out = append(out, "Decided: "+flat(x.Outcome))
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
	out = append(out, tried(x.Rules)...)
	switch {
	case x.Digest == x.Present:
		return append(out, "The routing has not changed since.")
	case len(x.Rules) == 0:
		return append(out, "Today's routing is "+orUnknown(x.Present)+".")
	}
	out = append(out, "The routing has changed since; by today's, "+orUnknown(x.Present)+":")
	return append(out, tried(x.Today)...)
}

func tried(rules []incident.TriedRule) []string {
	var out []string
	for _, r := range rules {
		name := "behind all rules"
		if r.Place > 0 {
			name = fmt.Sprintf("rule %d, %s", r.Place, clip(flat(r.When), 300))
		}
		if r.Fits {
			out = append(out, "fits: "+name+" → "+flat(r.Does))
			continue
		}
		out = append(out, "does not fit: "+name)
		for _, why := range r.Why {
			out = append(out, "  "+clip(flat(why), 400))
		}
	}
	return out
}

// detection tells what the detection rules make of the records.
func detection(d incident.Detection) []string {
	if d.Present == "" && d.Digest == "" {
		return nil
	}
	var out []string
	switch {
	case d.Digest == d.Present:
		out = append(out, "Detection rules "+flat(d.Digest)+"; they have not changed since.")
	case d.Digest == "":
		out = append(out, "Detection rules of today "+flat(d.Present)+".")
	default:
		out = append(out, "Detection rules "+flat(d.Digest)+"; they have changed since, today's are "+orUnknown(d.Present)+".")
	}
	if d.Note != "" {
		out = append(out, flat(d.Note))
	}
	if d.Counted != "" {
		out = append(out, "It is about several events. Counted by "+clip(flat(d.Counted), 1000))
	}
	if d.Delivery == 0 {
		return out
	}
	if len(d.Records)+len(d.Today) == 0 {
		return append(out, fmt.Sprintf("D%d holds no record that detection rules judge.", d.Delivery))
	}
	in := fmt.Sprintf("in D%d", d.Delivery)
	for _, j := range d.Records {
		out = append(out, judged(j, in)...)
	}
	for _, j := range d.Today {
		out = append(out, judged(j, in+", by today's rules")...)
	}
	if d.More > 0 {
		out = append(out, fmt.Sprintf("%d more records are not shown.", d.More))
	}
	return out
}

func judged(j incident.JudgedRecord, where string) []string {
	if j.Fault != "" {
		return []string{"A record " + where + " cannot be judged: " + clip(flat(j.Fault), 300)}
	}
	head := flat(j.Name) + " of " + flat(j.Service) + " " + where
	if j.ID != "" {
		head += ", event " + flat(j.ID)
	}
	out, hits := []string{clip(head, 400) + ":"}, 0
	for _, r := range j.Rules {
		name := fmt.Sprintf("%s · %s · %s · %s:%d", flat(string(r.Level)), clip(flat(r.Title), 120), flat(r.ID), flat(r.File), r.Line)
		if !r.Hit {
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
			out = append(out, "  counted by "+clip(flat(c), 300))
		}
	}
	rest := fmt.Sprintf("%d other rules ask for other events.", j.Others)
	if hits == 0 {
		rest = "No rule makes it more than informational; " + rest
	}
	return append(out, rest)
}

// mostLines is how many lines of a rule are told; those of a rule that is that
// far from matching say little.
const mostLines = 8

func lines(why []incident.Compared) []string {
	var out []string
	for n, c := range why {
		if n == mostLines {
			return append(out, fmt.Sprintf("  and %d more", len(why)-n))
		}
		field, asks := c.Field, "asks for "
		if field == "" {
			field = "a keyword"
		}
		if c.LeftOut {
			asks = "leaves out "
		}
		out = append(out, fmt.Sprintf("  line %d, %s: %s%s, the record has %s", c.Line, flat(field), asks, clip(flat(c.Asks), 300), clip(flat(c.Has), 300)))
	}
	return out
}
