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

// maintenanceWindow returns the maintenance window that an alert falls into, or 0. Of
// several the one that ends first is named.
func (r *ingestion) maintenanceWindow(a incident.Alert) int64 {
	for _, m := range r.windows {
		program, err := r.d.compileWindow(m)
		if err != nil {
			r.d.Log.Warn("the condition of a maintenance window cannot be compiled any more", "window", m.ID)
			continue
		}
		if fits, err := expr.Run(program, newAlertEnv(a)); err == nil && fits == true {
			return m.ID
		}
	}
	return 0
}

// compileWindow compiles the condition of a window once. A window's words
// never change.
func (d *Desk) compileWindow(m incident.MaintenanceWindow) (*vm.Program, error) {
	if have, ok := d.conditions.Load(m.ID); ok {
		return have.(*vm.Program), nil
	}
	program, err := compileCondition(m.When)
	if err == nil {
		d.conditions.Store(m.ID, program)
	}
	return program, err
}

// addMaintenanceWindow begins a maintenance window.
func (d *Desk) addMaintenanceWindow(ctx context.Context, by incident.PersonID, m incident.MaintenanceWindow, key string) (a incident.AlertResult, err error) {
	m.Owner, m.Suppressed, m.EndedBy = by, 0, ""
	now := d.Now()
	switch {
	case by == "":
		return a, incident.Forbidden("a maintenance window has an owner: somebody the configuration knows")
	case m.Reason == "":
		return a, incident.Invalid("reason", "say why alerts may be kept back")
	case len([]rune(m.Reason)) > incident.MaxTitle:
		return a, incident.Invalid("reason", "say it in %d characters", incident.MaxTitle)
	case !m.To.After(m.From) || !m.To.After(now):
		return a, incident.Invalid("when", "the window ends before it begins, or has passed")
	case m.To.Sub(m.From) > incident.MaxMaintenanceWindow || m.From.Sub(now) > 90*24*time.Hour:
		return a, incident.Invalid("when", "a window lasts 7 days at most and begins within 90; what is longer belongs into the routing, where it is reviewed")
	}
	if _, err := compileCondition(m.When); err != nil {
		return a, incident.Invalid("condition", "%v", err)
	}
	if none := UnknownSources(m.When, d.Sources); len(none) > 0 && d.Sources != nil {
		return a, incident.Invalid("condition", "%q is no source, so that it holds for no alert as it is meant; there are %s", none[0], strings.Join(d.Sources, ", "))
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
	a.Done = "It was so already; nothing changed."
	if m.ID != 0 {
		a.Done = fmt.Sprintf("M%d: matching alerts open nothing until %s; they are kept and listed.", m.ID, m.To.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return a, err
}

// endMaintenanceWindow ends a window before its time.
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
	a.Done = fmt.Sprintf("M%d has ended. What it kept back stays listed: alerts maintenance.", id)
	return a, err
}

// listMaintenanceWindows shows those that hold or are to come, and those of the last month.
func (d *Desk) listMaintenanceWindows(ctx context.Context) (a incident.AlertResult, err error) {
	now := d.Now()
	err = d.Store.View(ctx, func(r Reader) error {
		a.MaintenanceWindows, err = r.Maintenance(now.Add(-30 * 24 * time.Hour))
		return err
	})
	over := func(m incident.MaintenanceWindow) int {
		if m.To.After(now) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(a.MaintenanceWindows, func(x, y incident.MaintenanceWindow) int { return cmp.Or(over(x)-over(y), x.From.Compare(y.From)) })
	return a, err
}
