package response

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
)

const (
	// maxAskDeliveries and maxAskEvents limit one search. The answer names the delivery after
	// which the next one goes on.
	maxAskDeliveries = 20_000
	maxAskEvents     = 10_000
	// askReserve is the time before the deadline of the caller at which a search ends.
	askReserve = 800 * time.Millisecond
	// lateRecords is how late a record can arrive after its event.
	lateRecords = 24 * time.Hour

	defaultAskPeriod = 24 * time.Hour
	// askBeforeAlert is how long before its first alert the default period of an incident
	// begins.
	askBeforeAlert = time.Hour
)

// ask answers a question from the stored deliveries and alerts that a person may read. A
// record of an incident is for the readers of the incident, a suppressed one for those who
// may read all alerts, and one whose incident is not known only for those who may also read
// every incident that it can belong to. The question is written to the audit log, and each
// restricted incident that has a record.
func (d *Desk) ask(ctx context.Context, who incident.Identity, q incident.Question) (incident.Trail, error) {
	s := &trailSearch{d: d, who: who, readable: map[incident.ID]bool{}, found: map[incident.ID]bool{}, restricted: map[incident.ID]bool{}}
	if err := s.begin(ctx, q); err != nil {
		return incident.Trail{}, err
	}
	s.needle = []byte(s.out.Question.Needle())
	for err := error(nil); s.out.Next == 0; {
		var more bool
		if more, err = s.searchBatch(ctx); err != nil {
			return incident.Trail{}, fmt.Errorf("search deliveries: %w", err)
		}
		if !more {
			break
		}
		if deadline, ok := ctx.Deadline(); s.out.Deliveries >= maxAskDeliveries || len(s.events) >= maxAskEvents || ok && time.Until(deadline) < askReserve {
			s.out.Next = s.after
		}
	}
	if err := s.addAlerts(ctx); err != nil {
		return incident.Trail{}, fmt.Errorf("search alerts: %w", err)
	}
	if err := d.auditAll(ctx, s.entries); err != nil {
		return incident.Trail{}, err
	}
	return s.result(), nil
}

// trailSearch is one search for a question.
type trailSearch struct {
	d           *Desk
	who         incident.Identity
	person      incident.PersonID
	dir         incident.Directory
	now         time.Time
	readsAlerts bool  // records of no incident
	readsAll    *bool // every incident of the period, nil until it is needed
	needle      []byte
	after       int64
	out         incident.Trail
	events      []incident.TrailEvent
	readable    map[incident.ID]bool
	found       map[incident.ID]bool // readable incidents with a record or an alert
	restricted  map[incident.ID]bool // false after its entry for the audit log
	entries     []Access
}

// begin authorizes the person, completes the period and writes the question to the audit
// log.
func (s *trailSearch) begin(ctx context.Context, q incident.Question) error {
	s.now = s.d.Now()
	known := false
	err := s.d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		s.dir = dir
		person, ok := dir.Resolve(s.who)
		isSystem := s.who.Provider == incident.ProviderSystem
		s.person, known = person.ID, ok || isSystem
		s.readsAlerts = person.Responder || ok && mayReadPrivileged(s.who, person.ID, incident.Incident{}, dir, s.now) || isSystem
		if known {
			q.From, q.To, err = s.period(r, q)
		}
		return err
	})
	if err != nil {
		return err
	}
	q.Page, q.Limit = max(q.Page, 1), min(cmp.Or(max(q.Limit, 0), incident.DefaultTrailEvents), incident.MaxTrailEvents)
	s.after, s.out = q.After, incident.Trail{Question: q, Events: []incident.TrailEvent{}, SearchedTo: q.From}
	question := fmt.Sprintf("%s %s from %s to %s", q.Kind, q.Value, q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	if err := s.d.auditAll(ctx, []Access{s.access(0, question, known)}); err != nil {
		return err
	}
	if !known {
		return incident.NotLinked(s.who)
	}
	return nil
}

func (s *trailSearch) access(id incident.ID, reason string, allowed bool) Access {
	return Access{At: s.now, Person: s.person, Handle: s.who, Action: incident.QueryAsk, Incident: id, Reason: reason, Allowed: allowed}
}

