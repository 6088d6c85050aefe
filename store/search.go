package store

import (
	"fmt"
	"strings"

	"tocsin/bot/incident"
)

// saveMarks adds the marks of an incident.
func (t domainTx) saveMarks(inc incident.Incident) error {
	marks := inc.Marks()
	if len(marks) == 0 {
		return nil
	}
	var args []any
	for _, m := range marks {
		args = append(args, int64(inc.ID), m.Kind, m.Value)
	}
	if err := t.db.Exec("INSERT INTO incident_marks (incident_id, kind, value) VALUES "+valuesClause("(?, ?, ?)", len(marks))+" ON CONFLICT DO NOTHING", args...).Error; err != nil {
		return fmt.Errorf("mark %s: %w", inc.ID, err)
	}
	return nil
}

func (r reader) Search(q incident.Search) ([]incident.Summary, error) {
	query, args := searchQuery(q)
	var rows []incidentRow
	if err := r.db.Raw(query, args...).Scan(&rows).Error; err != nil {
		return nil, fmt.Errorf("search incidents: %w", err)
	}
	out := make([]incident.Summary, len(rows))
	for n, row := range rows {
		var err error
		if out[n], err = r.s.summary(row); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// searchQuery returns the statement of a search. It reads the incidents in the order of the
// list and stops at the limit.
func searchQuery(q incident.Search) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if len(q.Statuses) > 0 {
		add("status IN ?", q.Statuses)
	}
	if len(q.Severities) > 0 {
		add("severity IN ?", q.Severities)
	}
	if !q.From.IsZero() {
		add("opened_at >= ?", dbTime(q.From))
	}
	if !q.Until.IsZero() {
		add("opened_at < ?", dbTime(q.Until))
	}
	for _, m := range []incident.Mark{{Kind: incident.MarkSource, Value: q.Source}, {Kind: incident.MarkPlaybook, Value: q.Playbook},
		{Kind: incident.MarkDepartment, Value: string(q.Department)}, {Kind: incident.MarkPerson, Value: string(q.Person)}} {
		if m.Value != "" {
			add("EXISTS (SELECT 1 FROM incident_marks WHERE incident_id = incidents.id AND kind = ? AND value = ?)", m.Kind, m.Value)
		}
	}
	if q.Readers != nil {
		reads, values := []string{"NOT restricted"}, []any{}
		for _, m := range q.Readers {
			reads, values = append(reads, "EXISTS (SELECT 1 FROM incident_marks WHERE incident_id = incidents.id AND kind = ? AND value = ?)"), append(values, m.Kind, m.Value)
		}
		add("("+strings.Join(reads, " OR ")+")", values...)
	}
	if q.Before.ID != 0 {
		at := dbTime(q.Before.At)
		add("updated_at <= ? AND (updated_at < ? OR id < ?)", at, at, int64(q.Before.ID))
	}
	query = "SELECT id, status, severity, restricted, commander, opened_at, updated_at, review_at, head_seq, origin, sealed_title FROM incidents"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 50
	}
	return query + " ORDER BY updated_at DESC, id DESC LIMIT ?", append(args, limit)
}
