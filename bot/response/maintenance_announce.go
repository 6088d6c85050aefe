package response

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// AnnounceMaintenance enqueues the announcements of all maintenance windows that are
// active or scheduled. Each is made once, so this matters only for windows that an
// earlier version stored without announcements.
func (d *Desk) AnnounceMaintenance(ctx context.Context) error {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		windows, err := tx.MaintenanceWindows(d.Now())
		if err != nil {
			return err
		}
		for _, m := range windows {
			if err := tx.Enqueue(announceWindow(m)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("announce maintenance windows: %w", err)
	}
	return nil
}

// announceWindow returns the announcements of the start and the end of a window.
func announceWindow(m incident.MaintenanceWindow) []incident.Effect {
	return []incident.Effect{announceMaintenance(m.ID, incident.MaintenanceStarted, incident.MaintenanceStarted, m.From),
		announceMaintenance(m.ID, incident.MaintenanceEnded, incident.MaintenanceEnded, m.To)}
}

// announceMaintenance returns the announcement of an event of a window. There is one
// for each name.
func announceMaintenance(id int64, event, name string, after time.Time) incident.Effect {
	window := strconv.FormatInt(id, 10)
	return incident.Effect{Key: "maintenance/" + window + "/" + name, Kind: incident.EffectAnnounceMaintenance, After: after,
		Args: map[string]string{"window": window, "event": event}}
}

// announcedWindow returns the window of an announcement, without its condition, which
// may quote an alert. obsolete is why nothing is announced: the window ended before
// the time of the announcement.
func (s *session) announcedWindow(e incident.Effect) (m incident.MaintenanceWindow, obsolete string, err error) {
	if m, err = s.tx.MaintenanceWindow(int64(intArg(e, "window"))); err != nil {
		return m, "", fmt.Errorf("read the maintenance window to announce: %w", err)
	}
	m.When = ""
	if e.After.After(m.To) {
		obsolete = "the maintenance window ended earlier"
	}
	return m, obsolete, nil
}
