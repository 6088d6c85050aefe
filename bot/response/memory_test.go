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
	"tocsin/bot/pack"
	"tocsin/bot/trust"
)

// memory is a Store in memory. Tests run its queue by hand, so they choose
// orders, delays and crashes. The database stores are tested in package store,
// and with the desk in desk_db_test.go.
type memory struct {
	memoryState
	countedInTx int // number of calls of CountAlerts in a Tx
	crash       int // number of the Tx from now that fails to commit, 0 for none, or dead

	// The locks of the current Tx, as a database takes them: incidents, then lanes.
	locked     map[incident.ID]bool // nil outside a Tx
	laneLocked bool
}

// errLockOrder means that a Tx locks an incident after a lane. Two such transactions
// can wait for each other.
var errLockOrder = errors.New("incident locked after a lane")

// errCrash simulates a process that dies before its commit.
var errCrash = errors.New("crashed")

// dead is the crash of a process that has not started again. None of its Tx commits.
const dead = -1

type memoryState struct {
	next           incident.ID
	incidents      map[incident.ID]incident.Incident
	events         map[incident.ID][]incident.Event
	directory      incident.Directory
	keys           map[string]bool
	correlate      map[string]incident.ID
	alerts         []AlertRow // in the order of their ids
	lastAlert      int64
	handled        map[int64]DeliveryOutcome
	effects        []queuedEffect
	documents      map[string]incident.Document
	audit          []Access
	ended          map[string][]releasedKey
	configurations []Configuration
	maintenance    []incident.MaintenanceWindow
	moved          map[int64]int64 // alerts whose occurrences were added to another row
	values         map[memoryKey][]byte
	seenEvents     map[string]int64
	bodies         map[int64]string // of deliveries
	clock          func() time.Time // time.Now if nil
	paused         PausedRestore
	releasedBy     string
	trusted        []trust.Event
}

func (m *memory) now() time.Time {
	if m.clock == nil {
		return time.Now()
	}
	return m.clock()
}

// releasedKey is the incident that released a correlation key, and when.
type releasedKey struct {
	id incident.ID
	at time.Time
}

type memoryKey struct {
	namespace Namespace
	key       string
}

type queuedEffect struct {
	incident.Effect
	held     bool
	attempts int
	started  bool // in its lane
	done     bool
	result   string
	wait     incident.WaitingEffect // zero unless the effect waits
}

func newMemory(d incident.Directory) *memory {
	return &memory{memoryState: memoryState{incidents: map[incident.ID]incident.Incident{}, events: map[incident.ID][]incident.Event{},
		directory: d, keys: map[string]bool{}, correlate: map[string]incident.ID{}, handled: map[int64]DeliveryOutcome{}, documents: map[string]incident.Document{},
		ended: map[string][]releasedKey{}, moved: map[int64]int64{}, values: map[memoryKey][]byte{}, seenEvents: map[string]int64{}}}
}

func (m *memoryState) clone() memoryState {
	c := *m
	c.incidents, c.events, c.keys, c.correlate = maps.Clone(m.incidents), maps.Clone(m.events), maps.Clone(m.keys), maps.Clone(m.correlate)
	c.handled, c.documents = maps.Clone(m.handled), maps.Clone(m.documents)
	c.ended, c.moved, c.values = maps.Clone(m.ended), maps.Clone(m.moved), maps.Clone(m.values)
	c.seenEvents = maps.Clone(m.seenEvents)
	c.configurations, c.maintenance = slices.Clone(m.configurations), slices.Clone(m.maintenance)
	c.alerts, c.effects, c.audit = slices.Clone(m.alerts), slices.Clone(m.effects), slices.Clone(m.audit)
	for id, events := range c.events {
		c.events[id] = slices.Clone(events)
	}
	return c
}

func (m *memory) Tx(_ context.Context, f func(Tx) error) error {
	before := m.memoryState.clone()
	m.locked, m.laneLocked = map[incident.ID]bool{}, false
	err := f(m)
	m.locked = nil
	switch {
	case m.crash > 1:
		m.crash--
	case m.crash != 0:
		m.crash, err = dead, errCrash
	}
	if err != nil {
		m.memoryState = before
	}
	return err
}

// lock records that the Tx locks an incident.
func (m *memory) lock(id incident.ID) {
	if m.locked != nil {
		m.locked[id] = true
	}
}

func (m *memory) View(_ context.Context, f func(Reader) error) error { return f(m) }

