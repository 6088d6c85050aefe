package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
)

// AuditQuery selects entries of the audit log that match every field that is set.
type AuditQuery struct {
	// Person is a name, an account or an id. The entries are those of the people with it, and those of an account with it
	// that belongs to nobody.
	Person   string      `json:"person,omitempty"`
	Incident incident.ID `json:"incident,omitempty"`
	Action   string      `json:"action,omitempty"` // or its first words
	Since    time.Time   `json:"since,omitzero"`
	Until    time.Time   `json:"until,omitzero"` // exclusive
	Allowed  *bool       `json:"allowed,omitempty"`
	Before   int64       `json:"before,omitempty"` // only entries with a smaller number
	Limit    int         `json:"limit,omitempty"`  // of [Store.ListAudit]
	IDs      []int64     `json:"ids,omitempty"`    // numbers of entries
}

// AuditEntry is an entry of the audit log. Its texts are decrypted.
type AuditEntry struct {
	ID       int64             `json:"id"`
	At       time.Time         `json:"at"`
	Person   incident.PersonID `json:"person,omitempty"` // absent if the account belongs to nobody
	Name     string            `json:"name,omitempty"`   // of the person
	Account  incident.Identity `json:"account"`
	Action   string            `json:"action"`
	Incident incident.ID       `json:"incident,omitempty"`
	Allowed  bool              `json:"allowed"`
	Reason   string            `json:"reason,omitempty"`
	// Unreadable reports that account and reason cannot be decrypted. [Store.Verify] names the cause.
	Unreadable bool `json:"unreadable,omitempty"`
}

const (
	defaultAuditLimit = 50
	// MaxAuditLimit is the maximum number of entries of one list.
	MaxAuditLimit = 1000
)

// ListAudit returns the newest entries that match, the newest first. older reports whether there are others before them.
func (s *Store) ListAudit(ctx context.Context, q AuditQuery) (list []AuditEntry, older bool, err error) {
	limit := defaultAuditLimit
	if q.Limit > 0 {
		limit = min(q.Limit, MaxAuditLimit)
	}
	list = []AuditEntry{}
	err = s.eachAudit(ctx, q, true, func(e AuditEntry) (more bool, err error) {
		if older = len(list) == limit; older {
			return false, nil
		}
		list = append(list, e)
		return true, nil
	})
	return list, older, err
}

// EachAudit calls fn for each entry that matches, the oldest first, until fn returns an error. It holds one batch of
// entries in memory. Entries that are written meanwhile are left out.
func (s *Store) EachAudit(ctx context.Context, q AuditQuery, fn func(AuditEntry) error) error {
	return s.eachAudit(ctx, q, false, func(e AuditEntry) (bool, error) { return true, fn(e) })
}

// auditBatch is the maximum number of entries of one read.
const auditBatch = 500

func (s *Store) eachAudit(ctx context.Context, q AuditQuery, newestFirst bool, fn func(AuditEntry) (more bool, err error)) error {
	search := auditSearch{AuditQuery: q}
	last := q.Before
	if err := s.view(ctx, func(db *gorm.DB) error {
		dir, err := reader{s, db, ""}.Directory()
		if err != nil {
			return err
		}
		search.names, search.people = dir.Names(), dir.PeopleNamed(q.Person)
		if last > 0 {
			return nil
		}
		return db.Raw("SELECT coalesce(max(id), 0) + 1 FROM audit").Scan(&last).Error
	}); err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	for from := int64(0); ; {
		rows, err := s.readAudit(ctx, search, from, last, newestFirst)
		if err != nil {
			return err
		}
		for _, row := range rows {
			e := s.auditEntry(row)
			if !search.matchesPerson(e) {
				continue
			}
			e.Name = search.names[e.Person]
			if more, err := fn(e); err != nil || !more {
				return err
			}
		}
		if len(rows) < auditBatch {
			return nil
		}
		if end := rows[len(rows)-1].ID; newestFirst {
			last = end
		} else {
			from = end
		}
	}
}

// auditSearch is a query with the people it names and the names of all people.
type auditSearch struct {
	AuditQuery
	people []incident.PersonID
	names  map[incident.PersonID]string
}

// readAudit returns the next rows between two ids, both exclusive.
func (s *Store) readAudit(ctx context.Context, q auditSearch, from, last int64, newestFirst bool) (rows []auditRow, err error) {
	where, args := q.sqlCondition()
	order := "id"
	if newestFirst {
		order = "id DESC"
	}
	err = s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT id, at, person, action, incident_id, allowed, sealed_detail FROM audit WHERE id > ? AND id < ?"+where+" ORDER BY "+order+" LIMIT ?",
			slices.Concat([]any{from, last}, args, []any{auditBatch})...).Scan(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return rows, nil
}

// sqlCondition returns the conditions on the clear columns. Entries with an unknown account match as well, because the
// account is encrypted.
func (q auditSearch) sqlCondition() (where string, args []any) {
	add := func(condition string, values ...any) {
		where, args = where+" AND "+condition, append(args, values...)
	}
	switch {
	case len(q.people) > 0:
		add("(person = '' OR person IN ?)", q.people)
	case q.Person != "":
		add("person = ''")
	}
	if len(q.IDs) > 0 {
		add("id IN ?", q.IDs)
	}
	if q.Incident != 0 {
		add("incident_id = ?", int64(q.Incident))
	}
	if q.Action != "" {
		action := strings.ToLower(strings.Join(strings.Fields(q.Action), " "))
		add("(action = ? OR substr(action, 1, ?) = ?)", action, len(action)+1, action+" ")
	}
	if !q.Since.IsZero() {
		add("at >= ?", dbTime(q.Since))
	}
	if !q.Until.IsZero() {
		add("at < ?", dbTime(q.Until))
	}
	if q.Allowed != nil {
		add("allowed = ?", *q.Allowed)
	}
	return where, args
}

func (q auditSearch) matchesPerson(e AuditEntry) bool {
	switch {
	case q.Person == "":
		return true
	case e.Person != "":
		return slices.Contains(q.people, e.Person)
	}
	return strings.EqualFold(e.Account.ID, q.Person) || strings.EqualFold(e.Account.String(), q.Person)
}

func (s *Store) auditEntry(row auditRow) AuditEntry {
	var detail auditDetail
	err := s.unseal("audit", rowKey(row.ID), "sealed_detail", row.SealedDetail, &detail)
	return AuditEntry{ID: row.ID, At: row.At.UTC(), Person: incident.PersonID(row.Person), Account: detail.Handle, Action: row.Action,
		Incident: incident.ID(row.IncidentID), Allowed: row.Allowed, Reason: detail.Reason, Unreadable: err != nil}
}
