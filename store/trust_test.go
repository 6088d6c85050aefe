package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/trust"
	"tocsin/store/storetest"
)

// sampleTrust are events of the log of keys.
func sampleTrust() []trust.Event {
	at := noon.Truncate(time.Microsecond) // as stored
	return []trust.Event{
		{At: at, Kind: trust.PasskeyRegistered, Person: "ada", By: "ada", Through: "okta", Fingerprint: "sha256:01", Details: trust.Details{Credential: []byte{1}, PublicKey: []byte{2}, Record: []byte("{}"), Approval: "sign-in"}},
		{At: at, Kind: trust.Vouched, Person: "bob", By: "ada", Through: "passkey", Fingerprint: "sha256:01", Details: trust.Details{Expires: noon, Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "ada"}}},
		{At: at, Kind: trust.PasskeyRevoked, Person: "ada", By: "ada", Through: "okta", Fingerprint: "sha256:01", Details: trust.Details{Since: noon, Reason: "stolen"}},
	}
}

func (s *Store) addTrust(t testing.TB) (want []trust.Event) {
	t.Helper()
	s.mustTx(t, func(tx response.Tx) error {
		want = sampleTrust()
		for n := range want {
			id, err := tx.AppendTrust(want[n])
			if err != nil {
				return err
			}
			want[n].ID = id
		}
		return nil
	})
	return want
}

// mustHaveTrust reads the log of keys without the cache.
func (s *Store) mustHaveTrust(t testing.TB, want []trust.Event) {
	t.Helper()
	s.trust.Lock()
	s.trust.events = nil
	s.trust.Unlock()
	err := s.View(t.Context(), func(r response.Reader) error {
		got, err := r.TrustEvents()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTrust_Verify changes and deletes events of the log of keys with the database's own means. Verify must find it.
func TestTrust_Verify(t *testing.T) {
	attacks := map[string]string{
		"first deleted":     "DELETE FROM trust_events WHERE id = 1",
		"last deleted":      "DELETE FROM trust_events WHERE id = 3",
		"last forgotten":    "DELETE FROM trust_events WHERE id = 3; UPDATE counters SET value = 2 WHERE name = 'trust'",
		"details exchanged": "UPDATE trust_events SET sealed_details = (SELECT o.sealed_details FROM trust_events AS o WHERE o.id = 1) WHERE id = 3",
		"details cut":       "UPDATE trust_events SET sealed_details = substr(sealed_details, 1, length(sealed_details) - 1) WHERE id = 1",
		"inserted":          "INSERT INTO trust_events (id, at, kind, person, by_person, through, provider, fingerprint, sealed_details) SELECT 4, at, kind, 'eve', by_person, through, provider, fingerprint, sealed_details FROM trust_events WHERE id = 1",
	}
	for _, column := range []string{"kind", "person", "by_person", "through", "provider", "fingerprint"} {
		attacks[column+" changed"] = fmt.Sprintf("UPDATE trust_events SET %s = 'x' WHERE id = 1", column)
	}
	attacks["time changed"] = "UPDATE trust_events SET at = '2020-01-01 00:00:00+00:00' WHERE id = 1"
	storetest.Databases(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		want := w.addTrust(t)
		checkpoint := w.record(t)
		w.mustHaveTrust(t, want)
		w.mustVerify(t, "before the attacks", checkpoint)
		w.sql("CREATE TABLE kept AS SELECT * FROM trust_events")
		for name, attack := range attacks {
			w.sql(attack)
			if v := w.verify(t, checkpoint); len(v.Problems) == 0 {
				t.Errorf("%s: got no problem", name)
			}
			w.sql("DELETE FROM trust_events", "INSERT INTO trust_events SELECT * FROM kept", "UPDATE counters SET value = 3 WHERE name = 'trust'")
		}
		w.mustVerify(t, "after the attacks", checkpoint)
	})
}

// TestTrust_KeptByRotationAndMove rotates the keyset, and moves the log to a database of each kind.
func TestTrust_KeptByRotationAndMove(t *testing.T) {
	directions(t, func(t *testing.T, from, to string) {
		s := openTest(t, from)
		want := s.addTrust(t)
		s.record(t)
		if err := s.keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reseal(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.mustHaveTrust(t, want)
		s.mustVerify(t, "after the rotation")
		data, _ := s.mustExport(t)
		if _, err := importTest(t, to, data, ImportOptions{}); err != nil {
			t.Fatal(err)
		}
		imported := openTest(t, to)
		imported.mustHaveTrust(t, want)
		more := imported.addTrust(t)
		if more[0].ID != 4 {
			t.Errorf("got the id %d, want 4", more[0].ID)
		}
		imported.record(t)
		imported.mustVerify(t, "after the move")
		imported.mustHaveTrust(t, slices.Concat(want, more))
	})
}

// A counter that is ahead of the events, which only a change of the database makes, repeats no event.
func TestTrust_CounterAhead(t *testing.T) {
	s := newWorld(t, storetest.SQLite(t))
	want := s.addTrust(t)
	s.mustHaveTrust(t, want)
	s.sql("UPDATE counters SET value = value + 1 WHERE name = 'trust'")
	for range 2 { // with and without the cache
		err := s.View(t.Context(), func(r response.Reader) error {
			got, err := r.TrustEvents()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
