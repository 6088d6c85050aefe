package store

import (
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestDecoded_ChangedRow reads an incident twice, and again after the row changed behind
// the store's back: the value that was decoded before must not hide the change.
func TestDecoded_ChangedRow(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "first")
		s.openIncident(t, "second")
		read := func() (inc incident.Incident, err error) {
			err = s.View(t.Context(), func(r response.Reader) (err error) {
				inc, err = r.Incident(1)
				return err
			})
			return inc, err
		}
		for range 2 {
			if inc, err := read(); err != nil || inc.Title != "first" {
				t.Fatalf("got %q, %v, want the title of the first incident", inc.Title, err)
			}
		}
		for what, tamper := range map[string]string{
			"state of another incident": "UPDATE incidents SET sealed_state = (SELECT sealed_state FROM incidents WHERE id = 2) WHERE id = 1",
			"another number of events":  "UPDATE incidents SET head_seq = head_seq + 1 WHERE id = 1",
		} {
			if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec(tamper).Error }); err != nil {
				t.Fatal(err)
			}
			if inc, err := read(); err == nil {
				t.Errorf("%s: got %q, want an error", what, inc.Title)
			}
		}
	})
}

// TestDecoded_ErasedTexts erases a text and requires that no state with the text stays in memory.
func TestDecoded_ErasedTexts(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		inc := s.openIncident(t, "secret title")
		s.mustTx(t, func(tx response.Tx) error {
			inc, err := tx.Incident(inc.ID)
			if err != nil {
				return err
			}
			erase, _ := incident.Seal(inc.Head, incident.Event{Kind: incident.EventErased, RecordedAt: s.now()}, func() []byte { return make([]byte, 32) })
			inc = incident.Apply(inc, erase)
			return tx.Save(inc, []incident.Event{erase}, incident.TextRef{Seq: 1, Name: "title"})
		})
		for _, id := range s.incidents.rows.Keys() {
			if row, _ := s.incidents.rows.Peek(id); row.value.Title != "" {
				t.Errorf("got title %q of incident %d in memory, want none", row.value.Title, id)
			}
		}
	})
}

// TestVerify_ReadsStoredState changes a state in memory only. Verify must check the one in the database.
func TestVerify_ReadsStoredState(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		id := int64(s.openIncident(t, "first").ID)
		row, ok := s.incidents.rows.Get(id)
		if !ok {
			t.Fatal("got no state in memory, want the saved one")
		}
		row.value.Title = "changed"
		s.incidents.rows.Add(id, row)
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("got %+v, %v, want no problem", v.Problems, err)
		}
	})
}
