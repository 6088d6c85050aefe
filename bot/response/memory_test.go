package response

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// memory is a Store in memory. Tests run its queue by hand, so they choose
// orders, delays and crashes. The database stores are tested in package store,
// and with the desk in desk_db_test.go.
type memory struct {
	memoryState
	crash int // number of the Tx from now that fails to commit, 0 for none
}

// errCrash simulates a process that dies before its commit.
var errCrash = errors.New("crashed")

type memoryState struct {
	next               incident.ID
	incidents          map[incident.ID]incident.Incident
	events             map[incident.ID][]incident.Event
	directory          incident.Directory
	keys               map[string]bool
	correlate          map[string]incident.ID
	alerts             []AlertRow
	handled            map[int64]DeliveryOutcome
	effects            []queuedEffect
	documents          map[string]incident.Document
	audit              []Access
	ended              map[string][]releasedKey
	configurations     []Configuration
	maintenance        []incident.MaintenanceWindow
	openings           []time.Time
	storms             map[incident.ID]Storm
	correlationWindows map[string][]byte
	seenEvents         map[string]int64
	bodies             map[int64]string // of deliveries
}

// releasedKey is the incident that released a correlation key, and when.
type releasedKey struct {
	id incident.ID
	at time.Time
}

type queuedEffect struct {
	incident.Effect
	attempts int
	done     bool
	result   string
}

func newMemory(d incident.Directory) *memory {
	return &memory{memoryState: memoryState{incidents: map[incident.ID]incident.Incident{}, events: map[incident.ID][]incident.Event{},
		directory: d, keys: map[string]bool{}, correlate: map[string]incident.ID{}, handled: map[int64]DeliveryOutcome{}, documents: map[string]incident.Document{},
		ended: map[string][]releasedKey{}, storms: map[incident.ID]Storm{}, correlationWindows: map[string][]byte{}, seenEvents: map[string]int64{}}}
}

func (m *memoryState) clone() memoryState {
	c := *m
	c.incidents, c.events, c.keys, c.correlate = maps.Clone(m.incidents), maps.Clone(m.events), maps.Clone(m.keys), maps.Clone(m.correlate)
	c.handled, c.documents = maps.Clone(m.handled), maps.Clone(m.documents)
	c.ended, c.storms, c.correlationWindows = maps.Clone(m.ended), maps.Clone(m.storms), maps.Clone(m.correlationWindows)
	c.seenEvents = maps.Clone(m.seenEvents)
	c.configurations, c.maintenance, c.openings = slices.Clone(m.configurations), slices.Clone(m.maintenance), slices.Clone(m.openings)
	c.alerts, c.effects, c.audit = slices.Clone(m.alerts), slices.Clone(m.effects), slices.Clone(m.audit)
	for id, events := range c.events {
		c.events[id] = slices.Clone(events)
	}
	return c
}

func (m *memory) Tx(_ context.Context, f func(Tx) error) error {
	before := m.memoryState.clone()
	err := f(m)
	if m.crash > 0 {
		if m.crash--; m.crash == 0 {
			err = errCrash
		}
	}
	if err != nil {
		m.memoryState = before
	}
	return err
}

func (m *memory) View(_ context.Context, f func(Reader) error) error { return f(m) }

// runnable returns the ids of the effects that a queue would run at a time.
func (m *memory) runnable(now time.Time) []int64 {
	var out []int64
	busy := map[string]bool{}
	for _, e := range m.effects {
		if e.done || e.Lane != "" && busy[e.Lane] {
			continue
		}
		busy[e.Lane] = true
		if !e.After.After(now) {
			out = append(out, e.ID)
		}
	}
	return out
}

// start starts an attempt.
func (m *memory) start(id int64) Job {
	m.effects[id-1].attempts++
	return Job{Effect: id, Attempt: m.effects[id-1].attempts}
}

func (m *memory) Incident(id incident.ID) (incident.Incident, error) {
	inc, ok := m.incidents[id]
	if !ok {
		return inc, incident.Unknown("incident", "unknown incident %s", id)
	}
	return inc, nil
}

