package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tocsin/bot/intake"
	"tocsin/bot/intake/intaketest"
	"tocsin/store/storetest"
)

// FuzzEvidence checks that an accepted delivery is returned with an equal body, SHA-256 and header, where invalid UTF-8
// is replaced. Accepting it again must change nothing.
func FuzzEvidence(f *testing.F) {
	keys, err := testKeys()
	if err != nil {
		f.Fatal(err)
	}
	s, err := Open(f.Context(), Config{URL: storetest.SQLite(f)}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Add("d-1", "issue", []byte(`{"a":1}`))
	f.Add("", "", []byte{})
	f.Add("\x00\xff", "\xff'; --", []byte("\x00\x1f\x8b\xff"))
	f.Add("big", "x", bytes.Repeat([]byte("abc"), 30_000))
	seeds := intaketest.Fixtures(f, "../bot/sentry/testdata/documented/*.json", "../bot/cloudtrail/testdata/eventbridge/*/*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "sentry/*.json", "aws-eventbridge/*/*.json")...) {
		f.Add("", "issue", p.Body)
	}
	f.Fuzz(func(t *testing.T, id, header string, body []byte) {
		id = strings.ToValidUTF8(id, "?") // the edge accepts only valid UTF-8
		readable := string([]rune(header))
		in := intake.Delivery{Source: "sentry", ID: id, Header: map[string]string{"Sentry-Hook-Resource": header}, Body: bytes.Clone(body), Received: dbTime(noon), Sender: "10.0.0.1"}
		if err := s.Accept(t.Context(), []intake.Delivery{in, in}); err != nil {
			t.Fatal(err)
		}
		if err := s.Accept(t.Context(), []intake.Delivery{in}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in.Body, body) {
			t.Fatal("Accept changed the body")
		}
		seen := 0
		err := s.Deliveries(t.Context(), DeliveryFilter{}, eachDelivery(func(row int64, d intake.Delivery, sha256 string) error {
			if d.ID != id {
				return nil
			}
			seen++
			if !bytes.Equal(d.Body, body) || sha256 != bodyHash(body) || d.Header["Sentry-Hook-Resource"] != readable || d.Sender != in.Sender || !d.Received.Equal(in.Received) {
				t.Errorf("row %d: got body %q, header %q, SHA-256 %s", row, d.Body, d.Header, sha256)
			}
			return nil
		}))
		if err != nil || seen != 1 {
			t.Fatalf("got %d deliveries, %v, want 1", seen, err)
		}
		err = s.tx(t.Context(), func(t *tx) error {
			return errors.Join(t.db.Exec("DELETE FROM delivery_bodies").Error, t.db.Exec("DELETE FROM inbox").Error, t.deleteJobs("true"))
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
