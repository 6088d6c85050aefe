package response

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/incident"
)

// maintenanceWindow returns the id of the active maintenance window that matches
// an alert, or 0. If several match, the first to end is returned.
func (r *ingestion) maintenanceWindow(a incident.Alert) int64 {
	for _, m := range r.maintenance {
		program, err := r.d.compileWindow(m)
		if err != nil {
			r.d.Log.Warn("compile maintenance window failed", "window", m.ID)
			continue
		}
		if matches, err := expr.Run(program, newAlertEnv(a)); err == nil && matches == true {
			return m.ID
		}
	}
	return 0
}

// compileWindow compiles the condition of a maintenance window and caches it. The
// condition of a window never changes.
func (d *Desk) compileWindow(m incident.MaintenanceWindow) (*vm.Program, error) {
	if cached, ok := d.conditions.Load(m.ID); ok {
		return cached.(*vm.Program), nil
	}
	program, err := compileCondition(m.When)
	if err == nil {
		d.conditions.Store(m.ID, program)
	}
	return program, err
}

// addMaintenanceWindow checks and stores a maintenance window. A repeat with a
// known key changes nothing.
func (d *Desk) addMaintenanceWindow(ctx context.Context, by incident.PersonID, m incident.MaintenanceWindow, key string) (a incident.AlertResult, err error) {
	m.Owner, m.Suppressed, m.EndedBy = by, 0, ""
	now := d.Now()
	switch {
	case by == "":
		return a, incident.Forbidden("a maintenance window needs an owner. Ask an administrator to add you under people")
	case m.Reason == "":
		return a, incident.Invalid("reason", "reason is missing. Write why these alerts may be suppressed")
	case len([]rune(m.Reason)) > incident.MaxTitle:
		return a, incident.Invalid("reason", "reason is too long. Use at most %d characters", incident.MaxTitle)
	case !m.To.After(m.From) || !m.To.After(now):
		return a, incident.Invalid("when", "the maintenance window ends before it starts or is already over. Give an end in the future")
	case m.To.Sub(m.From) > incident.MaxMaintenanceWindow || m.From.Sub(now) > 90*24*time.Hour:
		return a, incident.Invalid("when", "a maintenance window lasts at most 7 days and starts within 90 days. For a longer time, use a routing rule")
	}
	if _, err := compileCondition(m.When); err != nil {
		return a, incident.Invalid("condition", "the condition is not valid: %v", err)
	}
	if unknown := UnknownSources(m.When, d.Sources); len(unknown) > 0 && d.Sources != nil {
		return a, incident.Invalid("condition", "unknown source %q. Known sources: %s", unknown[0], strings.Join(d.Sources, ", "))
	}
	err = d.Store.Tx(ctx, func(tx Tx) error {
		if key != "" {
			if fresh, err := tx.RecordCommandKey(0, key); err != nil || !fresh {
				return err
			}
		}
		if m.ID, err = tx.PutMaintenance(m); err != nil {
			return err
		}
		return tx.Audit(Access{At: now, Person: by, Action: "maintenance add", Reason: fmt.Sprintf("M%d: %s", m.ID, m.Reason), Allowed: true})
	})
	if err != nil {
		return a, err
	}
	a, err = d.listMaintenanceWindows(ctx)
	a.Done = "No change: this maintenance window already exists."
	if m.ID != 0 {
		a.Done = fmt.Sprintf("M%d was added. Matching alerts are suppressed until %s. List them with: alerts maintenance", m.ID, m.To.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return a, err
}

// endMaintenanceWindow ends a maintenance window early.
func (d *Desk) endMaintenanceWindow(ctx context.Context, by incident.PersonID, id int64) (incident.AlertResult, error) {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		if err := tx.EndMaintenance(id, by, d.Now()); err != nil {
			return err
		}
		return tx.Audit(Access{At: d.Now(), Person: by, Action: "maintenance end", Reason: fmt.Sprintf("M%d", id), Allowed: true})
	})
	if err != nil {
		return incident.AlertResult{}, err
	}
	a, err := d.listMaintenanceWindows(ctx)
	a.Done = fmt.Sprintf("M%d has ended. List the alerts it suppressed with: alerts maintenance", id)
	return a, err
}

// listMaintenanceWindows lists active and future maintenance windows, followed by
// windows that ended within the last 30 days.
func (d *Desk) listMaintenanceWindows(ctx context.Context) (a incident.AlertResult, err error) {
	now := d.Now()
	err = d.Store.View(ctx, func(r Reader) error {
		a.MaintenanceWindows, err = r.Maintenance(now.Add(-30 * 24 * time.Hour))
		return err
	})
	ended := func(m incident.MaintenanceWindow) int {
		if m.To.After(now) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(a.MaintenanceWindows, func(x, y incident.MaintenanceWindow) int { return cmp.Or(ended(x)-ended(y), x.From.Compare(y.From)) })
	return a, err
}