func (m *memory) Timeline(id incident.ID) ([]incident.Event, error) {
	return slices.Clone(m.events[id]), nil
}

func (m *memory) Event(id incident.ID, seq int) (incident.Event, error) {
	events, err := m.Timeline(id)
	if err != nil || seq < 1 || seq > len(events) {
		return incident.Event{}, err
	}
	return events[seq-1], nil
}

func (m *memory) IncidentIDs() ([]incident.ID, error) {
	return slices.SortedFunc(maps.Keys(m.incidents), func(a, b incident.ID) int { return cmp.Compare(b, a) }), nil
}

func (m *memory) AlertIncidents(ids []int64, alerts []incident.Alert) (map[int64]incident.ID, [][]incident.ID, error) {
	byID, byAlert := map[int64]incident.ID{}, make([][]incident.ID, len(alerts))
	for _, row := range m.alerts {
		if row.Incident <= 0 {
			continue
		}
		if slices.Contains(ids, row.ID) {
			byID[row.ID] = row.Incident
		}
		for n, a := range alerts {
			if a.Source == row.Alert.Source && a.Fingerprint == row.Alert.Fingerprint {
				byAlert[n] = append(byAlert[n], row.Incident)
			}
		}
	}
	return byID, byAlert, nil
}

func (m *memory) LockIncident(incident.ID) error { return nil }

func (m *memory) IncidentsByCorrelation(keys []string) (map[string]incident.ID, error) {
	out := map[string]incident.ID{}
	for _, key := range keys {
		if id := m.correlate[key]; id != 0 {
			out[key] = id
		}
	}
	return out, nil
}

func (m *memory) Summaries(f incident.Filter) ([]incident.Summary, error) {
	var out []incident.Summary
	for _, id := range slices.Sorted(maps.Keys(m.incidents)) {
		inc := m.incidents[id]
		if f.All || slices.Contains(f.Statuses, inc.Status) || len(f.Statuses) == 0 && !inc.Status.Ended() {
			out = append(out, inc.Summary())
		}
	}
	return out, nil
}

func (m *memory) Directory() (incident.Directory, error)      { return m.directory, nil }
func (m *memory) PutDirectory(d incident.Directory) error     { m.directory = d; return nil }
func (m *memory) Windows([]string) (map[string][]byte, error) { return m.correlationWindows, nil }
func (m *memory) PutWindow(key string, w []byte, _ time.Time) error {
	m.correlationWindows[key] = w
	return nil
}
func (m *memory) DedupeEvents(events map[string]int64, _ time.Time) (map[string]int64, error) {
	first := map[string]int64{}
	for event, row := range events {
		if m.seenEvents[event] == 0 {
			m.seenEvents[event] = row
		}
		first[event] = m.seenEvents[event]
	}
	return first, nil
}

func (m *memory) DeliveryOutcomes(rows []int64) (map[int64]DeliveryOutcome, error) {
	out := map[int64]DeliveryOutcome{}
	for _, row := range rows {
		out[row] = m.handled[row]
	}
	return out, nil
}

func (m *memory) Audit(a Access) error                        { m.audit = append(m.audit, a); return nil }
func (m *memory) Erase(incident.ID, []incident.TextRef) error { return nil }
func (m *memory) NewID() (incident.ID, error)                 { m.next++; return m.next, nil }
func (m *memory) PutDocument(id incident.ID, d incident.Document) error {
	m.documents[fmt.Sprint(id, d.Revision)] = d
	return nil
}

func (m *memory) IncidentByLink(name, value string) (incident.ID, error) {
	for id, inc := range m.incidents {
		if inc.Links[name] == value {
			return id, nil
		}
	}
	return 0, nil
}

func (m *memory) Alerts(id incident.ID, _ int) ([]AlertRow, error) {
	return slices.DeleteFunc(slices.Clone(m.alerts), func(r AlertRow) bool { return r.Incident != id }), nil
}

