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

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Outcomes of a delivery.
const (
	outcomeOpened      = "opened"
	outcomeAttached    = "attached"
	outcomeGrouped     = "grouped" // into the incident of an alert storm
	outcomeCounted     = "counted"
	outcomeCommand     = "command"
	outcomeRecurred    = "recurred"    // suppressed: its incident has ended
	outcomeMaintenance = "maintenance" // suppressed by a maintenance window
	outcomeWatched     = "watched"
	outcomeDropped     = "dropped"
	outcomeIgnored     = "ignored"
	outcomeUndecodable = "undecodable"
)

// outcomePriority orders the outcomes. A delivery with several signals gets the
// first in this order.
var outcomePriority = []string{outcomeOpened, outcomeAttached, outcomeGrouped, outcomeCounted, outcomeCommand, outcomeRecurred, outcomeMaintenance, outcomeWatched, outcomeDropped, outcomeIgnored, outcomeUndecodable}

// maxAttached is the number of alerts of known kinds that the timeline of an
// incident lists. Further ones are stored and counted outside of it, because a
// flood of slightly different alerts must not fill the timeline.
const maxAttached = 25

// Ingest routes the alerts and applies the commands of a batch of deliveries. It
// commits the results together with the marks that the deliveries are handled,
// and skips deliveries that are already handled.
//
// If a batch fails, Ingest tries its deliveries one by one: one that cannot be
// handled does not block the rest. A rejected delivery is marked as ignored. The
// error joins the failures of the others, which stay unhandled. Ingest does not
// recover from a panic: the worker of the store does, and bisects the deliveries
// of the drain.
func (d *Desk) Ingest(ctx context.Context, batch []incident.DecodedDelivery) error {
	err := d.ingestBatch(ctx, batch)
	if err == nil || len(batch) < 2 && incident.CodeOf(err) == "" || ctx.Err() != nil {
		return err
	}
	var failed []error
	for _, row := range batch {
		err := d.ingestBatch(ctx, []incident.DecodedDelivery{row})
		if incident.CodeOf(err) != "" {
			err = d.markHandled(ctx, row, DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: err.Error(), Routing: d.routing.Load()})
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

func (d *Desk) markHandled(ctx context.Context, row incident.DecodedDelivery, outcome DeliveryOutcome) error {
	err := d.write(ctx, func(s *session) error {
		rows, err := s.tx.Claim([]int64{outcome.Row})
		if err != nil || len(rows) == 0 {
			return err
		}
		return s.tx.MarkHandled([]DeliveryOutcome{outcome})
	})
	if err == nil {
		d.observe(liveOutcomes([]incident.DecodedDelivery{row}, []DeliveryOutcome{outcome})...)
	}
	return err
}

// ingestBatch handles one batch in one transaction.
func (d *Desk) ingestBatch(ctx context.Context, batch []incident.DecodedDelivery) error {
	var outcomes []DeliveryOutcome
	var routing int64
	evaluated, err := d.evaluateBatch(ctx, batch)
	if err != nil {
		return fmt.Errorf("ingest deliveries: %w", err)
	}
	var groups []*alertGroup
	err = d.writeEvaluated(ctx, evaluated, func(s *session) (err error) {
		r := ingestion{session: s, evaluations: evaluated, outcomes: map[int64]DeliveryOutcome{}, suppressed: map[int64]suppressedCount{}, locked: map[incident.ID]bool{}, recurrences: map[incident.ID][]recurrence{}, duplicates: map[int64]int64{}, unread: map[int64]bool{}, recounted: map[incident.ID]bool{}, routing: d.routing.Load()}
		outcomes, err = r.process(batch)
		routing, groups = r.routing, r.groups
		return err
	})
	if err != nil {
		return fmt.Errorf("ingest deliveries: %w", err)
	}
	d.routing.Store(routing)
	d.observe(liveOutcomes(batch, outcomes)...)
	d.reportFailures(groups)
	return nil
}

// liveOutcomes returns the outcomes of the live deliveries of a batch, which the metrics
// count.
func liveOutcomes(batch []incident.DecodedDelivery, outcomes []DeliveryOutcome) []DeliveryOutcome {
	other := map[int64]bool{}
	for _, row := range batch {
		if row.Origin != incident.OriginLive {
			other[row.Row] = true
		}
	}
	return slices.DeleteFunc(outcomes, func(o DeliveryOutcome) bool { return other[o.Row] })
}

func (d *Desk) observe(outcomes ...DeliveryOutcome) {
	if d.Observer == nil {
		return
	}
	count := map[string]int{}
	for _, row := range outcomes {
		count[row.Outcome]++
	}
	for outcome, n := range count {
		d.Observer.Ingested(outcome, n)
	}
}

// ingestion is a session that handles a batch of deliveries.
type ingestion struct {
	*session
	evaluations *evaluations
	groups      []*alertGroup
	outcomes    map[int64]DeliveryOutcome
	routing     int64                        // id of the current configuration
	maintenance []incident.MaintenanceWindow // the active ones
	suppressed  map[int64]suppressedCount    // by maintenance window
	locked      map[incident.ID]bool         // incidents that are locked but were not read
	recurrences map[incident.ID][]recurrence // to be noted in their ended incidents
	duplicates  map[int64]int64              // deliveries without a new event, with the first delivery of their event
	unread      map[int64]bool               // deliveries that cannot be read, or only in part
	recounted   map[incident.ID]bool         // incidents whose counts changed without an event
}

func (r *ingestion) process(batch []incident.DecodedDelivery) ([]DeliveryOutcome, error) {
	batch, err := r.claim(batch)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	for _, row := range batch {
		r.unread[row.Row] = row.Failed != "" || row.Unread != ""
		switch {
		case row.Failed != "":
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeUndecodable, Reason: row.Failed})
		case row.Ignored != "":
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: row.Ignored})
		case len(row.Signals) == 0:
			r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: "the delivery contains no alert and no command"})
		}
	}
	if batch, err = r.withoutKnownItems(batch); err != nil {
		return nil, err
	}
	if batch, err = r.dedupeEvents(batch); err != nil {
		return nil, err
	}
	fired, err := r.correlate(batch)
	if err != nil {
		return nil, err
	}
	if err := r.routeAlerts(groupAlerts(append(slices.Clone(batch), fired...))); err != nil {
		return nil, err
	}
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.TestPage != nil {
				if err := r.acknowledgeTestPage(row, *signal.TestPage); err != nil {
					return nil, err
				}
			}
			if signal.Command == nil {
				continue
			}
			if err := r.applyCommand(row, signal); err != nil {
				return nil, err
			}
		}
	}
	if err := errors.Join(r.markDuplicates(), r.refreshCounts()); err != nil {
		return nil, err
	}
	return r.storeOutcomes(batch)
}

