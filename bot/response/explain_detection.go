package response

import (
	"context"
	"fmt"
	"math"
	"time"

	"tocsin/bot/incident"
)

// maxTraced is how many records of a delivery an explanation goes through.
const maxTraced = 10

// currentConfiguration is the rules in force.
func (d *Desk) currentConfiguration() Configuration {
	c := Configuration{Routing: Ruleset{d.Routing.digest, d.Routing.source}}
	if d.Detect != nil {
		c.Detection.Digest, c.Detection.Source = d.Detect.Rules()
	}
	return c
}

// loadFirstDelivery finds the delivery that brought an alert first, and reads it where
// detection rules judge it. An alert about several events has none.
func (d *Desk) loadFirstDelivery(r Reader, x *explanation) (err error) {
	if x.FirstDelivery, err = r.FirstDelivery(x.row.ID); err != nil || x.FirstDelivery == 0 || d.Detect == nil || !d.Detect.Evaluates(x.row.Alert.Source) {
		return err
	}
	x.body, _, err = r.Delivery(x.FirstDelivery)
	return err
}

// traceDetection holds what was received against the detection rules of then and of
// now. Whatever is missing for it, the explanation says so.
func (d *Desk) traceDetection(ctx context.Context, who incident.Identity, x *explanation) error {
	if d.Detect == nil {
		return nil
	}
	out := &x.Detection
	out.Digest = x.then.Detection.Digest
	out.CurrentDigest, _ = d.Detect.Rules()
	source := x.body.Source
	if x.body.ID == 0 {
		source = x.row.Alert.Source
	}
	if !d.Detect.Evaluates(source) {
		return nil
	}
	if x.body.ID == 0 {
		d.traceBothRulesets(x, func(rules []byte) ([]incident.RecordTrace, error) {
			counted, err := d.Detect.ExplainCorrelation(rules, x.row.Alert)
			if err == nil {
				out.Counted = counted
			}
			return nil, err
		})
		if out.Counted == "" && out.Note == "" {
			out.Note = "What was received is not kept any more, so that no detection rule can be held against it."
		}
		return nil
	}
	// Beside the alert's own record a delivery has others, which may be part of any
	// incident that was there to be reached.
	every, err := d.mayReadAll(ctx, who, x.body.At)
	if err != nil {
		return err
	}
	most := 0
	if every {
		most = maxTraced
	}
	out.Delivery = x.body.ID
	d.traceBothRulesets(x, func(rules []byte) ([]incident.RecordTrace, error) {
		list, more, err := d.Detect.Explain(rules, x.body.Body, x.row.Alert.EventID, most)
		if err == nil {
			out.More = max(out.More, more)
		}
		return list, err
	})
	if !every && len(out.Records)+len(out.CurrentRecords) == 0 && out.More > 0 && out.Note == "" {
		out.Note = "Its records are not shown: they may belong to incidents that you may not read."
	}
	return nil
}

// traceBothRulesets has explain hold what was received against the rules of then and of now.
func (d *Desk) traceBothRulesets(x *explanation, explain func(rules []byte) ([]incident.RecordTrace, error)) {
	out := &x.Detection
	var err error
	switch {
	case out.Digest == out.CurrentDigest:
		out.Records, err = explain(nil)
	case out.Digest == "":
		out.Note = "The detection rules of then were not kept; what follows is by those of today."
		out.CurrentRecords, err = explain(nil)
	default:
		if out.CurrentRecords, err = explain(nil); err != nil {
			break
		}
		var unusable error
		if out.Records, unusable = explain(x.then.Detection.Source); unusable != nil {
			d.Log.Warn("detection rules of the past cannot be used", "digest", out.Digest, "error", unusable)
			out.Note = "The detection rules of then cannot be compiled by this version any more; what follows is by those of today."
		}
	}
	if err != nil {
		out.Note = fmt.Sprintf("It cannot be held against the detection rules: %v.", err)
	}
}

// maxClockSkew is by how much the clocks of replicas may differ.
const maxClockSkew = time.Hour

// mayReadAll reports whether somebody may read every incident that what was
// received at a time can be part of. Which those are nobody wrote down for each
// record, so it asks about all but those that had ended by then.
func (d *Desk) mayReadAll(ctx context.Context, who incident.Identity, received time.Time) (every bool, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		person, _ := dir.Resolve(who)
		if every = who.Provider == incident.ProviderSystem || person.Responder; every {
			return nil
		}
		list, err := r.Summaries(incident.Filter{All: true, Limit: math.MaxInt32})
		if err != nil {
			return err
		}
		for _, s := range list {
			if !s.Restricted || !s.Status.Live() && s.UpdatedAt.Before(received.Add(-maxClockSkew)) {
				continue
			}
			inc, err := r.Incident(s.ID)
			if err != nil || !inc.MayRead(dir, person.ID, d.Now()) {
				return err
			}
		}
		every = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("find what the reader may see: %w", err)
	}
	return every, nil
}