func (m *memory) AlertsAfter(id incident.ID, after int64, limit int) ([]AlertRow, error) {
	rows, err := m.Alerts(id, 0)
	rows = slices.DeleteFunc(rows, func(r AlertRow) bool { return r.ID <= after })
	return rows[:min(limit, len(rows))], err
}

func (m *memory) Document(id incident.ID, revision int) (incident.Document, error) {
	d, ok := m.documents[fmt.Sprint(id, revision)]
	if !ok {
		return d, incident.Unknown("revision", "unknown revision")
	}
	return d, nil
}

func (m *memory) Save(inc incident.Incident, events []incident.Event) error {
	if events[0].Seq != m.incidents[inc.ID].Head.Seq+1 {
		return ErrChanged
	}
	m.incidents[inc.ID] = inc
	m.events[inc.ID] = append(m.events[inc.ID], events...)
	return nil
}

func (m *memory) RecordCommandKey(id incident.ID, key string) (bool, error) {
	k := fmt.Sprint(id, " ", key)
	fresh := !m.keys[k]
	m.keys[k] = true
	return fresh, nil
}

func (m *memory) Correlate(key string, id incident.ID) error {
	if owner := m.correlate[key]; owner != 0 && owner != id {
		return ErrCorrelated
	}
	m.correlate[key] = id
	return nil
}

func (m *memory) IncidentByCorrelation(keys ...string) (incident.ID, error) {
	for _, key := range keys {
		if id := m.correlate[key]; id != 0 {
			return id, nil
		}
	}
	return 0, nil
}

func (m *memory) ReleaseCorrelations(id incident.ID) error {
	for key, owner := range m.correlate {
		if owner == id {
			m.ended[key] = append(slices.Clone(m.ended[key]), releasedKey{id, m.incidents[id].UpdatedAt})
		}
	}
	maps.DeleteFunc(m.correlate, func(_ string, owner incident.ID) bool { return owner == id })
	return nil
}

func (m *memory) MoveCorrelations(from, to incident.ID) error {
	for key, owner := range m.correlate {
		if owner == from {
			m.correlate[key] = to
		}
	}
	return nil
}

func (m *memory) CountAlert(id incident.ID, a incident.Alert, n int64, now time.Time, d RoutingDecision) (AlertRow, int64, error) {
	for k, row := range m.alerts {
		if row.Incident == id && row.Alert.Fingerprint == a.Fingerprint {
			m.alerts[k].Count += n
			m.alerts[k].LastAt, m.alerts[k].Decision = now, d
			return m.alerts[k], row.Count, nil
		}
	}
	row := AlertRow{ID: int64(len(m.alerts) + 1), Incident: id, Alert: a, Hash: "hash of " + a.Fingerprint, Count: n, FirstAt: now, LastAt: now, Decision: d}
	m.alerts = append(m.alerts, row)
	return row, 0, nil
}

func (m *memory) MoveAlerts(from, to incident.ID) error {
	for k, row := range m.alerts {
		if row.Incident == from && (from != 0 || m.correlate[row.Alert.Correlation] == to) {
			m.alerts[k].Incident = to
		}
	}
	return nil
}

func (m *memory) EndedIncident(key string, a incident.Alert, since time.Time) (incident.ID, bool, error) {
	list := m.ended[key]
	knows := func(id incident.ID) bool {
		return slices.ContainsFunc(m.alerts, func(r AlertRow) bool { return r.Incident == id && r.Alert.Fingerprint == a.Fingerprint })
	}
	for _, e := range slices.Backward(list) {
		if a.Ongoing && knows(e.id) {
			return e.id, true, nil
		}
	}
	if len(list) == 0 || list[len(list)-1].at.Before(since) {
		return 0, false, nil
	}
	id := list[len(list)-1].id
	return id, knows(id), nil
}

func (m *memory) Alert(id int64) (AlertRow, error) {
	for _, row := range m.alerts {
		if row.ID == id {
			return row, nil
		}
	}
	return AlertRow{}, incident.Unknown("alert", "unknown alert A%d", id)
}

