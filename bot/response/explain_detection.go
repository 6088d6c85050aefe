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

// bringing reads the delivery that brought an alert first.
func (d *Desk) bringing(r Reader, x *explaining) error {
	row, err := r.Brought(x.row.ID)
	if err != nil {
		return err
	}
	if row == 0 {
		x.Detection.Note = "What was received is not kept any more, so that no detection rule can be held against it."
		return nil
	}
	x.body, _, err = r.Delivery(row)
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
	if x.body.ID == 0 || !d.Detect.Judges(x.body.Source) {
		return
	}
	out.Delivery = x.body.ID
	today, err := d.Detect.Explain(nil, x.body.Body, x.row.Alert.EventID)
	if err != nil {
		out.Note = fmt.Sprintf("What was received cannot be held against the detection rules: %v.", err)
		return
	}
	today, out.More = upTo(today, mostJudged)
	switch {
	case out.Digest == out.Present:
		out.Records = today
		return
	case out.Digest == "":
		out.Note = "The detection rules of then were not kept; what follows is by those of today."
	default:
		then, err := d.Detect.Explain(x.then.Detection.Source, x.body.Body, x.row.Alert.EventID)
		if err != nil {
			d.Log.Warn("detection rules of the past cannot be used", "digest", out.Digest, "error", err)
			out.Note = "The detection rules of then cannot be compiled by this version any more; what follows is by those of today."
		}
		out.Records, _ = upTo(then, mostJudged)
	}
	out.Today = today
}

func upTo(list []incident.JudgedRecord, most int) ([]incident.JudgedRecord, int) {
	if len(list) <= most {
		return list, 0
	}
	return list[:most], len(list) - most
}