// runnable returns the ids of the effects that a queue would run at a time.
func (m *memory) runnable(now time.Time) []int64 {
	var out []int64
	m.startLanes()
	for _, e := range m.effects {
		if e.done || e.held || e.Lane != "" && !e.started {
			continue
		}
		if !e.After.After(now) && !e.wait.NextAttempt.After(now) {
			out = append(out, e.ID)
		}
	}
	return out
}

// startLanes starts the first effect of each lane in which none has started.
func (m *memory) startLanes() {
	busy := map[string]bool{}
	for n, e := range m.effects {
		m.effects[n].started = e.started || e.Ahead
		busy[e.Lane] = busy[e.Lane] || !e.done && m.effects[n].started
	}
	for n, e := range m.effects {
		if !e.done && e.Lane != "" && !busy[e.Lane] {
			m.effects[n].started, busy[e.Lane] = !e.held, true
		}
	}
}

// start starts an attempt, in another process if one is dead.
func (m *memory) start(id int64) Job {
	m.crash = max(m.crash, 0)
	m.effects[id-1].attempts++
	return Job{Effect: id, Attempt: m.effects[id-1].attempts}
}

func (m *memory) Incident(id incident.ID) (incident.Incident, error) {
	if m.locked != nil && m.laneLocked && !m.locked[id] {
		return incident.Incident{}, errLockOrder
	}
	m.lock(id)
	inc, ok := m.incidents[id]
	if !ok {
		return inc, incident.Unknown("incident", "unknown incident %s", id)
	}
	return inc, nil
}

func (m *memory) Timeline(id incident.ID, seq ...int) ([]incident.Event, error) {
	return slices.DeleteFunc(slices.Clone(m.events[id]), func(e incident.Event) bool { return len(seq) > 0 && !slices.Contains(seq, e.Seq) }), nil
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

func (m *memory) IncidentsByCorrelation(keys ...string) (map[string]incident.ID, error) {
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
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(m.incidents))) {
		inc := m.incidents[id]
		if f.Limit > 0 && len(out) == f.Limit {
			break
		}
		if f.All || slices.Contains(f.Statuses, inc.Status) || len(f.Statuses) == 0 && !inc.Status.Ended() {
			out = append(out, inc.Summary())
		}
	}
	return out, nil
}

// Search compares only the statuses, the person and the readers.
func (m *memory) Search(q incident.Search) ([]incident.Summary, error) {
	var out []incident.Summary
	for _, inc := range m.incidents {
		marks := inc.Marks()
		reads := q.Readers == nil || !inc.Restricted || slices.ContainsFunc(q.Readers, func(r incident.Mark) bool { return slices.Contains(marks, r) })
		s := inc.Summary()
		later := q.Before.ID != 0 && (s.UpdatedAt.After(q.Before.At) || s.UpdatedAt.Equal(q.Before.At) && s.ID >= q.Before.ID)
		if reads && !later && (len(q.Statuses) == 0 || slices.Contains(q.Statuses, inc.Status)) && (q.Person == "" || slices.Contains(marks, incident.Mark{Kind: incident.MarkPerson, Value: string(q.Person)})) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b incident.Summary) int {
		return cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), cmp.Compare(b.ID, a.ID))
	})
	return out[:min(len(out), cmp.Or(q.Limit, 50))], nil
}

func (m *memory) Directory() (incident.Directory, error)  { return m.directory, nil }
func (m *memory) PutDirectory(d incident.Directory) error { m.directory = d; return nil }

func (m *memory) Values(n Namespace, keys ...string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, key := range keys {
		if value := m.values[memoryKey{n, key}]; value != nil {
			out[key] = value
		}
	}
	return out, nil
}

func (m *memory) PutValue(n Namespace, key string, value []byte, _ time.Time) error {
	m.values[memoryKey{n, key}] = slices.Clone(value)
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

func (m *memory) Audit(a Access) error        { m.audit = append(m.audit, a); return nil }
func (m *memory) NewID() (incident.ID, error) { m.next++; return m.next, nil }
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

func (m *memory) Alerts(q AlertQuery) ([]AlertRow, error) {
	if q.ID != 0 {
		for moved := m.moved[q.ID]; moved != 0; moved = m.moved[q.ID] {
			q.ID = moved
		}
	}
	rows := slices.DeleteFunc(slices.Clone(m.alerts), func(r AlertRow) bool {
		if q.ID != 0 {
			return r.ID != q.ID
		}
		return r.Incident != q.Incident || r.ID <= q.After || q.Same != nil && !sameAlert(r.Alert, *q.Same)
	})
	if q.ID == 0 && q.Incident <= 0 {
		slices.SortFunc(rows, func(a, b AlertRow) int { return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(b.ID, a.ID)) })
	}
	if q.Limit > 0 {
		rows = rows[:min(q.Limit, len(rows))]
	}
	return rows, nil
}