func (m *memory) CountOccurrences(id incident.ID, a incident.Alert) (int64, error) {
	for _, row := range m.alerts {
		if row.Incident == id && row.Alert.Source == a.Source && row.Alert.Fingerprint == a.Fingerprint {
			return row.Count, nil
		}
	}
	return 0, nil
}

func (m *memory) CountSuppressed(disposition incident.ID, since time.Time) (kinds, occurrences int64, err error) {
	for _, row := range m.alerts {
		if row.Incident == disposition && !row.LastAt.Before(since) {
			kinds, occurrences = kinds+1, occurrences+row.Count
		}
	}
	return kinds, occurrences, nil
}

func (m *memory) Delivery(row int64) (incident.StoredDelivery, DeliveryOutcome, error) {
	s, ok := m.handled[row]
	if !ok {
		return incident.StoredDelivery{}, s, incident.Unknown("delivery", "unknown delivery D%d", row)
	}
	return incident.StoredDelivery{ID: row, Source: "cloudtrail", Outcome: s.Outcome, Reason: s.Reason, Body: []byte(m.bodies[row])}, s, nil
}

func (m *memory) UndecodableDeliveries(source string, limit int) (out []incident.StoredDelivery, err error) {
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(m.handled))) {
		if s := m.handled[id]; s.Outcome == outcomeUndecodable && len(out) < limit {
			out = append(out, incident.StoredDelivery{ID: id, Source: source, Outcome: s.Outcome, Reason: s.Reason})
		}
	}
	return out, nil
}

func (m *memory) FirstDelivery(alert int64) (row int64, err error) {
	for id, s := range m.handled {
		if s.Alert == alert && (row == 0 || id < row) {
			row = id
		}
	}
	return row, nil
}

func (m *memory) Configuration(id int64) (Configuration, error) {
	if id < 1 || int(id) > len(m.configurations) {
		return Configuration{}, incident.Unknown("configuration", "unknown configuration %d", id)
	}
	c := m.configurations[id-1]
	c.Since = startTime
	return c, nil
}

func (m *memory) PutConfiguration(c Configuration) (int64, error) {
	for n, r := range m.configurations {
		if r.Routing.Digest == c.Routing.Digest && r.Detection.Digest == c.Detection.Digest {
			return int64(n + 1), nil
		}
	}
	m.configurations = append(m.configurations, c)
	return int64(len(m.configurations)), nil
}

func (m *memory) Maintenance(after time.Time) ([]incident.MaintenanceWindow, error) {
	return slices.DeleteFunc(slices.Clone(m.maintenance), func(w incident.MaintenanceWindow) bool { return !w.To.After(after) }), nil
}

func (m *memory) PutMaintenance(w incident.MaintenanceWindow) (int64, error) {
	w.ID = int64(len(m.maintenance) + 1)
	m.maintenance = append(m.maintenance, w)
	return w.ID, nil
}

func (m *memory) EndMaintenance(id int64, by incident.PersonID, at time.Time) error {
	if id < 1 || int(id) > len(m.maintenance) {
		return incident.Unknown("id", "unknown maintenance window M%d", id)
	}
	m.maintenance[id-1].To, m.maintenance[id-1].EndedBy = at, by
	return nil
}

func (m *memory) MaintenanceWindow(id int64) (incident.MaintenanceWindow, error) {
	if id < 1 || int(id) > len(m.maintenance) {
		return incident.MaintenanceWindow{}, incident.Unknown("id", "unknown maintenance window M%d", id)
	}
	return m.maintenance[id-1], nil
}

func (m *memory) ConfirmMaintenance(id int64, by incident.PersonID, at time.Time) (bool, error) {
	w := &m.maintenance[id-1]
	if w.ConfirmedBy != "" || !w.To.After(at) {
		return false, nil
	}
	w.ConfirmedBy, w.ConfirmedAt = by, at
	return true, nil
}

func (m *memory) AddSuppressed(window, n, severe int64) error {
	m.maintenance[window-1].Suppressed += n
	m.maintenance[window-1].SuppressedSevere += severe
	return nil
}

