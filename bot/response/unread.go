package response

import (
	"cmp"
	"slices"
	"time"

	"tocsin/bot/incident"
)

// recurrenceOfUnreadable is how long after a person dismissed an incident about unread
// deliveries the same cause opens no other.
const recurrenceOfUnreadable = 24 * time.Hour

// unreadPosition is RoutingDecision.Rule of an alert about an unread delivery.
const unreadPosition = -1

// unreadableRule returns the rule for alerts about deliveries of a source that cannot be
// read. No routing rule and no maintenance window can judge what nobody has read.
func (d *Desk) unreadableRule(source string) Rule {
	return Rule{Open: cmp.Or(d.UsualSeverity[source], incident.Sev3), RecurrenceWindow: recurrenceOfUnreadable}
}

// setUnreadOutcome sets the outcome of a delivery that cannot be read, or of which a
// part cannot be read. It stays undecodable, so that it can be decoded again later.
func (r *ingestion) setUnreadOutcome(o DeliveryOutcome) {
	o.Outcome = outcomeUndecodable
	if known := r.outcomes[o.Row]; known.Outcome == outcomeUndecodable && known.Incident == 0 {
		known.Incident, known.Alert, known.Rule, known.Routing = o.Incident, o.Alert, o.Rule, o.Routing
		r.outcomes[o.Row] = known
	}
	r.setOutcome(o)
}

// withoutKnownItems returns a batch without the alerts that an earlier decoding of a
// partly read delivery has put into an incident. The items that can be read only now are
// left.
func (r *ingestion) withoutKnownItems(batch []incident.DecodedDelivery) ([]incident.DecodedDelivery, error) {
	out := slices.Clone(batch)
	for n, row := range out {
		if !row.PartlyRead {
			continue
		}
		var alerts []incident.Alert
		for _, signal := range row.Signals {
			if signal.Alert != nil {
				a := *signal.Alert
				a.Fingerprint = a.Identity()
				alerts = append(alerts, a)
			}
		}
		_, known, err := r.tx.AlertIncidents(nil, alerts)
		if err != nil {
			return nil, err
		}
		next := 0
		out[n].Signals = slices.DeleteFunc(slices.Clone(row.Signals), func(signal incident.Signal) bool {
			if signal.Alert == nil {
				return false
			}
			next++
			return len(known[next-1]) > 0 && !signal.Unreadable
		})
	}
	return out, nil
}
