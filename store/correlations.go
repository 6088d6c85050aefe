package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

func (r reader) IncidentsByCorrelation(keys ...string) (map[string]incident.ID, error) {
	keyOf := make(map[string]string, len(keys)) // key of each hash
	for _, key := range keys {
		keyOf[r.s.hash("correlations", "key", key)] = key
	}
	out := map[string]incident.ID{}
	for hashes := range slices.Chunk(slices.Sorted(maps.Keys(keyOf)), listChunk) {
		var rows []struct {
			KeyHash    string
			IncidentID int64
		}
		if err := r.db.Raw("SELECT key_hash, incident_id FROM correlations WHERE live AND key_hash IN ?", padToPowerOfTwo(hashes)).Scan(&rows).Error; err != nil {
			return nil, fmt.Errorf("find incidents: %w", err)
		}
		for _, row := range rows {
			out[keyOf[row.KeyHash]] = incident.ID(row.IncidentID)
		}
	}
	return out, nil
}

func (r reader) EndedIncident(key string, a incident.Alert, since time.Time) (incident.ID, bool, error) {
	if a.Ongoing {
		id, err := r.findIncident(`SELECT c.incident_id FROM correlations AS c JOIN alerts AS a ON a.incident_id = c.incident_id AND a.hash = ?
			WHERE NOT c.live AND c.key_hash = ? ORDER BY c.ended_at DESC LIMIT 1`, r.s.fingerprint(a), r.s.hash("correlations", "key", key))
		if err != nil || id != 0 {
			return id, id != 0, err
		}
	}
	id, err := r.findIncident("SELECT incident_id FROM correlations WHERE NOT live AND key_hash = ? AND ended_at >= ? ORDER BY ended_at DESC LIMIT 1",
		r.s.hash("correlations", "key", key), dbTime(since))
	if err != nil || id == 0 {
		return id, false, err
	}
	occurrences, err := r.countOccurrences(id, a)
	return id, occurrences > 0, err
}

// countOccurrences returns how often an alert occurred in an incident.
func (r reader) countOccurrences(id incident.ID, a incident.Alert) (int64, error) {
	var counts []int64
	if err := r.db.Raw("SELECT count FROM alerts WHERE incident_id = ? AND hash = ?", int64(id), r.s.fingerprint(a)).Scan(&counts).Error; err != nil {
		return 0, fmt.Errorf("find alert: %w", err)
	}
	if len(counts) == 0 {
		return 0, nil
	}
	return counts[0], nil
}

func (r reader) IncidentByLink(name, value string) (incident.ID, error) {
	return r.findIncident("SELECT incident_id FROM links WHERE name = ? AND value_hash = ? ORDER BY incident_id DESC LIMIT 1",
		name, r.s.hash("links", name, value))
}

func (r reader) findIncident(query string, args ...any) (incident.ID, error) {
	var id int64
	if err := r.db.Raw(query, args...).Scan(&id).Error; err != nil {
		return 0, fmt.Errorf("find incident: %w", err)
	}
	return incident.ID(id), nil
}

func (t domainTx) Correlate(key string, id incident.ID) error {
	inserted := t.db.Exec("INSERT INTO correlations (key_hash, incident_id, live) VALUES (?, ?, true) ON CONFLICT (key_hash) WHERE live DO NOTHING",
		t.s.hash("correlations", "key", key), int64(id))
	if inserted.Error != nil {
		return fmt.Errorf("correlate %s: %w", id, inserted.Error)
	}
	if inserted.RowsAffected == 1 {
		return nil
	}
	existing, err := t.IncidentsByCorrelation(key)
	if err == nil && existing[key] != id {
		err = response.ErrCorrelated
	}
	return err
}

func (t domainTx) MoveCorrelations(from, to incident.ID) error {
	if to == 0 {
		if err := t.db.Exec("UPDATE correlations SET live = false, ended_at = ? WHERE live AND incident_id = ?", t.s.now(), int64(from)).Error; err != nil {
			return fmt.Errorf("release correlation keys of %s: %w", from, err)
		}
		return nil
	}
	if err := t.db.Exec("UPDATE correlations SET incident_id = ? WHERE live AND incident_id = ?", int64(to), int64(from)).Error; err != nil {
		return fmt.Errorf("move correlation keys of %s to %s: %w", from, to, err)
	}
	return nil
}

// saveLinks stores hashes of the incident's identifiers in other systems, for [response.Reader.IncidentByLink].
func (t domainTx) saveLinks(inc incident.Incident) error {
	if len(inc.Links) == 0 {
		return nil
	}
	var args []any
	for _, name := range slices.Sorted(maps.Keys(inc.Links)) {
		args = append(args, int64(inc.ID), name, t.s.hash("links", name, inc.Links[name]))
	}
	values := valuesClause("(?, ?, ?)", len(inc.Links))
	err := t.db.Exec("INSERT INTO links (incident_id, name, value_hash) VALUES "+values+
		" ON CONFLICT (incident_id, name) DO UPDATE SET value_hash = excluded.value_hash WHERE links.value_hash <> excluded.value_hash", args...).Error
	if err != nil {
		return fmt.Errorf("link %s: %w", inc.ID, err)
	}
	return nil
}
