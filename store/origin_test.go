package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

var origins = []incident.Origin{incident.OriginLive, incident.OriginReplay, incident.OriginDrill, incident.OriginRecording}

// storedOrigins returns the origin of each unhandled delivery by its id.
func (s *Store) storedOrigins(t *testing.T) map[string][]incident.Origin {
	t.Helper()
	rows, err := s.Rows(t.Context(), 1, noUpperBound)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]incident.Origin{}
	for _, row := range rows {
		out[row.Delivery.ID] = append(out[row.Delivery.ID], row.Origin)
		err := s.View(t.Context(), func(r response.Reader) error {
			found, err := r.Deliveries(response.DeliveryQuery{Rows: []int64{row.ID}, Bodies: true})
			if len(found) != 1 || found[0].Stored.Origin != row.Origin {
				t.Errorf("delivery %s: got %+v for people, want origin %s", row.Delivery.ID, found, row.Origin)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	exported := map[string][]incident.Origin{}
	err = s.Deliveries(t.Context(), DeliveryFilter{}, eachDelivery(func(_ int64, d intake.Delivery, _ string) error {
		exported[d.ID] = append(exported[d.ID], d.Origin)
		return nil
	}))
	if diff := cmp.Diff(out, exported); err != nil || diff != "" {
		t.Errorf("exported deliveries: %v, %s", err, diff)
	}
	return out
}

// A delivery that is not live does not suppress the live one with its id. A recording
// of a delivery that the sender sent changes nothing.
func TestAccept_OriginsDoNotSuppressEachOther(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		accept := func(ds ...intake.Delivery) {
			t.Helper()
			for n := range ds {
				ds[n].Source, ds[n].Body, ds[n].Received = "s", []byte("{}"), noon
			}
			if err := s.Accept(t.Context(), ds); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range []incident.Origin{incident.OriginRecording, incident.OriginDrill, incident.OriginReplay, incident.OriginLive} {
			for range 2 {
				accept(intake.Delivery{ID: "a", Origin: o})
			}
		}
		accept(intake.Delivery{ID: "b"}, intake.Delivery{ID: "c"})
		accept(intake.Delivery{ID: "b", Origin: incident.OriginRecording}, intake.Delivery{ID: "d", Origin: incident.OriginRecording}, intake.Delivery{ID: "c", Origin: incident.OriginDrill})
		want := map[string][]incident.Origin{
			"a": {incident.OriginRecording, incident.OriginDrill, incident.OriginReplay, incident.OriginLive},
			"b": {incident.OriginLive}, "c": {incident.OriginLive, incident.OriginDrill}, "d": {incident.OriginRecording},
		}
		if diff := cmp.Diff(want, s.storedOrigins(t)); diff != "" {
			t.Error(diff)
		}
	})
}

// Old rows have no origin. A header, which senders could not set, marked those that
// were not live. In a new row such a header has no meaning.
func TestRows_TranslateHeadersOfOldRows(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		headers := map[string]map[string]string{
			"live": {"X-Other": "yes"}, "recording": {oldHeaderRecorded: "yes"}, "replay": {oldHeaderRecorded: "yes", oldHeaderDrill: "yes"}, "old drill": {oldHeaderDrill: "yes"},
		}
		want := map[string][]incident.Origin{"live": {incident.OriginLive}, "recording": {incident.OriginRecording}, "replay": {incident.OriginReplay}, "old drill": {incident.OriginReplay}}
		var rows []inboxInsert
		for id, header := range headers {
			row := inboxInsert{source: "s", hash: s.hash("inbox", "delivery", "s", id), received: dbTime(noon)}
			var err error
			row.sealed, err = s.seal("inbox", inboxKey("s", row.hash), "sealed_body", sealedDelivery{ID: id, Header: header, Body: []byte("{}")})
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
		err := s.tx(t.Context(), func(tx *tx) error {
			_, err := tx.insertDeliveries(rows)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, header := range headers { // a source may store any header
			if err := s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: "forged " + id, Header: header, Body: []byte("{}"), Received: noon}}); err != nil {
				t.Fatal(err)
			}
			want["forged "+id] = []incident.Origin{incident.OriginLive}
		}
		if diff := cmp.Diff(want, s.storedOrigins(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRows_RejectUnknownOrigin(t *testing.T) {
	if o, err := (sealedDelivery{Origin: "rehearsal"}).origin(); o != incident.OriginLive || incident.CodeOf(err) != incident.CodeInvalid {
		t.Errorf("got origin %s, error %v", o, err)
	}
}

// Summaries have the origin. Only live alerts are counted.
func TestOrigin_SummariesAndCounts(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var want []incident.Origin
		for n, o := range origins {
			s.mustTx(t, func(tx response.Tx) error {
				id, err := tx.NewID()
				if err != nil {
					return err
				}
				_, err = saveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
					newEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2", "restricted": "true", "origin": string(o)}, "title", "x"))
				return err
			})
			want = append([]incident.Origin{o}, want...)
			s.mustTx(t, func(tx response.Tx) error {
				a := incident.Alert{Source: "s", Kind: "k", Fingerprint: "f"}.WithOrigin(o)
				_, before, err := tx.CountAlert(response.WatchedAlerts, a, int64(n+1), noon, response.RoutingDecision{})
				if before != 0 {
					t.Errorf("%s: got a count of %d before, want 0", o, before)
				}
				return err
			})
		}
		s.mustTx(t, func(tx response.Tx) error {
			list, err := tx.Summaries(incident.Filter{})
			if err != nil {
				return err
			}
			var got []incident.Origin
			for _, row := range list {
				got = append(got, row.Origin)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			counts, err := tx.CountAlerts(response.WatchedAlerts, noon.Add(-time.Hour))
			if total := incident.SumAlerts(counts); err != nil || total.Alerts != 1 || total.Occurrences != 1 {
				t.Errorf("got %+v, %v; want the live one", counts, err)
			}
			return nil
		})
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("got %+v, %v, want no problems", v, err)
		}
		if err := s.tx(t.Context(), func(tx *tx) error { return tx.db.Exec("UPDATE incidents SET origin = 'drill' WHERE id = 1").Error }); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) != 1 {
			t.Errorf("changed origin: got %+v, %v, want a problem", v, err)
		}
	})
}
