package store

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestProveAudit_ChecksWithoutKeyset gives proofs to an outsider, who has the public key only.
func TestProveAudit_ChecksWithoutKeyset(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		w.mustTx(t, func(tx response.Tx) error { return w.audit(tx) })
		proofs, err := w.ProveAudit(t.Context(), w.last, []int64{4, 1, 5, 99, 1})
		if err != nil || len(proofs) != 2 {
			t.Fatalf("got %d proofs, %v, want those of 1 and 4: 5 is not in the log yet", len(proofs), err)
		}
		text, err := w.NotaryVerifier()
		if err != nil {
			t.Fatal(err)
		}
		public, err := notary.NewVerifier(text)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(proofs[4])
		if err != nil {
			t.Fatal(err)
		}
		var received notary.RowProof
		if err := json.Unmarshal(data, &received); err != nil {
			t.Fatal(err)
		}
		c, err := received.Check(public)
		if err != nil || c.Note != w.last.Note {
			t.Fatalf("Check: got checkpoint %+v, %v", c, err)
		}
		for _, want := range []string{"audit 4\n", "person \"p2\"\n", "action \"show\"\n", "incident_id 1\n", "allowed 1\n"} {
			if !strings.Contains(received.Content, want) {
				t.Errorf("got content %q, want %q in it", received.Content, want)
			}
		}
		for name, change := range map[string]func(*notary.RowProof){
			"content":            func(p *notary.RowProof) { p.Content = strings.Replace(p.Content, "p2", "p3", 1) },
			"salt":               func(p *notary.RowProof) { p.Salt = proofs[1].Salt },
			"number":             func(p *notary.RowProof) { p.ID = 1 },
			"subject":            func(p *notary.RowProof) { p.Subject = subjectAlerts },
			"leaf":               func(p *notary.RowProof) { p.Leaf = proofs[1].Leaf },
			"index":              func(p *notary.RowProof) { p.Index-- },
			"earlier checkpoint": func(p *notary.RowProof) { p.Checkpoint = w.first.Note },
			"foreign checkpoint": func(p *notary.RowProof) { p.Checkpoint = w.foreignSigner()(c) },
		} {
			changed := received
			change(&changed)
			if _, err := changed.Check(public); err == nil {
				t.Errorf("%s changed: got no error", name)
			}
		}
		w.sql("UPDATE audit SET person = 'eve' WHERE id = 1")
		if _, err := w.ProveAudit(t.Context(), w.last, []int64{1}); !errors.Is(err, ErrNotVouched) {
			t.Errorf("changed entry: got error %v, want ErrNotVouched", err)
		}
	})
}
