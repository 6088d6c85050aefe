package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// confirmMaintenanceWindow lets a maintenance window suppress alerts at sev1 and
// sev2. The person must represent security and be independent of the owner. A repeat
// changes nothing.
func (d *Desk) confirmMaintenanceWindow(ctx context.Context, by incident.PersonID, id int64) (incident.AlertResult, error) {
	var confirmed bool
	var earlier string // who confirmed it before
	err := d.Store.Tx(ctx, func(tx Tx) error {
		now := d.Now()
		dir, err := tx.Directory()
		if err != nil {
			return fmt.Errorf("read directory: %w", err)
		}
		if !dir.Represents(by, incident.Security, now) {
			return incident.Forbidden("only security may confirm a maintenance window. Ask a member or deputy of security")
		}
		m, err := tx.MaintenanceWindow(id)
		if err != nil {
			return err
		}
		confirmed = false
		switch {
		case !m.To.After(now):
			return endedWindow(tx, m, now)
		case m.ConfirmedBy != "":
			earlier = fmt.Sprintf(", by %s at %s", dir.Name(m.ConfirmedBy), incident.ClockText(m.ConfirmedAt, now))
			return nil
		}
		if err := independentOfOwner(dir, m, by); err != nil {
			return err
		}
		m.ConfirmedBy, m.ConfirmedAt, confirmed = by, now, true
		if _, err := tx.PutMaintenance(m); err != nil {
			return err
		}
		if err := tx.Enqueue(announceMaintenance(id, incident.MaintenanceConfirmed, incident.MaintenanceConfirmed, now)); err != nil {
			return fmt.Errorf("announce the confirmation of a maintenance window: %w", err)
		}
		return tx.Audit(Access{At: now, Person: by, Action: "maintenance confirm", Reason: fmt.Sprintf("M%d", id), Allowed: true})
	})
	if err != nil {
		return incident.AlertResult{}, err
	}
	a, err := d.listMaintenanceWindows(ctx)
	a.Done = fmt.Sprintf("No change: M%d is already confirmed%s.", id, earlier)
	if confirmed {
		a.Done = fmt.Sprintf("M%d is confirmed. It suppresses every matching alert, at sev1 and sev2 too. To end it, use: maintenance end M%d", id, id)
	}
	return a, err
}

// endedWindow returns the error about a maintenance window that has ended. It names who
// ended it, because two people may do so at once.
func endedWindow(tx Tx, m incident.MaintenanceWindow, now time.Time) error {
	if m.EndedBy == "" {
		return incident.Conflict("maintenance window M%d ended at %s. Add a new one", m.ID, incident.ClockText(m.To, now))
	}
	dir, err := tx.Directory()
	if err != nil {
		return err
	}
	return incident.Conflict("%s ended maintenance window M%d at %s. Add a new one", dir.Name(m.EndedBy), m.ID, incident.ClockText(m.To, now))
}

// independentOfOwner returns an error unless a person is independent of the owner of
// a window. An owner who left the configuration may be anyone.
func independentOfOwner(dir incident.Directory, m incident.MaintenanceWindow, by incident.PersonID) error {
	if _, known := dir.Person(m.Owner); !known {
		return incident.Conflict("the owner of maintenance window M%d has left the configuration. End it and add a new one", m.ID)
	}
	if !incident.Independent(dir, nil, m.Owner, by) {
		return incident.Conflict("you own maintenance window M%d, and a second person must confirm it. Ask another person from security", m.ID)
	}
	return nil
}