func (m *memory) CountOpenings(since time.Time, limit int) (n int, err error) {
	for _, at := range m.openings {
		if at.After(since) && n < limit {
			n++
		}
	}
	return n, nil
}

func (m *memory) AddOpening(at, _ time.Time) error {
	m.openings = append(m.openings, at)
	return nil
}

func (m *memory) Storm(id incident.ID) (Storm, error)    { return m.storms[id], nil }
func (m *memory) PutStorm(id incident.ID, s Storm) error { m.storms[id] = s; return nil }

func (m *memory) MoveAlert(id incident.ID, a incident.Alert, d RoutingDecision) (AlertRow, bool, error) {
	find := func(at incident.ID) int {
		return slices.IndexFunc(m.alerts, func(r AlertRow) bool { return r.Incident == at && r.Alert.Fingerprint == a.Fingerprint })
	}
	known := find(id) >= 0
	for _, disposition := range []incident.ID{WatchedAlerts, DroppedAlerts, MaintenanceAlerts} {
		from, to := find(disposition), find(id)
		switch {
		case from < 0 || disposition == id:
		case to < 0:
			m.alerts[from].Incident = id
		default:
			m.alerts[to].Count += m.alerts[from].Count
			m.alerts[from].Incident = -9 // added to another row
		}
	}
	n := find(id)
	if n < 0 {
		return AlertRow{}, false, nil
	}
	m.alerts[n].Decision = d
	return m.alerts[n], known, nil
}

func (m *memory) Split(alerts []int64, from, to incident.ID) error {
	stays := map[string]bool{}
	for n, row := range m.alerts {
		switch {
		case slices.Contains(alerts, row.ID):
			m.alerts[n].Incident = to
		case row.Incident == from:
			stays[row.Alert.Correlation] = true
		}
	}
	for _, row := range m.alerts {
		if slices.Contains(alerts, row.ID) && m.correlate[row.Alert.Correlation] == from && !stays[row.Alert.Correlation] {
			m.correlate[row.Alert.Correlation] = to
		}
	}
	return nil
}

func (m *memory) Claim(rows []int64) ([]int64, error) {
	return slices.DeleteFunc(slices.Clone(rows), func(row int64) bool { _, ok := m.handled[row]; return ok }), nil
}

func (m *memory) MarkHandled(rows []DeliveryOutcome) error {
	for _, row := range rows {
		m.handled[row.Row] = row
	}
	return nil
}

func (m *memory) Enqueue(effects ...incident.Effect) error {
	for _, e := range effects {
		n := slices.IndexFunc(m.effects, func(have queuedEffect) bool { return have.Key == e.Key })
		switch {
		case n < 0:
			e.ID = int64(len(m.effects) + 1)
			m.effects = append(m.effects, queuedEffect{Effect: e})
		case e.Refresh:
			m.effects[n].done = false
		}
	}
	return nil
}

func (m *memory) Effect(job Job) (incident.Effect, bool, error) {
	e := m.effects[job.Effect-1]
	return e.Effect, e.done, nil
}

func (m *memory) finish(job Job, result string) error {
	e := &m.effects[job.Effect-1]
	if e.done || e.attempts != job.Attempt {
		return errors.New("another attempt has the job")
	}
	e.done, e.result = true, result
	return nil
}

func (m *memory) CompleteEffect(job Job, result string) error { return m.finish(job, result) }
func (m *memory) DiscardEffect(job Job, reason string) error {
	return m.finish(job, "discarded: "+reason)
}

func (m *memory) SnoozeEffect(job Job, until time.Time) error {
	m.effects[job.Effect-1].After = until
	return nil
}

// effectNames returns the effects of an incident as "kind" or "kind argument…".
func (m *memory) effectNames(id incident.ID) []string {
	var out []string
	for _, e := range m.effects {
		if e.Incident == id {
			parts := []string{string(e.Kind)}
			for _, name := range []string{"round", "escalation_step", "department", "people", "step"} {
				if v := e.Args[name]; v != "" {
					parts = append(parts, v)
				}
			}
			out = append(out, strings.Join(parts, " "))
		}
	}
	return out
}
