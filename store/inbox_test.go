package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"

	"tocsin/bot/intake"
	"tocsin/store/storetest"
)

// acceptOne accepts one delivery with an id.
func (s *Store) acceptOne(t *testing.T, id string) {
	t.Helper()
	if err := s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: id, Body: []byte("{}"), Received: noon}}); err != nil {
		t.Fatal(err)
	}
}

func TestAccept_ReusesWaitingDrainOnly(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		jobs := func() int64 { return s.countJobs(t, "kind = 'drain'") }
		for n := range 5 {
			s.acceptOne(t, fmt.Sprint(n))
		}
		if n := jobs(); n != 1 {
			t.Fatalf("got %d drains before one starts, want 1", n)
		}
		type span struct{ from, to int64 }
		started, resume := make(chan span, 10), make(chan struct{})
		err := s.Run(t.Context(), JobFuncs{Drain: func(_ context.Context, from, to int64) error {
			started <- span{from, to}
			<-resume
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer close(resume)
		if got := receive(t, started); got != (span{1, noUpperBound}) {
			t.Errorf("first drain: got %v, want from 1", got)
		}
		s.acceptOne(t, "during the drain")
		s.acceptOne(t, "and another")
		if n := jobs(); n != 2 {
			t.Errorf("got %d drains after one started, want 2", n)
		}
		resume <- struct{}{}
		if got := receive(t, started); got != (span{6, noUpperBound}) {
			t.Errorf("second drain: got %v, want from 6", got)
		}
	})
}

func TestAccept_IgnoresPostponedDrain(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.acceptOne(t, "1")
		err := s.tx(t.Context(), func(tx *tx) error {
			return tx.updateJobs("scheduled_at = '2999-01-01 00:00:00' WHERE true")
		})
		if err != nil {
			t.Fatal(err)
		}
		s.acceptOne(t, "2")
		if n := s.countJobs(t, "kind = 'drain'"); n != 2 {
			t.Errorf("got %d drains, want 2", n)
		}
	})
}

// conflictingBackend makes a number of transactions fail with a serialization error.
type conflictingBackend struct {
	backend
	remaining int
}

func (c *conflictingBackend) tx(ctx context.Context, priority bool, fn func(*gorm.DB, queueTx) error) error {
	return c.backend.tx(ctx, priority, func(db *gorm.DB, queue queueTx) error {
		err := fn(db, queue)
		if err == nil && c.remaining > 0 {
			c.remaining--
			err = &pgconn.PgError{Code: "40001"}
		}
		return err
	})
}

func TestAccept_RetriesOnConflict(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		c := &conflictingBackend{s.backend, 2}
		s.backend = c
		var batch []intake.Delivery
		const all = inboxChunk + 5
		for n := range all {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if c.remaining != 0 {
			t.Fatalf("got %d conflicts left, want 0", c.remaining)
		}
		if n := s.count(t, "SELECT count(*) FROM inbox JOIN delivery_bodies ON inbox_id = id"); n != all {
			t.Errorf("got %d deliveries, want %d", n, all)
		}
		if n := s.countJobs(t, "kind = 'drain'"); n != 1 {
			t.Errorf("got %d drains, want 1", n)
		}
	})
}

func TestAccept_InvalidUTF8Header(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		odd := intake.Delivery{Source: "s", ID: "1", Header: map[string]string{"X-Host": "caf\xe9"}, Body: []byte("{\xff}"), Received: noon}
		if err := s.Accept(t.Context(), []intake.Delivery{odd, {Source: "s", ID: "2", Body: []byte("{}"), Received: noon}}); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(t.Context(), 1, noUpperBound)
		if err != nil || len(rows) != 2 {
			t.Fatalf("got %d rows, %v, want 2", len(rows), err)
		}
		if got := rows[0].Delivery; got.Header["X-Host"] != "caf\uFFFD" || string(got.Body) != "{\xff}" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAccept_StoresEvaluation(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		batch := []intake.Delivery{{Source: "s", ID: "1", Body: []byte("{}"), Received: noon, Evaluation: "rules 1 2"}, {Source: "s", ID: "2", Body: []byte("{}"), Received: noon}}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(t.Context(), 1, noUpperBound)
		if err != nil || len(rows) != 2 || rows[0].Evaluation != "rules 1 2" || rows[1].Evaluation != "" {
			t.Errorf("got %+v, %v, want the evaluation of the first delivery", rows, err)
		}
	})
}