func sameAlert(a, b incident.Alert) bool {
	return a.Source == b.Source && a.Fingerprint == b.Fingerprint
}

func (m *memory) Document(id incident.ID, revision int) (incident.Document, error) {
	d, ok := m.documents[fmt.Sprint(id, revision)]
	if !ok {
		return d, incident.Unknown("revision", "unknown revision")
	}
	return d, nil
}

func (m *memory) Save(inc incident.Incident, events []incident.Event, erased ...incident.TextRef) error {
	if events[0].Seq != m.incidents[inc.ID].Head.Seq+1 {
		return ErrChanged
	}
	m.incidents[inc.ID] = inc
	m.events[inc.ID] = append(m.events[inc.ID], events...)
	for _, ref := range erased {
		if ref.Seq < 1 || ref.Seq > len(m.events[inc.ID]) {
			return incident.Unknown("erase", "unknown event %d", ref.Seq)
		}
		e := &m.events[inc.ID][ref.Seq-1]
		if _, ok := e.Texts[ref.Name]; !ok {
			return incident.Unknown("erase", "unknown text %q", ref.Name)
		}
		e.Texts = maps.Clone(e.Texts)
		e.Texts[ref.Name] = incident.Text{Commitment: e.Texts[ref.Name].Commitment}
	}
	if len(erased) > 0 {
		m.incidents[inc.ID] = incident.Fold(inc.ID, m.events[inc.ID])
	}
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

func (m *memory) releaseCorrelations(id incident.ID) {
	for key, owner := range m.correlate {
		if owner == id {
			m.ended[key] = append(slices.Clone(m.ended[key]), releasedKey{id, m.incidents[id].UpdatedAt})
		}
	}
	maps.DeleteFunc(m.correlate, func(_ string, owner incident.ID) bool { return owner == id })
}

func (m *memory) MoveCorrelations(from, to incident.ID) error {
	if to == 0 {
		m.releaseCorrelations(from)
		return nil
	}
	for key, owner := range m.correlate {
		if owner == from {
			m.correlate[key] = to
		}
	}
	return nil
}

func (m *memory) CountAlert(id incident.ID, a incident.Alert, n int64, now time.Time, d RoutingDecision) (AlertRow, int64, error) {
	if k := m.findAlert(id, a); k >= 0 {
		row := &m.alerts[k]
		before := row.Count
		d.Storm = d.Storm || row.Decision.Storm
		row.Count, row.LastAt, row.Decision = before+n, now, d
		counted := *row
		counted.Alert = incident.Alert{}
		return counted, before, nil
	}
	m.lastAlert++
	row := AlertRow{ID: m.lastAlert, Incident: id, Alert: a, Hash: "hash of " + a.Fingerprint, Count: n, FirstAt: now, LastAt: now, Decision: d}
	m.alerts = append(m.alerts, row)
	return row, 0, nil
}

func (m *memory) MoveAlerts(from, to incident.ID, ids ...int64) error {
	if len(ids) > 0 {
		return m.splitAlerts(from, to, ids)
	}
	if from != WatchedAlerts {
		m.moveAlertsWhere(to, func(r AlertRow) bool { return r.Incident == from })
		return nil
	}
	m.moveAlertsWhere(to, func(r AlertRow) bool { return r.Incident == from && m.correlate[r.Alert.Correlation] == to })
	m.moveAlertsWhere(to, func(r AlertRow) bool { return r.Incident == from && m.findAlert(to, r.Alert) >= 0 })
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

func (m *memory) CountAlerts(id incident.ID, since time.Time) ([]incident.AlertCount, error) {
	if m.locked != nil {
		m.countedInTx++
	}
	byKind := map[string]incident.AlertCount{}
	for _, row := range m.alerts {
		if row.Incident == id && !row.LastAt.Before(since) {
			c := byKind[row.Alert.Kind]
			byKind[row.Alert.Kind] = incident.AlertCount{Kind: row.Alert.Kind, Alerts: c.Alerts + 1, Occurrences: c.Occurrences + row.Count}
		}
	}
	var out []incident.AlertCount
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		out = append(out, byKind[kind])
	}
	return out, nil
}

func (m *memory) Deliveries(q DeliveryQuery) (out []Delivery, err error) {
	for _, row := range slices.Sorted(maps.Keys(m.handled)) {
		o := m.handled[row]
		matches := slices.Contains(q.Rows, row)
		if q.Alert != 0 {
			matches = o.Alert == q.Alert
		}
		if q.Undecodable != "" {
			matches = o.Outcome == outcomeUndecodable || o.Unread
		}
		if !q.To.IsZero() {
			matches = row > q.After
		}
		if matches {
			stored := incident.StoredDelivery{ID: row, Source: "cloudtrail", Outcome: o.Outcome, Reason: o.Reason}
			if q.Bodies {
				stored.Body = []byte(m.bodies[row])
			}
			out = append(out, Delivery{stored, o})
		}
	}
	if q.Undecodable != "" {
		slices.Reverse(out)
	}
	if q.Limit > 0 {
		out = out[:min(q.Limit, len(out))]
	}
	return out, nil
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
	if c.Detection.Digest == "" {
		c.Detection.Source = nil
	}
	m.configurations = append(m.configurations, c)
	return int64(len(m.configurations)), nil
}

func (m *memory) MaintenanceWindows(after time.Time) ([]incident.MaintenanceWindow, error) {
	return slices.DeleteFunc(slices.Clone(m.maintenance), func(w incident.MaintenanceWindow) bool { return !w.To.After(after) }), nil
}

func (m *memory) PutMaintenance(w incident.MaintenanceWindow) (int64, error) {
	if w.ID != 0 {
		stored := &m.maintenance[w.ID-1]
		stored.To, stored.EndedBy, stored.ConfirmedBy, stored.ConfirmedAt = w.To, w.EndedBy, w.ConfirmedBy, w.ConfirmedAt
		return w.ID, nil
	}
	w.ID = int64(len(m.maintenance) + 1)
	m.maintenance = append(m.maintenance, w)
	return w.ID, nil
}

func (m *memory) MaintenanceWindow(id int64) (incident.MaintenanceWindow, error) {
	if id < 1 || int(id) > len(m.maintenance) {
		return incident.MaintenanceWindow{}, incident.Unknown("id", "unknown maintenance window M%d", id)
	}
	return m.maintenance[id-1], nil
}

func (m *memory) AddSuppressed(window, n, severe int64) error {
	m.maintenance[window-1].Suppressed += n
	m.maintenance[window-1].SuppressedSevere += severe
	return nil
}

func (m *memory) findAlert(id incident.ID, a incident.Alert) int {
	return slices.IndexFunc(m.alerts, func(r AlertRow) bool { return r.Incident == id && sameAlert(r.Alert, a) })
}

// moveAlertsWhere moves alerts. It adds the counts of alerts that the target has to its
// rows, and removes the moved ones.
func (m *memory) moveAlertsWhere(to incident.ID, matches func(AlertRow) bool) {
	kept := make([]AlertRow, 0, len(m.alerts))
	var moving []AlertRow
	for _, row := range m.alerts {
		if matches(row) {
			moving = append(moving, row)
		} else {
			kept = append(kept, row)
		}
	}
	m.alerts = kept
	for _, row := range moving {
		n := m.findAlert(to, row.Alert)
		if n < 0 {
			row.Incident = to
			m.alerts = append(m.alerts, row)
			continue
		}
		target := &m.alerts[n]
		target.Count += row.Count
		if row.FirstAt.Before(target.FirstAt) {
			target.FirstAt = row.FirstAt
		}
		if row.LastAt.After(target.LastAt) {
			target.LastAt = row.LastAt
		}
		m.moved[row.ID] = target.ID
	}
	slices.SortFunc(m.alerts, func(a, b AlertRow) int { return cmp.Compare(a.ID, b.ID) })
}

func (m *memory) MoveAlert(id incident.ID, a incident.Alert, d RoutingDecision) (AlertRow, bool, error) {
	known := m.findAlert(id, a) >= 0
	m.moveAlertsWhere(id, func(r AlertRow) bool { return r.Incident <= 0 && r.Incident != id && sameAlert(r.Alert, a) })
	n := m.findAlert(id, a)
	if n < 0 {
		return AlertRow{}, false, nil
	}
	d.Storm = d.Storm || m.alerts[n].Decision.Storm
	m.alerts[n].Decision = d
	return m.alerts[n], known, nil
}

func (m *memory) splitAlerts(from, to incident.ID, alerts []int64) error {
	stays := map[string]bool{}
	for _, row := range m.alerts {
		if row.Incident == from && !slices.Contains(alerts, row.ID) {
			stays[row.Alert.Correlation] = true
		}
	}
	for _, row := range m.alerts {
		if slices.Contains(alerts, row.ID) && m.correlate[row.Alert.Correlation] == from && !stays[row.Alert.Correlation] {
			m.correlate[row.Alert.Correlation] = to
		}
	}
	m.moveAlertsWhere(to, func(r AlertRow) bool { return r.Incident == from && slices.Contains(alerts, r.ID) })
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
	m.laneLocked = m.laneLocked || slices.ContainsFunc(effects, func(e incident.Effect) bool { return e.Lane != "" })
	for _, e := range effects {
		n := slices.IndexFunc(m.effects, func(have queuedEffect) bool { return have.Key == e.Key })
		switch {
		case n < 0:
			e.ID = int64(len(m.effects) + 1)
			m.effects = append(m.effects, queuedEffect{Effect: e})
			m.startLanes()
		case e.Refresh:
			if m.effects[n].done {
				m.effects[n].attempts = 0 // it has a new job
			}
			m.effects[n].done, m.effects[n].wait.NextAttempt = false, time.Time{}
		}
	}
	return nil
}

func (m *memory) Effect(job Job) (incident.Effect, bool, error) {
	e := m.effects[job.Effect-1]
	m.lock(e.Incident)
	return e.Effect, e.done, nil
}

func (m *memory) FinishEffect(job Job, outcome EffectOutcome, result string, covered ...int64) error {
	m.laneLocked = true
	e := &m.effects[job.Effect-1]
	if e.done || e.attempts != job.Attempt {
		return errors.New("another attempt has the job")
	}
	if outcome == EffectDiscarded {
		result = "discarded: " + result
	}
	e.done, e.result, e.wait = true, result, incident.WaitingEffect{}
	for _, id := range covered {
		m.effects[id-1].done, m.effects[id-1].result = true, result
	}
	m.startLanes()
	return nil
}

func (m *memory) PostponeEffect(job Job, until time.Time, f Failure) error {
	m.laneLocked = true
	e := &m.effects[job.Effect-1]
	if e.done || e.attempts != job.Attempt {
		return errors.New("another attempt has the job")
	}
	w, now := &e.wait, m.now()
	if w.ID == 0 {
		*w = incident.WaitingEffect{ID: e.ID, Kind: e.Kind, Incident: e.Incident, Seq: e.Seq, Since: now}
	}
	w.System, w.Blocked, w.Paused, w.Cause, w.Fix, w.LastAttempt, w.NextAttempt, w.Reached = f.System, f.Blocked, f.Paused, f.Cause, f.Fix, now, until, f.Reached
	w.Attempts++
	if aside := "/" + string(e.Kind); f.StepsAside && e.Lane != "" && !strings.HasSuffix(e.Lane, aside) {
		e.Lane, e.Ahead, e.started = e.Lane+aside, false, false
	}
	m.startLanes()
	return nil
}

func (m *memory) DropEffect(effect int64, result string) (bool, error) {
	m.laneLocked = true
	e := &m.effects[effect-1]
	if e.done || e.wait.ID == 0 || e.started && !e.wait.NextAttempt.After(m.now()) {
		return false, nil
	}
	e.done, e.held, e.result, e.wait = true, false, "discarded: "+result, incident.WaitingEffect{}
	m.startLanes()
	return true, nil
}

func (m *memory) PausedRestore() (PausedRestore, error) { return m.paused, nil }

func (m *memory) HeldWork() (out HeldWork, err error) {
	for _, e := range m.effects {
		if !e.held {
			continue
		}
		n := slices.IndexFunc(out.Effects, func(h HeldEffects) bool { return h.Incident == e.Incident && h.Kind == e.Kind })
		if n < 0 {
			n = len(out.Effects)
			out.Effects = append(out.Effects, HeldEffects{Incident: e.Incident, Kind: e.Kind})
		}
		out.Effects[n].Count++
	}
	return out, nil
}

func (m *memory) ReleaseHeld(id incident.ID, drop func(incident.Effect) string) (bool, error) {
	for n := range m.effects {
		e := &m.effects[n]
		if !e.held || e.Incident != id {
			continue
		}
		e.held, e.attempts = false, e.attempts+1
		if !e.wait.NextAttempt.IsZero() {
			e.wait.NextAttempt = m.now()
		}
		if result := drop(e.Effect); result != "" {
			e.done, e.result, e.wait = true, "discarded: "+result, incident.WaitingEffect{}
		}
	}
	m.startLanes()
	return false, nil
}

func (m *memory) EndRestore(_ int64, by string) error {
	if slices.ContainsFunc(m.effects, func(e queuedEffect) bool { return e.held }) {
		return errors.New("effects are held")
	}
	m.paused, m.releasedBy = PausedRestore{}, by
	return nil
}

// hold holds all unfinished effects, as a restore from a backup does. The queue of the lost machine is gone.
func (m *memory) hold(r incident.Restore) {
	m.paused = PausedRestore{Restore: r}
	for n := range m.effects {
		m.effects[n].held = !m.effects[n].done
	}
}

func (m *memory) WaitingEffects(q WaitingQuery) ([]incident.WaitingEffect, error) {
	var out []incident.WaitingEffect
	if q.Started != "" {
		m.startLanes()
		for _, e := range m.effects {
			if e.Key == q.Started && !e.done && (e.started || e.Lane == "" || e.wait.ID != 0) {
				out = append(out, incident.WaitingEffect{ID: e.ID, Kind: e.Kind, Incident: e.Incident, Seq: e.Seq})
			}
		}
		return out, nil
	}
	if q.Behind != 0 {
		lane := m.effects[q.Behind-1].Lane
		if slices.ContainsFunc(m.effects, func(e queuedEffect) bool { return e.Ahead && !e.done && e.Lane == lane }) {
			return nil, nil
		}
		for _, e := range m.effects[q.Behind:] {
			if !e.done && !e.started && lane != "" && e.Lane == lane {
				out = append(out, incident.WaitingEffect{ID: e.ID, Kind: e.Kind, Incident: e.Incident, Seq: e.Seq})
			}
		}
		return out, nil
	}
	for _, e := range m.effects {
		w := e.wait
		if w.ID == 0 || e.done || q.Effect != 0 && q.Effect != e.ID || q.Incident != 0 && q.Incident != e.Incident || q.System != "" && q.System != w.System {
			continue
		}
		out = append(out, w)
	}
	slices.SortStableFunc(out, func(a, b incident.WaitingEffect) int { return a.Since.Compare(b.Since) })
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, nil
}

func (m *memory) ReleaseEffects(q WaitingQuery) (int, error) {
	all := q
	all.Limit = 0
	waits, _ := m.WaitingEffects(all)
	rule, now := q.Release, m.now()
	nth := map[string]int{} // of each kind
	rank := map[int64]int{}
	if !rule.RestedSince.IsZero() {
		slices.SortStableFunc(waits, func(a, b incident.WaitingEffect) int { return a.LastAttempt.Compare(b.LastAttempt) })
	}
	for _, w := range waits {
		if rule.IfQuiet && (w.LastAttempt.After(rule.RestedSince) || !w.NextAttempt.Before(rule.RestedSince) && !w.NextAttempt.After(now)) {
			return 0, nil
		}
	}
	waits = slices.DeleteFunc(waits, func(w incident.WaitingEffect) bool {
		return m.effects[w.ID-1].held || !w.NextAttempt.After(now) || rule.KeepPauses && w.Paused || !rule.RestedSince.IsZero() && w.LastAttempt.After(rule.RestedSince) ||
			rule.Like != nil && (w.Kind != rule.Like.Kind || w.Blocked != rule.Like.Blocked)
	})
	if rule.IfQuiet {
		for _, w := range waits {
			of := fmt.Sprint(w.Kind, w.Blocked)
			nth[of]++
			rank[w.ID] = nth[of]
		}
		slices.SortStableFunc(waits, func(a, b incident.WaitingEffect) int { return rank[a.ID] - rank[b.ID] })
	}
	if q.Limit > 0 && len(waits) > q.Limit {
		waits = waits[:q.Limit]
	}
	for _, w := range waits {
		m.effects[w.ID-1].wait.NextAttempt = now
	}
	return len(waits), nil
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

// PackProofs returns no proofs. The tests of the command line export packs from both databases.
func (m *memory) PackProofs(pack.Query) (pack.Proofs, error) {
	return pack.Proofs{}, incident.Conflict("there is no checkpoint yet")
}

func (m *memory) TrustEvents() ([]trust.Event, error) { return slices.Clone(m.trusted), nil }

func (m *memory) AppendTrust(e trust.Event) (int64, error) {
	e.ID = int64(len(m.trusted) + 1)
	m.trusted = append(slices.Clip(m.trusted), e)
	return e.ID, nil
}
