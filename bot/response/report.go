package response

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// What became of a delivery.
const (
	outcomeOpened      = "opened"
	outcomeAttached    = "attached"
	outcomeCounted     = "counted"
	outcomeCommand     = "command"
	outcomeWatched     = "watched"
	outcomeDropped     = "dropped"
	outcomeIgnored     = "ignored"
	outcomeUndecodable = "undecodable"
)

// outcomes orders them: of a delivery with several signals the first counts.
var outcomes = []string{outcomeOpened, outcomeAttached, outcomeCounted, outcomeCommand, outcomeWatched, outcomeDropped, outcomeIgnored, outcomeUndecodable}

// maxAttached is how many alerts of kinds it has already an incident names one
// by one. Further ones are kept and counted beside its timeline: a storm of
// alerts that all differ a little must not become its history.
const maxAttached = 25

// Report takes what deliveries meant. Everything that follows from a batch is
// committed at once, with the marks that the rows are handled; rows that were
// handled before are skipped. Where a batch fails, its rows are tried one by
// one, so that one that cannot be worked does not hold up the rest.
func (d *Desk) Report(ctx context.Context, batch []incident.Reported) error {
	err := d.report(ctx, batch)
	if err == nil || len(batch) < 2 && incident.CodeOf(err) == "" || ctx.Err() != nil {
		return err
	}
	var failed []error
	for _, row := range batch {
		err := d.report(ctx, []incident.Reported{row})
		if incident.CodeOf(err) != "" {
			err = d.settle(ctx, Settled{Row: row.Row, Outcome: outcomeIgnored, Reason: err.Error()})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("row %d: %w", row.Row, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

func (d *Desk) settle(ctx context.Context, settled Settled) error {
	err := d.write(ctx, func(s *session) error {
		rows, err := s.tx.Claim([]int64{settled.Row})
		if err != nil || len(rows) == 0 {
			return err
		}
		return s.tx.Settle([]Settled{settled})
	})
	if err == nil {
		d.reported(settled)
	}
	return err
}

// report works one batch in one transaction.
func (d *Desk) report(ctx context.Context, batch []incident.Reported) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.Log.Error("a delivery made the desk panic", "stack", string(debug.Stack()))
			err = fmt.Errorf("report: panic: %v", p)
		}
	}()
	var settled []Settled
	err = d.write(ctx, func(s *session) error {
		r := reporting{session: s, settled: map[int64]Settled{}}
		settled, err = r.batch(batch)
		return err
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	d.reported(settled...)
	return nil
}

func (d *Desk) reported(settled ...Settled) {
	if d.Observer == nil {
		return
	}
	count := map[string]int{}
	for _, row := range settled {
		count[row.Outcome]++
	}
	for outcome, n := range count {
		d.Observer.Reported(outcome, n)
	}
}

// reporting is a session that works a batch of deliveries.
type reporting struct {
	*session
	settled map[int64]Settled
}

// copies are the deliveries of a batch that carry one and the same alert.
type copies struct {
	alert incident.Alert // the earliest, always with a correlation key
	rows  []int64
}

func (r *reporting) batch(batch []incident.Reported) ([]Settled, error) {
	ids := make([]int64, len(batch))
	for n, row := range batch {
		ids[n] = row.Row
	}
	claimed, err := r.tx.Claim(ids)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	batch = slices.DeleteFunc(slices.Clone(batch), func(row incident.Reported) bool { return !slices.Contains(claimed, row.Row) })
	for _, row := range batch {
		switch {
		case row.Failed != "":
			r.become(Settled{Row: row.Row, Outcome: outcomeUndecodable, Reason: row.Failed})
		case len(row.Signals) == 0:
			r.become(Settled{Row: row.Row, Outcome: outcomeIgnored, Reason: "nothing to do"})
		}
	}
	for _, group := range grouped(batch) {
		if err := r.alert(group); err != nil {
			return nil, err
		}
	}
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.Command == nil {
				continue
			}
			if err := r.command(row, signal); err != nil {
				return nil, err
			}
		}
	}
	out := make([]Settled, 0, len(r.settled))
	for _, row := range batch {
		out = append(out, r.settled[row.Row])
	}
	if err := r.tx.Settle(out); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return out, nil
}

// become notes what became of a row, unless something weightier did already.
func (r *reporting) become(next Settled) {
	have, ok := r.settled[next.Row]
	if !ok || slices.Index(outcomes, next.Outcome) < slices.Index(outcomes, have.Outcome) {
		r.settled[next.Row] = next
	}
}

// grouped gathers the copies of each alert, in the order of their first.
func grouped(batch []incident.Reported) []*copies {
	type identity struct{ key, source, fingerprint string }
	groups := map[identity]*copies{}
	var order []*copies
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.Alert == nil {
				continue
			}
			a := *signal.Alert
			if a.Fingerprint == "" {
				a.Fingerprint = a.Kind + "\n" + a.Title
			}
			a.Correlation = correlation(a)
			id := identity{a.Correlation, a.Source, a.Fingerprint}
			g := groups[id]
			if g == nil {
				g = &copies{alert: a}
				groups[id] = g
				order = append(order, g)
			}
			if a.At.Before(g.alert.At) {
				g.alert = a
			}
			g.rows = append(g.rows, row.Row)
		}
	}
	return order
}