// period returns the period of a question. By default it begins before the first alert of
// the incident, or one day before its end.
func (s *trailSearch) period(r Reader, q incident.Question) (from, to time.Time, err error) {
	from, to = q.From, q.To
	if to.IsZero() || to.After(s.now) {
		to = s.now
	}
	if !from.IsZero() {
		return from, to, nil
	}
	from = to.Add(-defaultAskPeriod)
	if q.Incident == 0 || !q.To.IsZero() {
		return from, to, nil
	}
	inc, err := r.Incident(q.Incident)
	if err != nil || !inc.MayRead(s.dir, s.person, s.now) {
		if incident.CodeOf(err) == incident.CodeUnknown {
			err = nil
		}
		return from, to, err
	}
	first := inc.OpenedAt
	rows, err := r.Alerts(AlertQuery{Incident: inc.ID, Limit: maxListedAlerts})
	for _, row := range rows {
		if row.FirstAt.Before(first) {
			first = row.FirstAt
		}
		if at := row.Alert.At; !at.IsZero() && at.Before(first) {
			first = at
		}
	}
	return first.Add(-askBeforeAlert), to, err
}

// trailRecord is a record of the subject that the person may not be allowed to read.
type trailRecord struct {
	incident.TrailEvent
	outcome DeliveryOutcome
	single  bool             // the delivery has no other record
	alerts  []incident.Alert // of the record, in each origin that it can have
}

// searchBatch searches the next deliveries. It reports whether there were any.
func (s *trailSearch) searchBatch(ctx context.Context) (bool, error) {
	end := s.out.Question.To.Add(lateRecords)
	if end.After(s.now) {
		end = s.now.Add(time.Second) // a delivery of this moment is in the period
	}
	var batch []Delivery
	err := s.d.Store.View(ctx, func(r Reader) (err error) {
		batch, err = r.Deliveries(DeliveryQuery{From: s.out.Question.From.Add(-maxClockSkew), To: end, After: s.after, Bodies: true})
		return err
	})
	if err != nil || len(batch) == 0 {
		if s.out.SearchedTo = s.out.Question.To; err != nil {
			return false, err
		}
		return false, nil
	}
	last := batch[len(batch)-1].Stored
	s.after, s.out.SearchedTo = last.ID, last.At
	s.out.Deliveries += len(batch)
	var found []trailRecord
	for _, delivery := range batch {
		if len(s.needle) == 0 || bytes.Contains(bytes.ToLower(delivery.Stored.Body), s.needle) {
			found = append(found, s.decode(delivery)...)
		}
	}
	return true, s.add(ctx, found)
}

// decode returns the records of the subject in a delivery. A delivery that cannot be
// decoded, or not completely, is a record without a call.
func (s *trailSearch) decode(d Delivery) (out []trailRecord) {
	event := incident.TrailEvent{Source: d.Stored.Source, Delivery: d.Stored.ID, Alert: d.Outcome.Alert, Origin: d.Stored.Origin}
	signals, err := s.d.Decode(d.Stored)
	single := len(signals) == 1 && err == nil
	if err != nil && len(s.needle) > 0 {
		out = append(out, trailRecord{TrailEvent: event, outcome: d.Outcome})
	}
	for _, signal := range signals {
		if signal.Alert == nil || signal.Unreadable {
			continue
		}
		record := trailRecord{TrailEvent: event, outcome: d.Outcome, single: single}
		if record.Activity = signal.Alert.Activity(); signal.Activity != nil {
			record.Activity = *signal.Activity
		}
		if record.At.IsZero() {
			record.At = d.Stored.At
		}
		if q := s.out.Question; !q.Matches(record.Activity) || record.At.Before(q.From) || !record.At.Before(q.To) {
			continue
		}
		if !single {
			record.Alert = 0 // the inbox has the alert of one record only
			record.alerts = []incident.Alert{*signal.Alert, signal.Alert.WithOrigin(d.Stored.Origin)}
		}
		out = append(out, record)
	}
	return out
}

