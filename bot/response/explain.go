package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// explain says why an alert, or the alert of a delivery, was treated as it was:
// by the routing that was in force then, and by the one of today where that
// has changed.
func (d *Desk) explain(ctx context.Context, who incident.Handle, e incident.Errand) (incident.Answer, error) {
	x := incident.Explanation{Present: d.Routing.Digest()}
	var row AlertRow
	err := d.Store.View(ctx, func(r Reader) error {
		made, outcome := Decision{}, ""
		if e.Delivery != 0 {
			received, settled, err := r.Delivery(e.Delivery)
			if err != nil {
				return err
			}
			x.Delivery, outcome = &received, settled.Outcome
			e.Alert, made = settled.Alert, Decision{Rule: settled.Rule, Routing: settled.Routing}
			x.Incident = settled.Incident
		}
		if e.Alert == 0 {
			x.Outcome = inWords(outcome, x.Incident, made)
			return nil // it was no alert, or could not be read
		}
		var err error
		if row, err = r.Alert(e.Alert); err != nil {
			return err
		}
		if e.Delivery == 0 {
			made, x.Incident = row.Decision, max(row.Incident, 0)
			outcome = settledAs(row)
		} else {
			made.Maintenance, made.Late = row.Decision.Maintenance, row.Decision.Late
		}
		x.Alert, x.Outcome = line(row), inWords(outcome, x.Incident, made)
		if x.Delivery != nil && outcome == outcomeCounted && x.Delivery.Reason != "" {
			x.Outcome = x.Delivery.Reason // another delivery brought it first
		}
		return d.tryAgain(r, &x, row.Alert, made)
	})
	if err != nil {
		return incident.Answer{}, err
	}
	if row.Incident > 0 {
		v, err := d.Show(ctx, who, row.Incident, "explain")
		if err != nil {
			return incident.Answer{}, err
		}
		x.Incident = v.Incident.ID
	}
	return incident.Answer{Explanation: &x}, nil
}

// tryAgain holds the alert against the rules of then and of now.
func (d *Desk) tryAgain(r Reader, x *incident.Explanation, a incident.Alert, made Decision) error {
	then := d.Routing
	if made.Routing != 0 {
		source, since, err := r.Routing(made.Routing)
		if err != nil {
			return err
		}
		if then, err = restored(source); err != nil {
			return err
		}
		x.Since = since
	}
	x.Digest, x.Rules = then.Digest(), then.tried(a)
	if x.Digest != x.Present {
		x.Today = d.Routing.tried(a)
	}
	return nil
}

// settledAs is the outcome that an alert's place tells.
func settledAs(row AlertRow) string {
	switch {
	case row.Incident > 0 && row.Decision.Storm:
		return outcomeGathered
	case row.Incident > 0:
		return outcomeAttached
	case row.Incident == Dropped:
		return outcomeDropped
	case row.Incident == Maintained:
		return outcomeMaintenance
	case row.Decision.Late != 0:
		return outcomeLate
	}
	return outcomeWatched
}

// inWords says what was decided.
func inWords(outcome string, id incident.ID, made Decision) string {
	switch outcome {
	case outcomeOpened:
		return fmt.Sprintf("opened %s", id)
	case outcomeAttached, outcomeCounted:
		return fmt.Sprintf("belongs to %s", id)
	case outcomeGathered:
		return fmt.Sprintf("gathered into %s, which holds a storm of alerts: too many correlations would have opened incidents of their own", id)
	case outcomeLate:
		return fmt.Sprintf("watched: a copy of what %s ended with: a false alarm, within the rule's window, or a state that is told again", made.Late)
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
