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
