package store

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// trustRow is a row of the table trust_events.
type trustRow struct {
	ID            int64
	At            time.Time
	Kind          string
	Person        string
	ByPerson      string
	Through       string
	Provider      string
	Fingerprint   string
	SealedDetails []byte
}

// trustCache holds the committed events that were read last. Events never change.
type trustCache struct {
	sync.Mutex
	events []trust.Event
}

// TrustEvents implements [response.Reader].
func (r reader) TrustEvents() ([]trust.Event, error) {
	events, err := r.trustEvents()
	if err != nil {
		return nil, err
	}
	c := &r.s.trust
	c.Lock()
	defer c.Unlock()
	if len(events) > len(c.events) {
		c.events = events
	}
	return events, nil
}

// TrustEvents implements [response.Tx]. It locks the log until the commit, and remembers nothing, because the
// transaction may be rolled back.
func (t domainTx) TrustEvents() ([]trust.Event, error) { return t.trustEvents() }

func (r reader) trustEvents() ([]trust.Event, error) {
	var last int64
	if err := r.db.Raw("SELECT value FROM counters WHERE name = 'trust'" + r.lockClause).Scan(&last).Error; err != nil {
		return nil, fmt.Errorf("count trust events: %w", err)
	}
	c := &r.s.trust
	c.Lock()
	known := slices.Clip(c.events[:min(int64(len(c.events)), last)])
	c.Unlock()
	var after int64
	if n := len(known); n > 0 {
		after = known[n-1].ID
	}
	if after == last {
		return known, nil
	}
	fresh, err := r.readTrustEvents(after)
	if err != nil {
		return nil, err
	}
	return append(known, fresh...), nil
}

// readTrustEvents reads the events after one.
func (r reader) readTrustEvents(after int64) ([]trust.Event, error) {
	var rows []trustRow
	if err := r.db.Raw("SELECT * FROM trust_events WHERE id > ? ORDER BY id", after).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("read trust events: %w", err)
	}
	out := make([]trust.Event, len(rows))
	for n, row := range rows {
		out[n] = trust.Event{ID: row.ID, At: row.At.UTC(), Kind: trust.Kind(row.Kind), Person: incident.PersonID(row.Person), By: incident.PersonID(row.ByPerson),
			Through: row.Through, Provider: row.Provider, Fingerprint: row.Fingerprint}
		if err := r.s.unseal("trust_events", rowKey(row.ID), "sealed_details", row.SealedDetails, &out[n].Details); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// AppendTrust implements [response.Tx].
func (t domainTx) AppendTrust(e trust.Event) (int64, error) {
	var id int64
	if err := t.db.Raw("UPDATE counters SET value = value + 1 WHERE name = 'trust' RETURNING value").Scan(&id).Error; err != nil {
		return 0, fmt.Errorf("number trust event: %w", err)
	}
	sealed, err := t.s.seal("trust_events", rowKey(id), "sealed_details", e.Details)
	if err != nil {
		return 0, err
	}
	err = t.db.Exec("INSERT INTO trust_events (id, at, kind, person, by_person, through, provider, fingerprint, sealed_details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		id, dbTime(e.At), string(e.Kind), string(e.Person), string(e.By), e.Through, e.Provider, e.Fingerprint, sealed).Error
	if err != nil {
		return 0, fmt.Errorf("write trust event: %w", err)
	}
	t.tx.note(subjectTrust, id, id)
	return id, nil
}