// claim returns the deliveries of a batch that are not handled yet, and locks them.
func (r *ingestion) claim(batch []incident.DecodedDelivery) ([]incident.DecodedDelivery, error) {
	ids := make([]int64, len(batch))
	for n, row := range batch {
		ids[n] = row.Row
	}
	claimed, err := r.tx.Claim(ids)
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	slices.Sort(claimed)
	return slices.DeleteFunc(slices.Clone(batch), func(row incident.DecodedDelivery) bool {
		_, ok := slices.BinarySearch(claimed, row.Row)
		return !ok
	}), nil
}

// routeAlerts locks everything that the groups may share with other batches, in one
// order for all batches, and routes their alerts.
func (r *ingestion) routeAlerts(groups []*alertGroup) error {
	err := r.lockReportState(groups)
	if err != nil {
		return err
	}
	if groups, err = r.lockOrder(groups); err != nil {
		return err
	}
	if err := r.applyVerdicts(groups); err != nil {
		return err
	}
	if err := r.lockOpenings(groups); err != nil {
		return err
	}
	for _, group := range groups {
		if err := r.routeAlert(group); err != nil {
			return err
		}
		if err := r.handleVulnReport(group); err != nil {
			return err
		}
	}
	return r.noteRecurrences()
}

// storeOutcomes marks the deliveries of a batch as handled, and counts the alerts that
// maintenance windows suppressed.
func (r *ingestion) storeOutcomes(batch []incident.DecodedDelivery) ([]DeliveryOutcome, error) {
	out := make([]DeliveryOutcome, 0, len(r.outcomes))
	for _, row := range batch {
		outcome := r.outcomes[row.Row]
		if outcome.Unread = r.unread[row.Row]; row.Unread != "" && outcome.Reason == "" {
			outcome.Reason = row.Unread
		}
		out = append(out, outcome)
	}
	for _, window := range slices.Sorted(maps.Keys(r.suppressed)) {
		n := r.suppressed[window]
		if err := r.tx.AddSuppressed(window, n.alerts, n.severe); err != nil {
			return nil, fmt.Errorf("count alerts of a maintenance window: %w", err)
		}
	}
	if err := r.tx.MarkHandled(out); err != nil {
		return nil, fmt.Errorf("mark deliveries handled: %w", err)
	}
	return out, nil
}

