package response

import (
	"context"
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// explanation is what an explanation is made of.
type explanation struct {
	incident.Explanation
	row     AlertRow // the alert, if there is one
	made    RoutingDecision
	outcome string
	then    Configuration           // the rules by which it was decided; zero: they were not kept
	body    incident.StoredDelivery // the delivery that is held against the detection rules
}

// explain says why an alert, or the alert of a delivery, was treated as it was:
// by the rules that were in force then, and by those of today where they have
// changed.
func (d *Desk) explain(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	var x explanation
	if err := d.Store.View(ctx, func(r Reader) error { return d.loadExplanation(r, &x, e) }); err != nil {
		return incident.AlertResult{}, err
	}
	// The alert may have moved on from where its delivery brought it.
	for _, id := range slices.Compact([]incident.ID{x.Incident, max(x.row.Incident, 0)}) {
		if id == 0 {
			continue
		}
		v, err := d.Show(ctx, who, id, "explain")
		if err != nil {
			return incident.AlertResult{}, err
		}
		x.Incident = v.Incident.ID
	}
	if err := d.traceRouting(&x); err != nil {
		return incident.AlertResult{}, err
	}
	if err := d.traceDetection(ctx, who, &x); err != nil {
		return incident.AlertResult{}, err
	}
	return incident.AlertResult{Explanation: &x.Explanation}, nil
}

// loadExplanation reads what is to be explained.
func (d *Desk) loadExplanation(r Reader, x *explanation, e incident.AlertRequest) (err error) {
	*x = explanation{}
	if e.Delivery != 0 {
		received, settled, err := r.Delivery(e.Delivery)
		if err != nil {
			return err
		}
		x.body, x.Delivery, x.outcome = received, &received, settled.Outcome
		x.Delivery.Body = nil
		e.Alert, x.made = settled.Alert, RoutingDecision{Rule: settled.Rule, Routing: settled.Routing}
		x.Incident = settled.Incident
	}
	if e.Alert != 0 {
		if x.row, err = r.Alert(e.Alert); err != nil {
			return err
		}
		if e.Delivery == 0 {
			x.made, x.Incident = x.row.Decision, max(x.row.Incident, 0)
			x.outcome = outcomeOf(x.row)
		} else {
			x.made.Maintenance, x.made.RecurrenceOf = x.row.Decision.Maintenance, x.row.Decision.RecurrenceOf
		}
		x.Alert = alertLine(x.row)
	}
	x.Outcome = describeOutcome(x.outcome, x.Incident, x.made)
	if x.Delivery != nil && x.outcome == outcomeCounted && x.Delivery.Reason != "" {
		x.Outcome = x.Delivery.Reason // another delivery brought it first
	}
	if x.made.Routing != 0 {
		if x.then, err = r.Configuration(x.made.Routing); err != nil {
			return err
		}
	}
	if e.Delivery != 0 {
		return nil
	}
	if err := d.loadFirstDelivery(r, x); err != nil {
		return err
	}
	if x.row.Alert.Kind == incident.UndecodableKind(x.row.Alert.Source) {
		return loadDecodeFailures(r, x)
	}
	return nil
}

// maxUndecodable is how many of the newest deliveries that cannot be read an
// explanation looks at, and mostReasons how many reasons it tells.
const maxUndecodable, maxReasons = 200, 10

// loadDecodeFailures adds why deliveries cannot be read. They are one alert, whatever the
// reason, so that a sender's whims do not fill the list.
func loadDecodeFailures(r Reader, x *explanation) error {
	rows, err := r.UndecodableDeliveries(x.row.Alert.Source, maxUndecodable)
	if err != nil {
		return err
	}
	for _, row := range rows {
		n := slices.IndexFunc(x.DecodeFailures, func(u incident.DecodeFailure) bool { return u.Reason == row.Reason })
		switch {
		case n >= 0:
			x.DecodeFailures[n].Count++
		case len(x.DecodeFailures) < maxReasons:
			x.DecodeFailures = append(x.DecodeFailures, incident.DecodeFailure{Reason: row.Reason, Count: 1, Last: row.ID, At: row.At})
		}
	}
	return nil
}

// traceRouting holds the alert against the routing rules of then and of now.
func (d *Desk) traceRouting(x *explanation) error {
	then := d.Routing
	if x.made.Routing != 0 {
		var err error
		if then, err = restoreRouting(x.then.Routing.Source); err != nil {
			return err
		}
		x.Since = x.then.Since
	}
	x.Digest, x.CurrentDigest = then.Digest(), d.Routing.Digest()
	if x.row.ID == 0 { // it was no alert, or could not be read
		x.Digest = x.then.Routing.Digest
		return nil
	}
	if x.Rules = then.trace(x.row.Alert); x.Digest != x.CurrentDigest {
		x.CurrentRules = d.Routing.trace(x.row.Alert)
	}
	return nil
}

// outcomeOf is the outcome that an alert's place tells.
func outcomeOf(row AlertRow) string {
	switch {
	case row.Incident > 0 && row.Decision.Storm:
		return outcomeGrouped
	case row.Incident > 0:
		return outcomeAttached
	case row.Incident == DroppedAlerts:
		return outcomeDropped
	case row.Incident == MaintenanceAlerts:
		return outcomeMaintenance
	case row.Decision.RecurrenceOf != 0:
		return outcomeRecurred
	}
	return outcomeWatched
}

// describeOutcome says what was decided.
func describeOutcome(outcome string, id incident.ID, made RoutingDecision) string {
	switch outcome {
	case outcomeOpened:
		return fmt.Sprintf("opened %s", id)
	case outcomeAttached, outcomeCounted:
		return fmt.Sprintf("belongs to %s", id)
	case outcomeGrouped:
		return fmt.Sprintf("gathered into %s, which holds a storm of alerts: too many correlations would have opened incidents of their own", id)
	case outcomeRecurred:
		return fmt.Sprintf("watched: a copy of what %s ended with: a false alarm, within the rule's window, or a state that is told again", made.RecurrenceOf)
	case outcomeMaintenance:
		return fmt.Sprintf("kept without opening anything, in the maintenance window M%d", made.Maintenance)
	case outcomeDropped:
		return "dropped by the rule that fits; kept and listed for the review meeting"
	case outcomeWatched:
		return "watched: counted and shown, nobody was woken"
	case outcomeCommand:
		return fmt.Sprintf("no alert: it said what somebody did about %s elsewhere", id)
	case outcomeUndecodable:
		return "it could not be read; its body is kept"
	case outcomeIgnored:
		return "nothing followed from it"
	}
	return "not handled yet"
}
