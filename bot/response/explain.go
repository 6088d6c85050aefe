package response

import (
	"context"
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// explanation is an [incident.Explanation] with the data to complete it.
type explanation struct {
	incident.Explanation
	row      AlertRow // the alert, if there is one
	decision RoutingDecision
	outcome  string
	open     incident.Severity       // at which the routing that decided opens incidents for the alert
	config   Configuration           // in force at the decision, zero if it was not stored
	stored   incident.StoredDelivery // the delivery to evaluate with detection rules
}

// explain returns how an alert, or the alert of a delivery, was routed: by the
// rules in force at that time, and by the current ones if they differ.
func (d *Desk) explain(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error) {
	var x explanation
	if err := d.Store.View(ctx, func(r Reader) error { return d.loadExplanation(r, &x, e) }); err != nil {
		return incident.AlertResult{}, err
	}
	// The alert may have moved to another incident since its delivery was handled.
	for _, id := range slices.Compact([]incident.ID{x.Incident, max(x.row.Incident, 0)}) {
		if id == 0 {
			continue
		}
		v, err := d.Show(ctx, who, id, "explain")
		switch {
		case incident.CodeOf(err) == incident.CodeUnknown && e.Delivery != 0:
			return incident.AlertResult{}, incident.NoDelivery(e.Delivery)
		case incident.CodeOf(err) == incident.CodeUnknown:
			return incident.AlertResult{}, incident.NoAlert(e.Alert)
		case err != nil:
			return incident.AlertResult{}, err
		}
		x.Incident = v.Incident.ID
	}
	if err := d.traceRouting(&x); err != nil {
		return incident.AlertResult{}, err
	}
	if err := d.traceWindows(ctx, &x); err != nil {
		return incident.AlertResult{}, err
	}
	if err := d.traceDetection(ctx, who, &x); err != nil {
		return incident.AlertResult{}, err
	}
	return incident.AlertResult{Explanation: &x.Explanation}, nil
}

// loadExplanation reads the alert, its delivery and the configuration at the
// time.
func (d *Desk) loadExplanation(r Reader, x *explanation, e incident.AlertRequest) (err error) {
	*x = explanation{}
	if e.Delivery != 0 {
		delivery, err := deliveryByRow(r, e.Delivery)
		if err != nil {
			return err
		}
		received, outcome := delivery.Stored, delivery.Outcome
		x.stored, x.Delivery, x.outcome = received, &received, outcome.Outcome
		x.Delivery.Body = nil
		e.Alert, x.decision = outcome.Alert, RoutingDecision{Rule: outcome.Rule, Routing: outcome.Routing}
		x.Incident = outcome.Incident
	}
	if e.Alert != 0 {
		if x.row, err = alertByID(r, e.Alert); err != nil {
			return err
		}
		if e.Delivery == 0 {
			x.decision, x.Incident = x.row.Decision, max(x.row.Incident, 0)
			x.outcome = outcomeOf(x.row)
		} else {
			x.decision.Maintenance, x.decision.RecurrenceOf = x.row.Decision.Maintenance, x.row.Decision.RecurrenceOf
		}
		x.Alert = alertLine(x.row)
	}
	x.Outcome = describeOutcome(x.outcome, x.Incident, x.decision)
	if x.Delivery != nil && x.outcome == outcomeCounted && x.Delivery.Reason != "" {
		x.Outcome = x.Delivery.Reason // names the delivery that reported the event first
	}
	if x.decision.Routing != 0 {
		if x.config, err = r.Configuration(x.decision.Routing); err != nil {
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

// Limits of the decode failures in an explanation.
const (
	maxUndecodable = 200 // newest undecodable deliveries that an explanation reads
	maxReasons     = 10  // distinct reasons that it lists
)

// loadDecodeFailures adds the reasons why deliveries of the source are
// undecodable. All reasons share one alert, because otherwise a sender could fill
// the list of alerts.
func loadDecodeFailures(r InboxReader, x *explanation) error {
	rows, err := r.Deliveries(DeliveryQuery{Undecodable: x.row.Alert.Source, Limit: maxUndecodable})
	if err != nil {
		return err
	}
	for _, d := range rows {
		row := d.Stored
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

// traceRouting evaluates the routing rules at the time and the current ones, if
// they differ.
func (d *Desk) traceRouting(x *explanation) error {
	original := d.Routing
	if x.decision.Routing != 0 {
		var err error
		if original, err = restoreRouting(x.config.Routing.Source); err != nil {
			return err
		}
		x.Since = x.config.Since
	}
	x.Digest, x.CurrentDigest = original.Digest(), d.Routing.Digest()
	if x.row.ID == 0 { // there is no alert to evaluate
		x.Digest = x.config.Routing.Digest
		return nil
	}
	if x.decision.Rule == unreadPosition {
		rule := d.unreadableRule(x.row.Alert.Source)
		x.open, x.Rules = rule.Open, []incident.RuleTrace{{Index: unreadPosition, Action: rule.describe(), Matched: true}}
		x.CurrentDigest = x.Digest
		return nil
	}
	x.open = original.route(x.row.Alert).rule.Open
	if x.Rules = original.trace(x.row.Alert); x.Digest != x.CurrentDigest {
		x.CurrentRules = d.Routing.trace(x.row.Alert)
	}
	return nil
}

// traceWindows adds the maintenance windows that were active at the last occurrence
// of the alert and did not suppress it: their condition fails on it, or nobody had
// confirmed them for its severity.
func (d *Desk) traceWindows(ctx context.Context, x *explanation) error {
	if x.row.ID == 0 {
		return nil
	}
	var windows []incident.MaintenanceWindow
	err := d.Store.View(ctx, func(r Reader) (err error) {
		windows, err = r.MaintenanceWindows(x.row.LastAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("read maintenance windows: %w", err)
	}
	env := newAlertEnv(x.row.Alert)
	for _, m := range windows {
		if !m.Active(x.row.LastAt) {
			continue
		}
		c := d.compileWindow(m)
		matches, err := false, c.err
		if err == nil {
			matches, err = c.program.Matches(env)
		}
		if matches && isSevere(x.open) && !m.Covers(x.open, x.row.LastAt) {
			x.UnconfirmedWindows = append(x.UnconfirmedWindows, unconfirmedText(m.ID))
		}
		if err != nil {
			x.FailedWindows = append(x.FailedWindows, fmt.Sprintf("Maintenance window M%d failed on this alert and did not suppress it: %v.", m.ID, err))
		}
	}
	return nil
}

// outcomeOf returns the outcome that corresponds to where an alert is stored.
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

// describeOutcome returns the outcome for people, as a phrase without a full
// stop.
func describeOutcome(outcome string, id incident.ID, decision RoutingDecision) string {
	switch outcome {
	case outcomeOpened:
		return fmt.Sprintf("opened %s", id)
	case outcomeAttached, outcomeCounted:
		return fmt.Sprintf("attached to %s", id)
	case outcomeGrouped:
		return fmt.Sprintf("grouped into %s, the incident of an alert storm, because too many incidents had been opened", id)
	case outcomeRecurred:
		return fmt.Sprintf("watched: a recurrence of an alert of %s, which was a false alarm or an ongoing condition", decision.RecurrenceOf)
	case outcomeMaintenance:
		return fmt.Sprintf("suppressed by maintenance window M%d", decision.Maintenance)
	case outcomeDropped:
		return "dropped by the matching rule and listed for the review meeting"
	case outcomeWatched:
		return "watched: counted and listed, no one was paged"
	case outcomeCommand:
		return fmt.Sprintf("not an alert: it reported an action on %s in another system", id)
	case outcomeUndecodable:
		if id > 0 {
			return fmt.Sprintf("undecodable: its body is stored, and %s reports it", id)
		}
		return "undecodable: its body is stored"
	case outcomeIgnored:
		return "ignored: it changed nothing"
	}
	return "not handled yet"
}