// prepare stores the current configuration if necessary and reads the active
// maintenance windows.
func (r *ingestion) prepare() (err error) {
	if r.routing == 0 && r.d.Routing != nil {
		if r.routing, err = r.tx.PutConfiguration(r.d.currentConfiguration()); err != nil {
			return fmt.Errorf("store configuration: %w", err)
		}
	}
	if r.maintenance, err = r.tx.MaintenanceWindows(r.now); err != nil {
		return fmt.Errorf("read maintenance windows: %w", err)
	}
	r.maintenance = slices.DeleteFunc(r.maintenance, func(m incident.MaintenanceWindow) bool { return !m.Active(r.now) })
	return nil
}

// setOutcome sets the outcome of a delivery, unless it has one of higher
// priority.
func (r *ingestion) setOutcome(next DeliveryOutcome) {
	next.Routing = cmp.Or(next.Routing, r.routing)
	previous, ok := r.outcomes[next.Row]
	if !ok || slices.Index(outcomePriority, next.Outcome) < slices.Index(outcomePriority, previous.Outcome) {
		r.outcomes[next.Row] = next
	}
}

// lockOrder sorts the groups into one order for all batches. Groups with a live
// incident are first, sorted by its number, and groups that may open one follow
// in their order of arrival. Two batches that locked incidents or the counter in
// different orders would wait for each other until the database aborts one of
// them.
func (r *ingestion) lockOrder(groups []*alertGroup) ([]*alertGroup, error) {
	keys := make([]string, 0, 2*len(groups))
	for _, g := range groups {
		keys = append(keys, incidentKeys(g.alert)...)
	}
	incidents, err := r.tx.IncidentsByCorrelation(keys...)
	if err != nil {
		return nil, fmt.Errorf("find incidents of alerts: %w", err)
	}
	for _, g := range groups {
		for _, key := range incidentKeys(g.alert) {
			g.incident = cmp.Or(g.incident, incidents[key])
		}
	}
	slices.SortStableFunc(groups, func(a, b *alertGroup) int {
		return cmp.Compare(cmp.Or(a.incident, math.MaxInt64), cmp.Or(b.incident, math.MaxInt64))
	})
	return groups, nil
}

// correlationKey returns the correlation key of an alert. An alert without one
// groups only with its own repeats.
func correlationKey(a incident.Alert) string {
	return cmp.Or(a.Correlation, fingerprintKey(a))
}

// incidentKeys returns the correlation keys by which an alert finds its live incident. The
// first key that has one counts.
func incidentKeys(a incident.Alert) []string {
	keys := []string{fingerprintKey(a), a.Correlation}
	if a.Report != nil && a.Report.Answers && a.Report.Thread != "" {
		keys = append(keys, a.Report.Thread)
	}
	return keys
}

// fingerprintKey returns the correlation key of one alert alone. It binds the
// alert to an incident that was split from the incident with its correlation key.
func fingerprintKey(a incident.Alert) string { return a.Source + ":" + a.Fingerprint }

func sourceIdentity(a incident.Alert) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSource, ID: a.Source}
}

// alertTitle returns the title of an alert as one line, shortened to
// incident.MaxTitle.
func alertTitle(a incident.Alert) string {
	return text.Truncate(cmp.Or(strings.Join(strings.Fields(strings.ToValidUTF8(a.Title, "�")), " "), a.Kind, "alert from "+a.Source), incident.MaxTitle)
}

// truncate shortens a text from outside to the limit of an event.
func truncate(s string) string {
	return text.Truncate(strings.ToValidUTF8(s, "�"), incident.MaxText)
}
