package response

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"tocsin/bot/incident"
)

// window returns the maintenance window that an alert falls into, or 0. Of
// several the one that ends first is named.
func (r *reporting) window(a incident.Alert) int64 {
	for _, m := range r.windows {
		program, err := r.d.windowCondition(m)
		if err != nil {
			r.d.Log.Warn("the condition of a maintenance window cannot be compiled any more", "window", m.ID)
			continue
		}
		if fits, err := expr.Run(program, subjectOf(a)); err == nil && fits == true {
			return m.ID
		}
	}
	return 0
}

// windowCondition compiles the condition of a window once. A window's words
// never change.
func (d *Desk) windowCondition(m incident.Maintenance) (*vm.Program, error) {
	if have, ok := d.conditions.Load(m.ID); ok {
		return have.(*vm.Program), nil
	}
	program, err := condition(m.When)
	if err == nil {
		d.conditions.Store(m.ID, program)
	}
	return program, err
}

// before finds the incident that had the alert's correlation and ended within
// the rule's window. quiet says that the alert is a copy of what was dismissed
// there as a false alarm, or tells again of a state that was dealt with there,
// and is no graver than that: it wakes nobody again.
func (r *reporting) before(g *copies, rule Rule) (id incident.ID, quiet bool, err error) {
	if rule.Window <= 0 && !g.alert.Lasting {
		return 0, false, nil
	}
	known := false
	for _, key := range []string{own(g.alert), g.alert.Correlation} {
		if id, known, err = r.tx.Ended(key, g.alert, r.now.Add(-rule.Window)); err != nil {
			return 0, false, fmt.Errorf("find the incident an alert comes after: %w", err)
		}
		if id != 0 {
			break
		}
	}
	if id == 0 || rule.Window <= 0 && !known {
		return 0, false, nil
	}
	dr, err := r.draft(id)
	if err != nil {
		return 0, false, err
	}
	dealt := g.alert.Lasting || dr.inc.Status == incident.Dismissed
	return id, known && dealt && !rule.Open.Worse(dr.inc.Severity), nil
}

// late keeps a copy of what an incident ended with as watched. The first, the
// 10th, the 100th … copy is to be told there.
func (r *reporting) late(id incident.ID, g *copies) error {
	g.made.Late = id
	row, before, err := r.tally(Watched, g)
	if err != nil {
		return err
	}
	r.settle(g, Settled{Outcome: outcomeLate, Incident: id, Alert: row.ID})
	if mark := passed(before, row.Count); before == 0 || mark != 0 {
		r.again[id] = append(r.again[id], comeback{row.ID, row.Count})
	}
	return nil
}

// comeback is an alert that came again after its incident's end.
type comeback struct {
	alert int64
	times int64
}

// tellLate says once in the timeline of each incident what of it came again.
func (r *reporting) tellLate() error {
	for _, id := range slices.Sorted(maps.Keys(r.again)) {
		dr, err := r.draft(id)
		if err != nil {
			return err
		}
		after := "dismissed as a false alarm"
		if dr.inc.Status != incident.Dismissed {
			after = string(dr.inc.Status)
		}
		first, n := r.again[id][0], len(r.again[id])
		text := fmt.Sprintf("The same alert came again after this was %s, %d times by now. It is kept as A%d and wakes nobody; reopen, or promote it, if that is wrong.",
			after, first.times, first.alert)
		if n > 1 {
			text = fmt.Sprintf("%d of the same alerts came again after this was %s, A%d among them. They are kept and wake nobody; reopen, or promote them, if that is wrong.",
				n, after, first.alert)
		}
		if err := r.remark(id, incident.Alert{Source: "routing"}, text); err != nil {
			return fmt.Errorf("note late alerts in %s: %w", id, err)
		}
	}
	return nil
}

// follows says in a new incident which one it comes after.
func (r *reporting) follows(id, before incident.ID) error {
	dr, err := r.draft(before)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Alerts of the same correlation belonged to %s, which is %s since %s.", before, dr.inc.Status, dr.inc.UpdatedAt.Format(time.RFC3339))
	if err := r.remark(id, incident.Alert{Source: "routing"}, text); err != nil {
		return fmt.Errorf("note in %s what it follows: %w", id, err)
	}
	return nil
}

// remark puts what is known about the alerts of an incident into its timeline
// and its channel.
func (s *session) remark(id incident.ID, a incident.Alert, text string) error {
	_, err := s.judge(incident.Command{Verb: incident.VerbSourceNote, For: id, By: source(a), Via: incident.ViaSystem, Text: text})
	return err
}
