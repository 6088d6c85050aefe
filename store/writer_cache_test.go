package store

import (
	"errors"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestTx_ReadsWhatIsCommitted reads an incident and the directory before and after they
// change in transactions that roll back and that commit.
func TestTx_ReadsWhatIsCommitted(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.openIncident(t, "keys leaked")
		rollBack := errors.New("roll back")
		change := func(name string, seq int, end error) {
			t.Helper()
			err := s.Tx(t.Context(), func(tx response.Tx) error {
				inc, err := tx.Incident(1)
				if err != nil || inc.Head.Seq != seq-1 {
					t.Errorf("%s: got %d events before, %v, want %d", name, inc.Head.Seq, err, seq-1)
				}
				if _, err := saveEvents(tx, inc, newEvent(incident.EventNoted, nil, "text", name)); err != nil {
					return err
				}
				if err := tx.PutDirectory(incident.Directory{People: []incident.Person{{ID: incident.PersonID(name)}}}); err != nil {
					return err
				}
				inc, err = tx.Incident(1)
				d, err2 := tx.Directory()
				if err := errors.Join(err, err2); err != nil || inc.Head.Seq != seq || len(d.People) != 1 || string(d.People[0].ID) != name {
					t.Errorf("%s, in its transaction: got %d events and %+v, %v", name, inc.Head.Seq, d.People, err)
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
		}
		read := func(when, person string, seq int) {
			t.Helper()
			for range 2 {
				s.mustTx(t, func(tx response.Tx) error {
					inc, err := tx.Incident(1)
					d, err2 := tx.Directory()
					if len(d.People) != min(1, len(person)) || len(d.People) == 1 && string(d.People[0].ID) != person || inc.Head.Seq != seq {
						t.Errorf("%s: got %d events and %+v, want %d and %q", when, inc.Head.Seq, d.People, seq, person)
					}
					return errors.Join(err, err2)
				})
			}
		}
		read("at first", "", 1)
		change("one", 2, rollBack)
		read("after a rollback", "", 1)
		change("two", 2, nil)
		read("after a commit", "two", 2)
		change("three", 3, rollBack)
		read("after another rollback", "two", 2)
	})
}
