package store

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/pack"
	"tocsin/bot/response"
	"tocsin/bot/trust"
	"tocsin/store/storetest"
)

// TestPackProofs_KeyEvents opens events of the log of keys as the verifier of a pack reads them.
func TestPackProofs_KeyEvents(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		for _, kind := range []trust.Kind{trust.PasskeyRegistered, trust.PasskeyRevoked} {
			w.mustTx(t, func(tx response.Tx) error {
				_, err := tx.AppendTrust(trust.Event{At: time.Now(), Kind: kind, Person: "p-ada", By: "p-sam", Fingerprint: "sha256:" + strings.Repeat("ab", 32),
					Details: trust.Details{Name: "Key \"1\"\nö", PublicKey: []byte{1, 2}, Credential: []byte{3}}})
				return err
			})
		}
		if _, err := w.RecordChanges(t.Context()); err != nil {
			t.Fatal(err)
		}
		var parts pack.Parts
		err := w.View(t.Context(), func(r response.Reader) (err error) {
			parts = pack.Parts{Incident: 1, At: time.Now()}
			if parts.Timeline, err = r.Timeline(1); err != nil {
				return err
			}
			log, err := r.TrustEvents()
			if err != nil {
				return err
			}
			parts.Proofs, err = r.PackProofs(pack.Query{Incident: 1, Keys: pack.KeyEvents(log, []string{log[0].Fingerprint})})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if people := pack.KeyPeople(parts.Proofs); len(people) != 4 || people[0] != incident.PersonID("p-ada") || people[3] != "p-sam" {
			t.Errorf("got people %v, want those of two events", people)
		}
		data, err := pack.Build(parts)
		if err != nil {
			t.Fatal(err)
		}
		r := pack.Verify(data, pack.Options{Key: parts.Proofs.Verifier, Published: []string{parts.Proofs.Checkpoint}})
		found := false
		for _, c := range r.Checks {
			found = found || c.Result == pack.ResultOK && c.Detail == "the log of keys has 2 events until the checkpoint, and the pack opens 2 of them"
		}
		if !r.Verified || !found {
			t.Errorf("got %+v, want a verified pack with two events", r.Checks)
		}
	})
}
