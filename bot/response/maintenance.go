package response

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tocsin/bot/expression"
	"tocsin/bot/incident"
)

// maintenanceWindow returns the id of the active maintenance window that suppresses
// an alert, or 0. If several do, the first to end is returned. A window whose
// condition fails on the alert is noted and does not match, and so is a window that
// is not confirmed for the severity at which routing opens the alert. Conditions were
// evaluated before the transaction, and confirmations are read inside of it.
//
// A window must cover each occurrence of the group. Otherwise the first of them could
// hide a more severe one of the same batch.
func (r *ingestion) maintenanceWindow(g *alertGroup) int64 {
	for _, m := range r.maintenance {
		matches, covers := true, m.Covers(g.verdict.rule.Open, r.now)
		var err error
		for _, v := range g.verdicts {
			match := v.windows[m.ID]
			matches = matches && match.matches
			covers = covers && (!isSevere(v.rule.Open) || m.Covers(v.rule.Open, r.now))
			err = cmp.Or(err, match.err)
		}
		switch {
		case err != nil:
			g.failedWindows = append(g.failedWindows, failedWindow{m.ID, err})
		case matches && covers:
			return m.ID
		case matches:
			g.unconfirmedWindows = append(g.unconfirmedWindows, m.ID)
		}
	}
	return 0
}

// failedWindow is a maintenance window whose condition failed on an alert.
type failedWindow struct {
	id  int64
	err error
}

// suppressedCount counts the alerts that a maintenance window suppressed.
type suppressedCount struct {
	alerts int64
	severe int64 // those that routing opens at sev1 or sev2
}

// countSuppressed counts the occurrences of a live alert that a window suppressed.
func (r *ingestion) countSuppressed(window int64, g *alertGroup) {
	if g.alert.Origin != incident.OriginLive {
		return
	}
	n := r.suppressed[window]
	n.alerts += int64(len(g.rows))
	for _, v := range g.verdicts {
		if isSevere(v.rule.Open) {
			n.severe++
		}
	}
	r.suppressed[window] = n
}

// isSevere reports whether only a confirmed maintenance window may suppress alerts at
// a severity.
func isSevere(s incident.Severity) bool { return s == incident.Sev1 || s == incident.Sev2 }

// unconfirmedText returns why a maintenance window did not suppress an alert.
func unconfirmedText(id int64) string {
	return fmt.Sprintf("Maintenance window M%d matches this alert but did not suppress it, because it is not confirmed for sev1 and sev2. A second person from security confirms it with: maintenance confirm M%d", id, id)
}

// compiledWindow is the condition of a maintenance window, or the reason why it is
// refused. A window that was stored before a limit existed can have such a condition.
type compiledWindow struct {
	program *expression.Program
	err     error
	failed  atomic.Int64 // alerts on which the condition failed since the start
}

// compileWindow compiles the condition of a maintenance window and caches it. The
// condition of a window never changes.
func (d *Desk) compileWindow(m incident.MaintenanceWindow) *compiledWindow {
	if cached, ok := d.conditions.Load(m.ID); ok {
		return cached.(*compiledWindow)
	}
	c := &compiledWindow{}
	c.program, c.err = compileCondition(m.When)
	cached, _ := d.conditions.LoadOrStore(m.ID, c)
	return cached.(*compiledWindow)
}

// matchWindow evaluates the condition of a window on an alert.
func (d *Desk) matchWindow(m incident.MaintenanceWindow, env alertEnv) windowMatch {
	c := d.compileWindow(m)
	if c.err != nil {
		return windowMatch{err: c.err}
	}
	matches, err := c.program.Matches(env)
	if err != nil {
		c.failed.Add(1)
	}
	return windowMatch{matches, err}
}

// describeFailures sets why the windows do not suppress alerts. The texts contain
// nothing of an alert.
func (d *Desk) describeFailures(windows []incident.MaintenanceWindow) {
	for n := range windows {
		c := d.compileWindow(windows[n])
		switch failed := c.failed.Load(); {
		case c.err != nil:
			windows[n].Failing = fmt.Sprintf("suppresses nothing, because its condition is not allowed: %v", c.err)
		case failed == 1:
			windows[n].Failing = "its condition failed on 1 alert, which it did not suppress"
		case failed > 1:
			windows[n].Failing = fmt.Sprintf("its condition failed on %d alerts, which it did not suppress", failed)
		}
	}
}

// addMaintenanceWindow checks and stores a maintenance window. A repeat with a
// known key changes nothing.
func (d *Desk) addMaintenanceWindow(ctx context.Context, by incident.PersonID, m incident.MaintenanceWindow, key string) (a incident.AlertResult, err error) {
	m = incident.MaintenanceWindow{When: m.When, Reason: m.Reason, Owner: by, From: m.From, To: m.To}
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
		open, err := tx.MaintenanceWindows(now)
		switch {
		case err != nil:
			return fmt.Errorf("read maintenance windows: %w", err)
		case len(open) >= incident.MaxOpenWindows:
			return incident.Conflict("there are already %d maintenance windows that are active or scheduled. End one of them first", incident.MaxOpenWindows)
		}
		if m.ID, err = tx.PutMaintenance(m); err != nil {
			return err
		}
		if err := tx.Enqueue(announceWindow(m)...); err != nil {
			return fmt.Errorf("announce maintenance window: %w", err)
		}
		return tx.Audit(Access{At: now, Person: by, Action: "maintenance add", Reason: fmt.Sprintf("M%d: %s", m.ID, m.Reason), Allowed: true})
	})
	if err != nil {
		return a, err
	}
	a, err = d.listMaintenanceWindows(ctx)
	a.Done = "No change: this maintenance window already exists."
	if m.ID != 0 {
		from := ""
		if m.From.After(now) {
			from = "from " + incident.TimeText(m.From) + " "
		}
		a.Done = fmt.Sprintf("M%d was added. Matching alerts at sev3 and sev4 are suppressed %suntil %s. List them with: alerts maintenance. "+
			"Alerts at sev1 and sev2 open incidents, unless a second person from security confirms the window with: maintenance confirm M%d",
			m.ID, from, incident.TimeText(m.To), m.ID)
	}
	return a, err
}

// endMaintenanceWindow ends a maintenance window early.
func (d *Desk) endMaintenanceWindow(ctx context.Context, by incident.PersonID, id int64) (incident.AlertResult, error) {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		now := d.Now()
		m, err := tx.MaintenanceWindow(id)
		if err != nil {
			return err
		}
		if !m.To.After(now) {
			return endedWindow(tx, m, now)
		}
		active := m.Active(now)
		m.To, m.EndedBy = now, by
		if _, err := tx.PutMaintenance(m); err != nil {
			return err
		}
		if active {
			if err := tx.Enqueue(announceMaintenance(id, incident.MaintenanceEnded, "ended_early", now)); err != nil {
				return fmt.Errorf("announce the end of a maintenance window: %w", err)
			}
		}
		return tx.Audit(Access{At: now, Person: by, Action: "maintenance end", Reason: fmt.Sprintf("M%d", id), Allowed: true})
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
		a.MaintenanceWindows, err = r.MaintenanceWindows(now.Add(-30 * 24 * time.Hour))
		return err
	})
	d.describeFailures(a.MaintenanceWindows)
	ended := func(m incident.MaintenanceWindow) int {
		if m.To.After(now) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(a.MaintenanceWindows, func(x, y incident.MaintenanceWindow) int { return cmp.Or(ended(x)-ended(y), x.From.Compare(y.From)) })
	return a, err
}
