package response

import (
	"fmt"

	"tocsin/bot/incident"
)

// mostJudged is how many records of a delivery an explanation goes through.
const mostJudged = 10

// configuration is the rules in force.
func (d *Desk) configuration() Configuration {
	c := Configuration{Routing: Ruleset{d.Routing.digest, d.Routing.source}}
	if d.Detect != nil {
		c.Detection.Digest, c.Detection.Source = d.Detect.Rules()
	}
	return c
}

// bringing finds the delivery that brought an alert first, and reads it where
// detection rules judge it. An alert about several events has none.
func (d *Desk) bringing(r Reader, x *explaining) (err error) {
	if x.Brought, err = r.Brought(x.row.ID); err != nil || x.Brought == 0 || d.Detect == nil || !d.Detect.Judges(x.row.Alert.Source) {
		return err
	}
	x.body, _, err = r.Delivery(x.Brought)
	return err
}

// detected holds what was received against the detection rules of then and of
// now. Whatever is missing for it, the explanation says so.
func (d *Desk) detected(x *explaining) {
	if d.Detect == nil {
		return
	}
	out := &x.Detection
	out.Digest = x.then.Detection.Digest
	out.Present, _ = d.Detect.Rules()
	source := x.body.Source
	if x.body.ID == 0 {
		source = x.row.Alert.Source
	}
	if !d.Detect.Judges(source) {
		return
	}
	explain := func(rules []byte) ([]incident.JudgedRecord, error) {
		if x.body.ID != 0 {
			return d.Detect.Explain(rules, x.body.Body, x.row.Alert.EventID)
		}
		counted, err := d.Detect.Counted(rules, x.row.Alert)
		if err == nil {
			out.Counted = counted
		}
		return nil, err
	}
	out.Delivery = x.body.ID
	var today, then []incident.JudgedRecord
	var err error
	switch {
	case out.Digest == out.Present:
		then, err = explain(nil)
	case out.Digest == "":
		out.Note = "The detection rules of then were not kept; what follows is by those of today."
		today, err = explain(nil)
	default:
		if today, err = explain(nil); err != nil {
			break
		}
		var unusable error
		if then, unusable = explain(x.then.Detection.Source); unusable != nil {
			d.Log.Warn("detection rules of the past cannot be used", "digest", out.Digest, "error", unusable)
			out.Note = "The detection rules of then cannot be compiled by this version any more; what follows is by those of today."
		}
	}
	if err != nil {
		out.Note = fmt.Sprintf("It cannot be held against the detection rules: %v.", err)
		return
	}
	out.Records, out.Today = upTo(then, mostJudged), upTo(today, mostJudged)
	out.More = max(len(then), len(today), mostJudged) - mostJudged
	if x.body.ID == 0 && out.Counted == "" {
		out.Note = "What was received is not kept any more, so that no detection rule can be held against it."
	}
}

func upTo(list []incident.JudgedRecord, most int) []incident.JudgedRecord {
	return list[:min(len(list), most)]
}