// correlation is the key under which alerts find their incident. One without
// a key belongs to its own copies alone.
func correlation(a incident.Alert) string {
	return cmp.Or(a.Correlation, a.Source+":"+a.Fingerprint)
}

// alert routes one alert and its copies.
func (r *reporting) alert(g *copies) error {
	rule := r.d.Routing.route(g.alert, r.d.Log)
	if rule.Drop != "" {
		r.settle(g, Settled{Outcome: outcomeDropped, Reason: rule.Drop})
		return nil
	}
	var id incident.ID
	if !rule.Watch {
		var err error
		if id, err = r.tx.Correlated(g.alert.Correlation); err != nil {
			return fmt.Errorf("find the incident of an alert: %w", err)
		}
	}
	switch {
	case id != 0:
		return r.join(id, g, rule)
	case rule.Open != "":
		return r.openFor(g, rule)
	}
	row, _, err := r.tx.Tally(0, g.alert, int64(len(g.rows)), r.now)
	if err != nil {
		return fmt.Errorf("count a watched alert: %w", err)
	}
	r.settle(g, Settled{Outcome: outcomeWatched, Alert: row.ID})
	return nil
}

func (r *reporting) settle(g *copies, s Settled) {
	for _, row := range g.rows {
		s.Row = row
		r.become(s)
		if s.Outcome == outcomeOpened || s.Outcome == outcomeAttached {
			s.Outcome = outcomeCounted // the copies that came with it
		}
	}
}

// openFor opens an incident for an alert that belongs to none.
func (r *reporting) openFor(g *copies, rule Rule) error {
	id, err := r.tx.NewID()
	if err != nil {
		return fmt.Errorf("take a number: %w", err)
	}
	row, before, err := r.tx.Tally(id, g.alert, int64(len(g.rows)), r.now)
	if err != nil {
		return fmt.Errorf("count an alert: %w", err)
	}
	alert := ref(row)
	preview := incident.Incident{ID: id, Status: incident.Triage, Severity: rule.Open, Title: alert.Title}
	_, err = r.begin(id, incident.Command{Verb: incident.VerbOpen, For: id, By: source(g.alert), Via: incident.ViaSource, Title: alert.Title,
		Text: clip(g.alert.Detail), Severity: rule.Open, Alert: &alert, Runs: r.runs(preview, g.alert, rule)}, g.alert.Correlation)
	if err != nil {
		return err
	}
	if err := r.tx.Rehome(0, id); err != nil { // what was only watched so far
		return fmt.Errorf("bring watched alerts into %s: %w", id, err)
	}
	r.settle(g, Settled{Outcome: outcomeOpened, Incident: id, Alert: row.ID})
	return r.counted(id, alert, before, before+int64(len(g.rows)))
}

