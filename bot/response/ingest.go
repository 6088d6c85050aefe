package response

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// What became of a delivery.
const (
	outcomeOpened      = "opened"
	outcomeAttached    = "attached"
	outcomeGrouped     = "grouped" // into the incident of a storm
	outcomeCounted     = "counted"
	outcomeCommand     = "command"
	outcomeRecurred    = "recurred"    // a copy of what an incident ended with, which is no news
	outcomeMaintenance = "maintenance" // kept, in a maintenance window
	outcomeWatched     = "watched"
	outcomeDropped     = "dropped"
	outcomeIgnored     = "ignored"
	outcomeUndecodable = "undecodable"
)

// outcomePriority orders them: of a delivery with several signals the first counts.
var outcomePriority = []string{outcomeOpened, outcomeAttached, outcomeGrouped, outcomeCounted, outcomeCommand, outcomeRecurred, outcomeMaintenance, outcomeWatched, outcomeDropped, outcomeIgnored, outcomeUndecodable}

// maxAttached is how many alerts of kinds it has already an incident names one
// by one. Further ones are kept and counted beside its timeline: a storm of
// alerts that all differ a little must not become its history.
const maxAttached = 25

// Ingest takes what deliveries meant. Everything that follows from a batch is
// committed at once, with the marks that the rows are handled; rows that were
// handled before are skipped. Where a batch fails, its rows are tried one by
// one, so that one that cannot be worked does not hold up the rest. A panic is
// left to the store's worker, which narrows the deliveries of a drain down.
func (d *Desk) Ingest(ctx context.Context, batch []incident.DecodedDelivery) error {
	err := d.ingestBatch(ctx, batch)
	if err == nil || len(batch) < 2 && incident.CodeOf(err) == "" || ctx.Err() != nil {
		return err
	}
	var failed []error
	for _, row := range batch {
		err := d.ingestBatch(ctx, []incident.DecodedDelivery{row})
		if incident.CodeOf(err) != "" {
			err = d.markHandled(ctx, DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: err.Error(), Routing: d.routing.Load()})
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

func (d *Desk) markHandled(ctx context.Context, settled DeliveryOutcome) error {
	err := d.write(ctx, func(s *session) error {
		rows, err := s.tx.Claim([]int64{settled.Row})
		if err != nil || len(rows) == 0 {
			return err
		}
		return s.tx.MarkHandled([]DeliveryOutcome{settled})
	})
	if err == nil {
		d.observe(settled)
	}
	return err
}

// ingestBatch works one batch in one transaction.
func (d *Desk) ingestBatch(ctx context.Context, batch []incident.DecodedDelivery) error {
	var settled []DeliveryOutcome
	var routing int64
	err := d.write(ctx, func(s *session) (err error) {
		r := ingestion{session: s, outcomes: map[int64]DeliveryOutcome{}, suppressed: map[int64]int64{}, held: map[incident.ID]bool{}, again: map[incident.ID][]recurrence{}, repeats: map[int64]int64{}, routing: d.routing.Load()}
		settled, err = r.batch(batch)
		routing = r.routing
		return err
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	d.routing.Store(routing)
	d.observe(settled...)
	return nil
}

func (d *Desk) observe(settled ...DeliveryOutcome) {
	if d.Observer == nil {
		return
	}
	count := map[string]int{}
	for _, row := range settled {
		count[row.Outcome]++
	}
	for outcome, n := range count {
		d.Observer.Ingested(outcome, n)
	}
}

// ingestion is a session that works a batch of deliveries.
type ingestion struct {
	*session
	outcomes   map[int64]DeliveryOutcome
	routing    int64                        // id of the rules in force
	windows    []incident.MaintenanceWindow // those that hold now
	suppressed map[int64]int64              // alerts by the window that kept them
	held       map[incident.ID]bool         // incidents that are locked and were not read
	again      map[incident.ID][]recurrence
	reports    map[string][]byte // what is known about reports by people
	repeats    map[int64]int64   // deliveries that bring nothing new, and those that brought it first
}

// alertGroup are the deliveries of a batch that carry one and the same alert.
type alertGroup struct {
	alert       incident.Alert // the earliest, always with a correlation key
	rows        []int64
	reprocessed bool        // these deliveries are evaluated anew: they were counted the first time
	undecodable bool        // it tells of deliveries that could not be read
	joins       incident.ID // the live incident of its correlation when the batch began
	decision    RoutingDecision
	outcome     DeliveryOutcome // where it is now
}

func (r *ingestion) batch(batch []incident.DecodedDelivery) ([]DeliveryOutcome, error) {
	ids := make([]int64, len(batch))
	for n, row := range batch {
		ids[n] = row.Row
	}
	claimed, err := r.tx.Claim(ids)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	slices.Sort(claimed)
	batch = slices.DeleteFunc(slices.Clone(batch), func(row incident.DecodedDelivery) bool {
		_, mine := slices.BinarySearch(claimed, row.Row)
		return !mine
	})
	if err := r.prepare(); err != nil {
		return nil, err
	}
	for _, row := range batch {
		switch {
		case row.Failed != "":
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeUndecodable, Reason: row.Failed})
		case len(row.Signals) == 0:
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: "nothing to do"})
		}
	}
	if batch, err = r.dedupeEvents(batch); err != nil {
		return nil, err
	}
	fired, err := r.correlate(batch)
	if err != nil {
		return nil, err
	}
	groups := groupAlerts(append(slices.Clone(batch), fired...))
	if err := r.loadReportState(groups); err != nil {
		return nil, err
	}
	if groups, err = r.lockOrder(groups); err != nil {
		return nil, err
	}
	for _, group := range groups {
		if err := r.routeAlert(group); err != nil {
			return nil, err
		}
		if err := r.handleVulnReport(group); err != nil {
			return nil, err
		}
	}
	if err := r.noteRecurrences(); err != nil {
		return nil, err
	}
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.Command == nil {
				continue
			}
			if err := r.applyCommand(row, signal); err != nil {
				return nil, err
			}
		}
	}
	if err := r.markDuplicates(); err != nil {
		return nil, err
	}
	out := make([]DeliveryOutcome, 0, len(r.outcomes))
	for _, row := range batch {
		out = append(out, r.outcomes[row.Row])
	}
	for _, window := range slices.Sorted(maps.Keys(r.suppressed)) {
		if err := r.tx.AddSuppressed(window, r.suppressed[window]); err != nil {
			return nil, fmt.Errorf("count for a maintenance window: %w", err)
		}
	}
	if err := r.tx.MarkHandled(out); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return out, nil
}

