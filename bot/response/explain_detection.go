package response

import (
	"context"
	"fmt"
	"math"
	"time"

	"tocsin/bot/incident"
)

// maxTraced is the maximum number of records of a delivery in an explanation.
const maxTraced = 10

// currentConfiguration returns the routing and detection rules in force.
func (d *Desk) currentConfiguration() Configuration {
	c := Configuration{Routing: Ruleset{d.Routing.digest, d.Routing.source}}
	if d.Detect != nil {
		c.Detection.Digest, c.Detection.Source = d.Detect.Rules()
	}
	return c
}

// loadFirstDelivery finds the first delivery of an alert, and reads it if
// detection rules evaluate its source. An alert about several events has none.
func (d *Desk) loadFirstDelivery(r InboxReader, x *explanation) error {
	first, err := r.Deliveries(DeliveryQuery{Alert: x.row.ID, Limit: 1})
	if err != nil || len(first) == 0 {
		return err
	}
	x.FirstDelivery = first[0].Stored.ID
	if d.Detect == nil || !d.Detect.Evaluates(x.row.Alert.Source) {
		return nil
	}
	delivery, err := deliveryByRow(r, x.FirstDelivery)
	x.stored = delivery.Stored
	return err
}

// traceDetection evaluates the detection rules at the time and the current ones.
// The explanation notes everything that is missing for it.
func (d *Desk) traceDetection(ctx context.Context, who incident.Identity, x *explanation) error {
	if d.Detect == nil {
		return nil
	}
	out := &x.Detection
	out.Digest = x.config.Detection.Digest
	out.CurrentDigest, _ = d.Detect.Rules()
	source := x.stored.Source
	if x.stored.ID == 0 {
		source = x.row.Alert.Source
	}
	if !d.Detect.Evaluates(source) {
		return nil
	}
	if x.stored.ID == 0 {
		d.traceBothRulesets(x, func(rules []byte) ([]incident.RecordTrace, error) {
			counted, err := d.Detect.ExplainCorrelation(rules, x.row.Alert)
			if err == nil {
				out.Counted = counted
			}
			return nil, err
		})
		if out.Counted == "" && out.Note == "" {
			out.Note = "The delivery is no longer stored, so its records cannot be evaluated."
		}
		return nil
	}
	// The delivery may contain records of other alerts, which may be attached to any
	// incident that was live at the time.
	all, err := d.mayReadAll(ctx, who, x.stored.At)
	if err != nil {
		return err
	}
	limit := 0
	if all {
		limit = maxTraced
	}
	out.Delivery = x.stored.ID
	d.traceBothRulesets(x, func(rules []byte) ([]incident.RecordTrace, error) {
		list, more, err := d.Detect.Explain(rules, x.stored.Body, x.row.Alert.EventID, limit)
		if err == nil {
			out.More = max(out.More, more)
		}
		return list, err
	})
	if !all && len(out.Records)+len(out.CurrentRecords) == 0 && out.More > 0 && out.Note == "" {
		out.Note = "Its records are not shown because they may belong to incidents that you may not read."
	}
	return nil
}

// traceBothRulesets calls explain for the detection rules at the time and for the
// current ones (nil).
func (d *Desk) traceBothRulesets(x *explanation, explain func(rules []byte) ([]incident.RecordTrace, error)) {
	out := &x.Detection
	var err error
	switch {
	case out.Digest == out.CurrentDigest:
		out.Records, err = explain(nil)
	case out.Digest == "":
		out.Note = "The detection rules at the time were not stored. The current rules are shown instead."
		out.CurrentRecords, err = explain(nil)
	default:
		if out.CurrentRecords, err = explain(nil); err != nil {
			break
		}
		var compileErr error
		if out.Records, compileErr = explain(x.config.Detection.Source); compileErr != nil {
			d.Log.Warn("compile stored detection rules failed", "digest", out.Digest, "err", compileErr)
			out.Note = "This version cannot compile the detection rules at the time. The current rules are shown instead."
		}
	}
	if err != nil {
		out.Note = fmt.Sprintf("Evaluating the detection rules failed: %v.", err)
	}
}

// maxClockSkew is the maximum difference between the clocks of replicas.
const maxClockSkew = time.Hour

// mayReadAll reports whether a person may read every incident that can have
// records received at a time. The store does not know the incident of each
// record, so mayReadAll checks all incidents except those already ended at that
// time.
func (d *Desk) mayReadAll(ctx context.Context, who incident.Identity, received time.Time) (all bool, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		person, _ := dir.Resolve(who)
		if all = who.Provider == incident.ProviderSystem; all {
			return nil
		}
		list, err := r.Summaries(incident.Filter{All: true, Limit: math.MaxInt32})
		if err != nil {
			return err
		}
		for _, s := range list {
			if !s.Status.Live() && s.UpdatedAt.Before(received.Add(-maxClockSkew)) {
				continue
			}
			inc, err := r.Incident(s.ID)
			if err != nil || !inc.MayRead(dir, person.ID, d.Now()) {
				return err
			}
		}
		all = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("check access to incidents: %w", err)
	}
	return all, nil
}