// add adds the records that the person may read.
func (s *trailSearch) add(ctx context.Context, found []trailRecord) error {
	if len(found) == 0 {
		return nil
	}
	if s.readsAll == nil && s.readsAlerts && slices.ContainsFunc(found, func(f trailRecord) bool { return !f.single || f.outcome.Outcome == "" }) {
		all, err := s.d.mayReadAll(ctx, s.who, s.out.Question.From)
		if err != nil {
			return err
		}
		s.readsAll = &all
	}
	return s.d.Store.View(ctx, func(r Reader) error {
		incidents, err := recordIncidents(r, found)
		if err != nil {
			return err
		}
		for n, f := range found {
			allowed, err := s.mayRead(r, f, incidents[n])
			if err != nil {
				return err
			}
			switch {
			case !allowed:
			case f.Call == "":
				s.out.Unread++
			default:
				f.Incident = max(incidents[n].first(), 0)
				s.events = append(s.events, f.TrailEvent)
			}
		}
		return nil
	})
}

// foundIncidents are the incidents and dispositions of a record. It is empty if none is
// known.
type foundIncidents []incident.ID

func (f foundIncidents) first() incident.ID {
	return append(slices.DeleteFunc(slices.Clone(f), func(id incident.ID) bool { return id <= 0 }), 0)[0]
}

// recordIncidents returns the incidents and dispositions of each record.
func recordIncidents(r AlertReader, found []trailRecord) ([]foundIncidents, error) {
	var ids []int64
	var alerts []incident.Alert
	for _, f := range found {
		if f.outcome.Alert != 0 {
			ids = append(ids, f.outcome.Alert)
		}
		alerts = append(alerts, f.alerts...)
	}
	byID, byAlert, err := r.AlertIncidents(ids, alerts)
	if err != nil {
		return nil, err
	}
	out := make([]foundIncidents, len(found))
	for n, f := range found {
		out[n] = slices.Concat(byAlert[:len(f.alerts)]...)
		byAlert = byAlert[len(f.alerts):]
		if f.single || f.Call == "" {
			if id, moved := byID[f.outcome.Alert]; moved {
				out[n] = append(out[n], id)
			}
			if f.outcome.Outcome != "" {
				out[n] = append(out[n], f.outcome.Incident)
			}
		}
	}
	return out, nil
}

// mayRead reports whether the person may read a record of some incidents.
func (s *trailSearch) mayRead(r IncidentReader, f trailRecord, of foundIncidents) (bool, error) {
	inIncident := false
	for _, id := range of {
		if id <= 0 {
			continue
		}
		inIncident = true
		readable, err := s.mayReadIncident(r, id)
		if err != nil {
			return false, err
		}
		if s.auditRestricted(id); !readable {
			return false, nil
		}
	}
	switch {
	case len(of) == 0: // it can belong to any incident of the time
		return s.readsAlerts && s.readsAll != nil && *s.readsAll, nil
	case f.Call == "" && !inIncident: // an alert about the rest of the delivery can be elsewhere
		return s.readsAlerts && s.readsAll != nil && *s.readsAll, nil
	}
	return inIncident || s.readsAlerts, nil
}

func (s *trailSearch) mayReadIncident(r IncidentReader, id incident.ID) (bool, error) {
	if readable, seen := s.readable[id]; seen {
		return readable, nil
	}
	inc, err := r.Incident(id)
	if err != nil && incident.CodeOf(err) != incident.CodeUnknown {
		return false, err
	}
	readable := err == nil && (s.who.Provider == incident.ProviderSystem || inc.MayRead(s.dir, s.person, s.now))
	s.readable[id], s.restricted[id] = readable, err == nil && inc.Restricted
	return readable, nil
}

// auditRestricted adds an entry for the audit log if a restricted incident has a record or an
// alert of the subject.
func (s *trailSearch) auditRestricted(id incident.ID) {
	if s.restricted[id] {
		s.restricted[id] = false
		s.entries = append(s.entries, s.access(id, "", s.readable[id]))
	}
}

// auditAll writes entries to the audit log.
func (d *Desk) auditAll(ctx context.Context, entries []Access) error {
	if len(entries) == 0 {
		return nil
	}
	err := d.Store.Tx(ctx, func(tx Tx) error {
		for _, a := range entries {
			if err := tx.Audit(a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", entries[0].Action, err)
	}
	return nil
}