// prepare reads what every alert of the batch is held against.
func (r *ingestion) prepare() (err error) {
	if r.routing == 0 && r.d.Routing != nil {
		if r.routing, err = r.tx.PutConfiguration(r.d.currentConfiguration()); err != nil {
			return fmt.Errorf("keep the rules: %w", err)
		}
	}
	if r.windows, err = r.tx.Maintenance(r.now); err != nil {
		return fmt.Errorf("read the maintenance windows: %w", err)
	}
	r.windows = slices.DeleteFunc(r.windows, func(m incident.MaintenanceWindow) bool { return !m.Active(r.now) })
	return nil
}

// setOutcome notes what became of a row, unless something weightier did already.
func (r *ingestion) setOutcome(next DeliveryOutcome) {
	next.Routing = cmp.Or(next.Routing, r.routing)
	have, ok := r.outcomes[next.Row]
	if !ok || slices.Index(outcomePriority, next.Outcome) < slices.Index(outcomePriority, have.Outcome) {
		r.outcomes[next.Row] = next
	}
}

// groupAlerts gathers the copies of each alert, in the order of their first.
func groupAlerts(batch []incident.DecodedDelivery) []*alertGroup {
	type identity struct {
		key, source, fingerprint string
		again, unread            bool
	}
	groups := map[identity]*alertGroup{}
	var order []*alertGroup
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.Alert == nil {
				continue
			}
			a := *signal.Alert
			if a.Fingerprint == "" {
				a.Fingerprint = a.Kind + "\n" + a.Title
			}
			a.Correlation = correlationKey(a)
			id := identity{a.Correlation, a.Source, a.Fingerprint, row.Reprocessed, row.Failed != ""}
			g := groups[id]
			if g == nil {
				g = &alertGroup{alert: a, reprocessed: row.Reprocessed, undecodable: row.Failed != ""}
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

// lockOrder puts the groups into one order for everybody who works a batch: first
// what joins an incident, by its number, then what may open one, as it came.
// Two batches that took the same incidents, or the counter, in different orders
// would wait for each other until the database breaks one of them off.
func (r *ingestion) lockOrder(groups []*alertGroup) ([]*alertGroup, error) {
	keys := make([]string, 0, 2*len(groups))
	for _, g := range groups {
		keys = append(keys, fingerprintKey(g.alert), g.alert.Correlation)
	}
	holders, err := r.tx.IncidentsByCorrelation(keys)
	if err != nil {
		return nil, fmt.Errorf("find the incidents of alerts: %w", err)
	}
	for _, g := range groups {
		g.joins = cmp.Or(holders[fingerprintKey(g.alert)], holders[g.alert.Correlation])
	}
	slices.SortStableFunc(groups, func(a, b *alertGroup) int {
		return cmp.Compare(cmp.Or(a.joins, math.MaxInt64), cmp.Or(b.joins, math.MaxInt64))
	})
	return groups, nil
}

// correlationKey is the key under which alerts find their incident. One without
// a key belongs to its own copies alone.
func correlationKey(a incident.Alert) string {
	return cmp.Or(a.Correlation, fingerprintKey(a))
}

// fingerprintKey is the key of an alert's copies alone. It binds them to an incident that
// was split off from the one its correlation belongs to.
func fingerprintKey(a incident.Alert) string { return a.Source + ":" + a.Fingerprint }

// applyCommand judges what somebody did in an outside system. A refusal by the
// lifecycle is an outcome like another.
func (r *ingestion) applyCommand(row incident.DecodedDelivery, signal incident.Signal) error {
	cmd := *signal.Command
	settled := DeliveryOutcome{Row: row.Row, Outcome: outcomeCommand}
	if cmd.For == 0 && cmd.Verb != incident.VerbOpen {
		id, round, err := r.resolveRef(signal.Subject, cmd.By.ID)
		if err != nil {
			return err
		}
		if id == 0 {
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: "no incident of ours is meant"})
			return nil
		}
		cmd.For, cmd.Round = id, cmp.Or(cmd.Round, round)
	}
	if about := signal.Subject.Fingerprint; about != "" && cmd.Key != "" {
		n, err := r.tx.CountOccurrences(cmd.For, incident.Alert{Source: cmd.By.ID, Fingerprint: about})
		if err != nil {
			return fmt.Errorf("count the alert that a command is about: %w", err)
		}
		cmd.Key += fmt.Sprintf("|%d", n)
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
	r.setOutcome(settled)
	return nil
}

// resolveRef resolves how an outside system names an incident. An alert that was split
// off has one of its own.
func (r *ingestion) resolveRef(s incident.IncidentRef, source string) (id incident.ID, round int, err error) {
	if s.PageKey != "" {
		id, round, _ = incident.ParsePageKey(s.PageKey)
		return id, round, nil
	}
	if s.Correlation == "" {
		return 0, 0, nil
	}
	keys := []string{s.Correlation}
	if s.Fingerprint != "" {
		keys = []string{fingerprintKey(incident.Alert{Source: source, Fingerprint: s.Fingerprint}), s.Correlation}
	}
	id, err = r.tx.IncidentByCorrelation(keys...)
	return id, 0, err
}

func sourceIdentity(a incident.Alert) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSource, ID: a.Source}
}

// alertTitle makes one line of what a sender calls its alert.
func alertTitle(a incident.Alert) string {
	return truncateTo(cmp.Or(strings.Join(strings.Fields(strings.ToValidUTF8(a.Title, "�")), " "), a.Kind, "alert from "+a.Source), incident.MaxTitle)
}

// truncate cuts a sender's text to what an event may carry.
func truncate(text string) string {
	return truncateTo(strings.ToValidUTF8(text, "�"), incident.MaxText)
}

func truncateTo(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
