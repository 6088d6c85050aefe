package response

import (
	"context"
	"fmt"
	"slices"

	"tocsin/bot/incident"
)

// Administers reports whether an identity is a configured administrator: a local
// user who operates this instance.
func (d *Desk) Administers(who incident.Identity) bool {
	return who.Provider == incident.ProviderLocal && who.ID != "" && slices.Contains(d.Administrators, who.ID)
}

// AuditOperation writes the use of an operation of the control socket, or its
// refusal, to the audit log.
func (d *Desk) AuditOperation(ctx context.Context, who incident.Identity, action, reason string, allowed bool) error {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		dir, err := tx.Directory()
		if err != nil {
			return err
		}
		person, _ := dir.Resolve(who)
		return tx.Audit(Access{At: d.Now(), Person: person.ID, Handle: who, Action: action, Reason: reason, Allowed: allowed})
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}

// ExportedDelivery is a stored delivery that somebody wants to export.
type ExportedDelivery struct {
	Handled bool             // false if its outcome is not known yet
	Outcome DeliveryOutcome  // of the whole delivery
	Alerts  []incident.Alert // of a delivery with several alerts, which may belong to several incidents
}

// Export decides which deliveries a person may export. It is for one export and
// must not be used concurrently.
type Export struct {
	LeftOut int // deliveries that the person may not read

	d              *Desk
	who            incident.Identity
	action, reason string
	readable       map[incident.ID]bool
}

// NewExport returns an Export. action names it in the audit log.
func (d *Desk) NewExport(who incident.Identity, action, reason string) *Export {
	return &Export{d: d, who: who, action: action, reason: reason, readable: map[incident.ID]bool{}}
}

// Allowed reports for each delivery whether the person may read every incident
// that has an alert of it. A delivery without an outcome is only for people who
// may read all alerts. Every restricted incident is written to the audit log
// once, read or refused.
func (x *Export) Allowed(ctx context.Context, batch []ExportedDelivery) ([]bool, error) {
	out := make([]bool, len(batch))
	var restricted []Access
	err := x.d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		person, known := dir.Resolve(x.who)
		readsAlerts := person.Responder || known && mayReadPrivileged(x.who, person.ID, incident.Incident{}, dir, x.d.Now())
		incidents, err := incidentsOf(r, batch)
		if err != nil {
			return err
		}
		restricted = nil
		for n, e := range batch {
			out[n] = e.Handled || readsAlerts
			for _, id := range incidents[n] {
				readable, seen := x.readable[id]
				if !seen {
					inc, err := r.Incident(id)
					if err != nil {
						return err
					}
					readable = inc.MayRead(dir, person.ID, x.d.Now()) || !known && !inc.Restricted
					x.readable[id] = readable
					if inc.Restricted {
						restricted = append(restricted, Access{Person: person.ID, Incident: id, Allowed: readable})
					}
				}
				out[n] = out[n] && readable
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check access to deliveries: %w", err)
	}
	for _, allowed := range out {
		if !allowed {
			x.LeftOut++
		}
	}
	return out, x.audit(ctx, restricted)
}

func (x *Export) audit(ctx context.Context, restricted []Access) error {
	if len(restricted) == 0 {
		return nil
	}
	err := x.d.Store.Tx(ctx, func(tx Tx) error {
		for _, a := range restricted {
			a.At, a.Handle, a.Action, a.Reason = x.d.Now(), x.who, x.action, x.reason
			if err := tx.Audit(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", x.action, err)
	}
	return nil
}

// incidentsOf returns the incidents of each delivery.
func incidentsOf(r AlertReader, batch []ExportedDelivery) ([][]incident.ID, error) {
	var ids []int64
	var alerts []incident.Alert
	for _, e := range batch {
		if e.Outcome.Alert != 0 {
			ids = append(ids, e.Outcome.Alert)
		}
		alerts = append(alerts, e.Alerts...)
	}
	byID, byAlert, err := r.AlertIncidents(ids, alerts)
	if err != nil {
		return nil, err
	}
	out := make([][]incident.ID, len(batch))
	for n, e := range batch {
		found := append([]incident.ID{e.Outcome.Incident, byID[e.Outcome.Alert]}, slices.Concat(byAlert[:len(e.Alerts)]...)...)
		byAlert = byAlert[len(e.Alerts):]
		out[n] = slices.DeleteFunc(found, func(id incident.ID) bool { return id <= 0 })
	}
	return out, nil
}