// join adds an alert to the live incident of its correlation: a new one is
// attached, copies of a known one are counted.
func (r *reporting) join(id incident.ID, g *copies, rule Rule) error {
	dr, err := r.draft(id)
	if err != nil {
		return err
	}
	row, before, err := r.tx.Tally(id, g.alert, int64(len(g.rows)), r.now)
	if err != nil {
		return fmt.Errorf("count an alert: %w", err)
	}
	alert := ref(row)
	outcome := outcomeCounted
	if before == 0 {
		cmd := incident.Command{Verb: incident.VerbAttach, For: id, By: source(g.alert), Via: incident.ViaSource, Alert: &alert,
			Text: clip(g.alert.Detail), Runs: r.runs(dr.inc, g.alert, rule)}
		if rule.Open.Worse(dr.inc.Severity) {
			cmd.Severity = rule.Open
		}
		known := slices.ContainsFunc(dr.inc.Alerts, func(a incident.AlertRef) bool { return a.Kind == alert.Kind })
		if !known || len(cmd.Runs) > 0 || cmd.Severity != "" || len(dr.inc.Alerts) < maxAttached {
			if _, err := r.judge(cmd); err != nil {
				return fmt.Errorf("attach to %s: %w", id, err)
			}
			outcome = outcomeAttached
		}
	}
	r.settle(g, Settled{Outcome: outcome, Incident: id, Alert: row.ID})
	return r.counted(id, alert, before, before+int64(len(g.rows)))
}

// counted marks the 10th, 100th, 1000th … copy in the timeline.
func (r *reporting) counted(id incident.ID, alert incident.AlertRef, before, after int64) error {
	mark := int64(0)
	for n := int64(10); n <= after; n *= 10 {
		if n > before {
			mark = n
		}
	}
	if mark == 0 {
		return nil
	}
	if _, err := r.judge(incident.Command{Verb: incident.VerbCount, For: id, By: incident.System, Via: incident.ViaSystem, Alert: &alert, Count: mark}); err != nil {
		return fmt.Errorf("count for %s: %w", id, err)
	}
	return nil
}

// runs pins the playbooks that an alert starts: the rule's, and those that
// match by themselves, but none that runs already.
func (r *reporting) runs(inc incident.Incident, a incident.Alert, rule Rule) []incident.Run {
	if r.d.Playbooks == nil {
		return nil
	}
	var out []incident.Run
	add := func(run incident.Run) {
		if inc.Run(run.Playbook) == nil && !slices.ContainsFunc(out, func(have incident.Run) bool { return have.Playbook == run.Playbook }) {
			out = append(out, run)
		}
	}
	if run, ok := r.d.Playbooks.Pin(rule.Playbook); ok {
		add(run)
	}
	for _, run := range r.d.Playbooks.Match(inc, &a) {
		add(run)
	}
	return out
}

// command judges what somebody did in an outside system. A refusal by the
// lifecycle is an outcome like another.
func (r *reporting) command(row incident.Reported, signal incident.Signal) error {
	cmd := *signal.Command
	settled := Settled{Row: row.Row, Outcome: outcomeCommand}
	if cmd.For == 0 && cmd.Verb != incident.VerbOpen {
		id, round, err := r.find(signal.Subject)
		if err != nil {
			return err
		}
		if id == 0 {
			r.become(Settled{Row: row.Row, Outcome: outcomeIgnored, Reason: "no incident of ours is meant"})
			return nil
		}
		cmd.For, cmd.Round = id, cmp.Or(cmd.Round, round)
	}
	settled.Incident = cmd.For
	result, err := r.do(cmd)
	switch {
	case incident.CodeOf(err) != "":
		settled.Outcome, settled.Reason = outcomeIgnored, err.Error()
		if incident.CodeOf(err) == incident.CodeUnknown && r.drafts[cmd.For] == nil {
			settled.Incident = 0
		}
	case err != nil:
		return fmt.Errorf("judge %s from %s: %w", cmd.Verb, row.Source, err)
	default:
		settled.Incident = result.Incident.ID
	}
	r.become(settled)
	return nil
}

// find resolves how an outside system names an incident.
func (r *reporting) find(s incident.Subject) (id incident.ID, round int, err error) {
	if s.PageKey != "" {
		id, round, _ = incident.ParsePageKey(s.PageKey)
		return id, round, nil
	}
	if s.Correlation == "" {
		return 0, 0, nil
	}
	id, err = r.tx.Correlated(s.Correlation)
	return id, 0, err
}

func source(a incident.Alert) incident.Handle {
	return incident.Handle{Door: incident.DoorSource, ID: a.Source}
}

// title makes one line of what a sender calls its alert.
func title(a incident.Alert) string {
	return shorten(cmp.Or(strings.Join(strings.Fields(strings.ToValidUTF8(a.Title, "�")), " "), a.Kind, "alert from "+a.Source), incident.MaxTitle)
}

// clip cuts a sender's text to what an event may carry.
func clip(text string) string {
	return shorten(strings.ToValidUTF8(text, "�"), incident.MaxText)
}

func shorten(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
