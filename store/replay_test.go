package store

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// acceptLarge accepts n deliveries with random bodies, which do not compress.
func acceptLarge(t *testing.T, s *Store, n, size int) {
	t.Helper()
	for i := range n {
		body := make([]byte, size)
		_, _ = rand.Read(body) // never fails
		if err := s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: fmt.Sprint(i), Body: body, Received: noon}}); err != nil {
			t.Fatal(err)
		}
	}
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// eachDelivery returns a callback for Deliveries that calls fn for each delivery.
func eachDelivery(fn func(row int64, d intake.Delivery, sha256 string) error) func([]StoredDelivery) error {
	return func(batch []StoredDelivery) error {
		for _, d := range batch {
			if err := fn(d.Row, d.Delivery, d.SHA256); err != nil {
				return err
			}
		}
		return nil
	}
}

// Reprocess includes the deliveries that led to nothing, and those of which a part could
// not be read. Rows reports what was counted before.
func TestReprocess_UnreadDeliveries(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		acceptLarge(t, s, 5, 10)
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			return tx.MarkHandled([]response.DeliveryOutcome{{Row: 1, Outcome: "opened", Incident: 1}, {Row: 2, Outcome: "opened", Incident: 1, Reason: "1 item", Unread: true},
				{Row: 3, Outcome: "undecodable", Reason: "not JSON", Unread: true}, {Row: 4, Outcome: "watched"}, {Row: 5, Outcome: "opened", Incident: 1, Reason: "1 item", Unread: true}})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			filter DeliveryFilter
			want   string
		}{{DeliveryFilter{Row: 5}, "[5 partly]"}, {DeliveryFilter{}, "[2 partly 3 undecodable 4 counted 5 partly]"}} { // in this order
			filter, want := c.filter, c.want
			if _, err := s.Reprocess(t.Context(), filter); err != nil {
				t.Fatal(err)
			}
			rows, err := s.Rows(t.Context(), 1, 5)
			var got []string
			for _, r := range rows {
				state := fmt.Sprint(r.ID)
				for name, set := range map[string]bool{"partly": r.PartlyRead && r.Reprocessed, "undecodable": r.WasUndecodable && !r.PartlyRead, "counted": r.Reprocessed && !r.PartlyRead} {
					if set {
						state += " " + name
					}
				}
				got = append(got, state)
			}
			if filter.Row != 0 && err == nil {
				err = s.Tx(t.Context(), func(tx response.Tx) error {
					return tx.MarkHandled([]response.DeliveryOutcome{{Row: 5, Outcome: "opened", Incident: 1, Reason: "1 item", Unread: true}})
				})
			}
			if fmt.Sprint(got) != want || err != nil {
				t.Errorf("%+v: got rows %v, %v, want %s", filter, got, err, want)
			}
		}
	})
}

// LastDelivery ignores recordings and replays.
func TestLastDelivery_IsLive(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		if at, _, err := s.LastDelivery(t.Context(), "s"); !at.IsZero() || err != nil {
			t.Errorf("empty inbox: got %v, %v", at, err)
		}
		for n, d := range []intake.Delivery{{Source: "s", Sender: "10.0.0.7"}, {Source: "s", Origin: incident.OriginRecording}, {Source: "other"}} {
			d.ID, d.Received, d.Body = fmt.Sprint(n), noon.Add(time.Duration(n)*time.Minute), []byte("{}")
			if err := s.Accept(t.Context(), []intake.Delivery{d}); err != nil {
				t.Fatal(err)
			}
		}
		if at, sender, err := s.LastDelivery(t.Context(), "s"); !at.Equal(dbTime(noon)) || sender != "10.0.0.7" || err != nil {
			t.Errorf("got %v from %q, %v; want the live delivery", at, sender, err)
		}
	})
}

func TestDeliveries_BoundsMemory(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const n, size = 40, 1 << 20
		acceptLarge(t, s, n, size)
		read, before := 0, heapBytes()
		err := s.Deliveries(t.Context(), DeliveryFilter{}, eachDelivery(func(row int64, d intake.Delivery, _ string) error {
			if read++; int(row) != read || len(d.Body) != size {
				t.Fatalf("delivery %d: got row %d with %d bytes", read, row, len(d.Body))
			}
			if now := heapBytes(); read%10 == 1 && now > before+2*batchBytes+n*size/8 {
				t.Errorf("got %d MiB of heap for a batch", (now-before)>>20)
			}
			return nil
		}))
		if err != nil || read != n {
			t.Errorf("got %d deliveries, %v, want %d", read, err, n)
		}
	})
}

func TestReseal_BoundsMemory(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const n, size = 20, 1 << 20
		acceptLarge(t, s, n, size)
		read := 0
		for _, c := range sealedColumns {
			err := s.forEachBatch(t.Context(), c, func(cells []cell) error {
				size := 0
				for _, cell := range cells {
					size += len(cell.Sealed)
				}
				if size > 9<<20 {
					t.Errorf("%s: got a batch of %d MiB, want at most 9", c.table, size>>20)
				}
				read += len(cells)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if read < n {
			t.Errorf("got %d ciphertexts, want at least %d", read, n)
		}
		if err := s.keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if rewritten, err := s.Reseal(t.Context()); err != nil || rewritten < n {
			t.Errorf("got %d rewritten, %v, want at least %d", rewritten, err, n)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("got problems %v, %v", v.Problems, err)
		}
	})
}
