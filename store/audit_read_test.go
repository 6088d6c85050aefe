package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

func auditIDs(list []AuditEntry) (out []int64) {
	for _, e := range list {
		out = append(out, e.ID)
	}
	return out
}

func TestListAudit_Filters(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		start := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
		ada := incident.Person{ID: "p1", Name: "Ada", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "ada@example.com"}}}
		entries := []response.Access{
			{Person: "p1", Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U1"}, Action: "show", Incident: 1, Allowed: true, Reason: "why"},
			{Handle: incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, Action: "export", Allowed: true},
			{Person: "p2", Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U2"}, Action: "command note", Incident: 2},
			{Person: "p1", Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U1"}, Action: "commands", Incident: 2, Allowed: true},
			{Handle: incident.Identity{Provider: incident.ProviderLocal, ID: "Ada"}, Action: "verify", Allowed: true}, // an account of nobody with that name
		}
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			errs := []error{tx.PutDirectory(incident.Directory{People: []incident.Person{ada}, Former: []incident.FormerPerson{{ID: "p2", Name: "Ben"}}})}
			for n, e := range entries {
				e.At = start.Add(time.Duration(n) * time.Hour)
				errs = append(errs, tx.Audit(e))
			}
			return errors.Join(errs...)
		})
		if err != nil {
			t.Fatal(err)
		}
		yes, no := true, false
		for name, c := range map[string]struct {
			q    AuditQuery
			want []int64
		}{
			"all":                   {AuditQuery{}, []int64{5, 4, 3, 2, 1}},
			"name":                  {AuditQuery{Person: "ada"}, []int64{5, 4, 1}},
			"mail address":          {AuditQuery{Person: "ADA@example.com"}, []int64{4, 1}},
			"former person":         {AuditQuery{Person: "Ben"}, []int64{3}},
			"account of nobody":     {AuditQuery{Person: "local:root"}, []int64{2}},
			"unknown person":        {AuditQuery{Person: "eve"}, nil},
			"incident":              {AuditQuery{Incident: 2}, []int64{4, 3}},
			"action":                {AuditQuery{Action: "SHOW"}, []int64{1}},
			"first word of actions": {AuditQuery{Action: "command"}, []int64{3}},
			"period":                {AuditQuery{Since: start.Add(time.Hour), Until: start.Add(3 * time.Hour)}, []int64{3, 2}},
			"denied":                {AuditQuery{Allowed: &no}, []int64{3}},
			"allowed of a person":   {AuditQuery{Allowed: &yes, Person: "p1"}, []int64{4, 1}},
			"next page":             {AuditQuery{Before: 3}, []int64{2, 1}},
		} {
			got, older, err := s.ListAudit(t.Context(), c.q)
			if err != nil || older || !slices.Equal(auditIDs(got), c.want) {
				t.Errorf("%s: got %v, older %v, %v, want %v", name, auditIDs(got), older, err, c.want)
			}
			var each []AuditEntry
			err = s.EachAudit(t.Context(), c.q, func(e AuditEntry) error {
				each = append(each, e)
				return nil
			})
			if slices.Reverse(each); err != nil || !slices.Equal(auditIDs(each), c.want) {
				t.Errorf("%s: got %v, %v from EachAudit, want %v", name, auditIDs(each), err, c.want)
			}
		}
		got, older, err := s.ListAudit(t.Context(), AuditQuery{Limit: 2})
		if err != nil || !older || !slices.Equal(auditIDs(got), []int64{5, 4}) {
			t.Errorf("a limit: got %v, older %v, %v", auditIDs(got), older, err)
		}
		if e := got[1]; e.Name != "Ada" || e.Account.ID != "U1" || !e.At.Equal(start.Add(3*time.Hour)) || e.Incident != 2 {
			t.Errorf("got %+v", e)
		}
	})
}

// TestEachAudit_ManyEntries reads more entries than one batch has, of which one cannot be
// decrypted, while entries are added.
func TestEachAudit_ManyEntries(t *testing.T) {
	const entries = 1234
	s := openTest(t, storetest.SQLite(t))
	add := func(n int) {
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			for i := range n {
				if err := tx.Audit(response.Access{At: time.Now(), Handle: incident.System, Action: "show", Reason: fmt.Sprint(i), Allowed: true}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add(entries)
	if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE audit SET sealed_detail = x'00' WHERE id = 700").Error }); err != nil {
		t.Fatal(err)
	}
	next, unreadable := int64(1), 0
	err := s.EachAudit(t.Context(), AuditQuery{}, func(e AuditEntry) error {
		if e.ID != next {
			return fmt.Errorf("got entry %d, want %d", e.ID, next)
		}
		if next++; e.Unreadable {
			unreadable++
		}
		if e.ID == 100 {
			add(1)
		}
		return nil
	})
	if err != nil || next != entries+1 || unreadable != 1 {
		t.Errorf("got %d entries, %d unreadable, %v, want %d and one", next-1, unreadable, err, entries)
	}
}
