package store

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
)

// TestMoveTo_CommitmentsAreEqual compares what the notary vouches for before and after a move to the other engine.
func TestMoveTo_CommitmentsAreEqual(t *testing.T) {
	commitments := func(s *Store) map[string]string {
		t.Helper()
		out := map[string]string{}
		err := s.view(t.Context(), func(db *gorm.DB) error {
			for n := range subjects {
				sub := &subjects[n]
				for r := range sub.relations {
					err := s.readRows(db, sub, &sub.relations[r], rowFilter{"> ?", []any{0}, 100}, func(row *notedRow) error {
						out[fmt.Sprint(sub.name, " ", row.table, " ", row.id)] = row.commitment.String() + " " + row.detail
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	directions(t, func(t *testing.T, from, to string) {
		s := openTest(t, from)
		fillTables(t, s)
		if _, err := moveTest(t, s, to); err != nil {
			t.Fatal(err)
		}
		want := commitments(s)
		if diff := cmp.Diff(want, commitments(openTest(t, to))); diff != "" || len(want) < 20 {
			t.Errorf("%d rows: %s", len(want), diff)
		}
	})
}
