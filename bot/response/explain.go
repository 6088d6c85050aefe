package response

import (
	"context"
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// explaining is what an explanation is made of.
type explaining struct {
	incident.Explanation
	row     AlertRow // the alert, if there is one
	made    Decision
	outcome string
	then    Configuration     // the rules by which it was decided; zero: they were not kept
	body    incident.Received // the delivery that is held against the detection rules
}

// explain says why an alert, or the alert of a delivery, was treated as it was:
// by the rules that were in force then, and by those of today where they have
// changed.
func (d *Desk) explain(ctx context.Context, who incident.Handle, e incident.Errand) (incident.Answer, error) {
	var x explaining
	if err := d.Store.View(ctx, func(r Reader) error { return d.gather(r, &x, e) }); err != nil {
		return incident.Answer{}, err
	}
	// The alert may have moved on from where its delivery brought it.
	for _, id := range slices.Compact([]incident.ID{x.Incident, max(x.row.Incident, 0)}) {
		if id == 0 {
			continue
		}
		v, err := d.Show(ctx, who, id, "explain")
		if err != nil {
			return incident.Answer{}, err
		}
		x.Incident = v.Incident.ID
	}
	if err := d.routed(&x); err != nil {
		return incident.Answer{}, err
	}
	if err := d.detected(ctx, who, &x); err != nil {
		return incident.Answer{}, err
	}
	return incident.Answer{Explanation: &x.Explanation}, nil
}

// gather reads what is to be explained.
func (d *Desk) gather(r Reader, x *explaining, e incident.Errand) (err error) {
	*x = explaining{}
	if e.Delivery != 0 {
		received, settled, err := r.Delivery(e.Delivery)
		if err != nil {
			return err
		}
		x.body, x.Delivery, x.outcome = received, &received, settled.Outcome
		x.Delivery.Body = nil
		e.Alert, x.made = settled.Alert, Decision{Rule: settled.Rule, Routing: settled.Routing}
		x.Incident = settled.Incident
	}
	if e.Alert != 0 {
		if x.row, err = r.Alert(e.Alert); err != nil {
			return err
		}
		if e.Delivery == 0 {
			x.made, x.Incident = x.row.Decision, max(x.row.Incident, 0)
			x.outcome = settledAs(x.row)
		} else {
			x.made.Maintenance, x.made.Late = x.row.Decision.Maintenance, x.row.Decision.Late
		}
		x.Alert = line(x.row)
	}
	x.Outcome = inWords(x.outcome, x.Incident, x.made)
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
	if err := d.bringing(r, x); err != nil {
		return err
	}
	if x.row.Alert.Kind == incident.UnreadKind(x.row.Alert.Source) {
		return reasons(r, x)
	}
	return nil
}

// mostUnread is how many of the newest deliveries that cannot be read an
// explanation looks at, and mostReasons how many reasons it tells.
const mostUnread, mostReasons = 200, 10

// reasons adds why deliveries cannot be read. They are one alert, whatever the
// reason, so that a sender's whims do not fill the list.
func reasons(r Reader, x *explaining) error {
	rows, err := r.Unread(x.row.Alert.Source, mostUnread)
	if err != nil {
		return err
	}
	for _, row := range rows {
		n := slices.IndexFunc(x.Unread, func(u incident.Unread) bool { return u.Reason == row.Reason })
		switch {
		case n >= 0:
			x.Unread[n].Count++
		case len(x.Unread) < mostReasons:
			x.Unread = append(x.Unread, incident.Unread{Reason: row.Reason, Count: 1, Last: row.ID, At: row.At})
		}
	}
	return nil
}

// routed holds the alert against the routing rules of then and of now.
func (d *Desk) routed(x *explaining) error {
	then := d.Routing
	if x.made.Routing != 0 {
		var err error
		if then, err = restored(x.then.Routing.Source); err != nil {
			return err
		}
		x.Since = x.then.Since
	}
	x.Digest, x.Present = then.Digest(), d.Routing.Digest()
	if x.row.ID == 0 { // it was no alert, or could not be read
		x.Digest = x.then.Routing.Digest
		return nil
	}
	if x.Rules = then.tried(x.row.Alert); x.Digest != x.Present {
		x.Today = d.Routing.tried(x.row.Alert)
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