func TestAccept_StoresCompressedBodies(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.acceptOne(t, "1")
		var row inboxRow
		err := s.view(t.Context(), func(db *gorm.DB) error {
			return db.Raw("SELECT source, delivery_hash, sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id").Scan(&row).Error
		})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := s.keys.Open(row.SealedBody, associatedData("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body"))
		if err != nil || len(plain) == 0 || plain[0] != formatCompressed {
			t.Errorf("got plaintext %q, %v, want the first byte %d", plain, err, formatCompressed)
		}
	})
}

func TestRows_LimitsCountAndSize(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var batch []intake.Delivery
		for i := range maxDrainRows + 10 {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(i), Body: []byte("{}"), Received: noon})
		}
		for i := range 12 {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint("large", i), Body: make([]byte, 1<<20), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for from := int64(0); ; {
			rows, err := s.Rows(t.Context(), from, noUpperBound)
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			sizes, from = append(sizes, len(rows)), rows[len(rows)-1].ID+1
		}
		if diff := cmp.Diff([]int{maxDrainRows, 18, 4}, sizes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSealedDelivery_RoundTrip(t *testing.T) {
	want := sealedDelivery{ID: "d", Header: map[string]string{"A": "b"}, Body: []byte("{\x00\xff}"), SHA256: "h", Sender: "10.0.0.1", Verified: "hmac"}
	old, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	about, err := json.Marshal(sealedDelivery{ID: want.ID, Header: want.Header, SHA256: want.SHA256, Sender: want.Sender, Verified: want.Verified})
	if err != nil {
		t.Fatal(err)
	}
	now, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	long := sealedDelivery{Body: bytes.Repeat([]byte("a body "), 1000)}
	if written, err := long.encode(); err != nil || len(written) > 1000 {
		t.Errorf("got %d bytes for a body of 7,000, %v, want at most 1,000", len(written), err)
	}
	plain := append(append([]byte{formatUncompressed, byte(len(about))}, about...), want.Body...)
	for name, data := range map[string][]byte{"compressed": now, "uncompressed": plain, "json": old} {
		var got sealedDelivery
		if err := got.decode(data); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(want, got))
		}
	}
	for _, bad := range [][]byte{nil, {3}, {2}, {1}, {1, 0x80}, {1, 200, 1}, now[:10], now[:len(now)-2]} {
		if err := new(sealedDelivery).decode(bad); err == nil {
			t.Errorf("%v: got no error", bad)
		}
	}
}

func TestChunkSize_PowersOfTwo(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 13: 8, 64: 64, 127: 64, 500: inboxChunk} {
		if got := chunkSize(n, inboxChunk); got != want {
			t.Errorf("%d rows: got %d, want %d", n, got, want)
		}
	}
	if got := padToPowerOfTwo([]int64{1, 2, 3, 4, 5}); len(got) != 8 || got[7] != 5 || len(padToPowerOfTwo([]int64(nil))) != 0 {
		t.Errorf("got %v, want 8 ids that end with 5", got)
	}
}

func TestAccept_HasWritePriority(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	m := &s.backend.(*sqliteBackend).writerMutex
	waiting := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.priorityWaiters) + len(m.waiters)
	}
	errs := make(chan error, 2)
	err := s.tx(t.Context(), func(*tx) error {
		go func() {
			errs <- s.tx(t.Context(), func(tx *tx) error {
				var before int64
				err := tx.db.Raw("SELECT count(*) FROM inbox").Scan(&before).Error
				if err == nil && before != 1 {
					err = errors.New("transaction ran before the delivery was written")
				}
				return err
			})
		}()
		waitUntil(t, func() bool { return waiting() == 1 })
		go func() {
			errs <- s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: "1", Body: []byte("{}"), Received: noon}})
		}()
		waitUntil(t, func() bool { return waiting() == 2 })
		return nil
	})
	for _, err := range []error{err, receive(t, errs), receive(t, errs)} {
		if err != nil {
			t.Error(err)
		}
	}
}
