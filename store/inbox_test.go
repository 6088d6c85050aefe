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

// acceptOne keeps one delivery of an id.
func (s *Store) acceptOne(t *testing.T, id string) {
	t.Helper()
	if err := s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: id, Body: []byte("{}"), Received: noon}}); err != nil {
		t.Fatal(err)
	}
}

func TestADrainThatWaitsTakesWhatComesAndOneThatRunsDoesNot(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		jobs := func() int64 { return s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'drain'") }
		for n := range 5 {
			s.acceptOne(t, fmt.Sprint(n))
		}
		if n := jobs(); n != 1 {
			t.Fatalf("%d jobs while one waits", n)
		}
		type span struct{ from, to int64 }
		began, goOn := make(chan span, 10), make(chan struct{})
		err := s.Run(t.Context(), JobFuncs{Drain: func(_ context.Context, from, to int64) error {
			began <- span{from, to}
			<-goOn
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer close(goOn)
		if got := receive(t, began); got != (span{1, noUpperBound}) {
			t.Errorf("the first drain is of %v", got)
		}
		s.acceptOne(t, "while it runs")
		s.acceptOne(t, "and another")
		if n := jobs(); n != 2 {
			t.Errorf("%d jobs after one began", n)
		}
		goOn <- struct{}{}
		if got := receive(t, began); got != (span{6, noUpperBound}) {
			t.Errorf("the second drain is of %v", got)
		}
	})
}

func TestADrainThatIsPutOffIsNotWaitedFor(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		s.acceptOne(t, "1")
		err := s.tx(t.Context(), func(tx *tx) error {
			return tx.db.Exec("UPDATE river_job SET scheduled_at = '2999-01-01 00:00:00'").Error
		})
		if err != nil {
			t.Fatal(err)
		}
		s.acceptOne(t, "2")
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'drain'"); n != 2 {
			t.Errorf("%d jobs", n)
		}
	})
}

// colliding makes so many transactions fail at their end as two do that meet.
type colliding struct {
	backend
	left int
}

func (c *colliding) tx(ctx context.Context, ahead bool, fn func(*gorm.DB, queueTx) error) error {
	return c.backend.tx(ctx, ahead, func(db *gorm.DB, queue queueTx) error {
		err := fn(db, queue)
		if err == nil && c.left > 0 {
			c.left--
			err = &pgconn.PgError{Code: "40001"}
		}
		return err
	})
}

func TestWhatIsAcceptedIsKeptAlthoughTransactionsCollide(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		c := &colliding{s.backend, 2}
		s.backend = c
		var batch []intake.Delivery
		const all = inboxChunk + 5
		for n := range all {
			batch = append(batch, intake.Delivery{Source: "s", ID: fmt.Sprint(n), Body: []byte("{}"), Received: noon})
		}
		if err := s.Accept(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if c.left != 0 {
			t.Fatalf("%d collisions did not happen", c.left)
		}
		if n := s.count(t, "SELECT count(*) FROM inbox JOIN delivery_bodies ON inbox_id = id"); n != all {
			t.Errorf("%d of %d deliveries are kept", n, all)
		}
		if n := s.count(t, "SELECT count(*) FROM river_job WHERE kind = 'drain'"); n != 1 {
			t.Errorf("%d drains", n)
		}
	})
}

func TestADeliveryIsKeptWhateverBytesItsHeaderHas(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		odd := intake.Delivery{Source: "s", ID: "1", Header: map[string]string{"X-Host": "caf\xe9"}, Body: []byte("{\xff}"), Received: noon}
		if err := s.Accept(t.Context(), []intake.Delivery{odd, {Source: "s", ID: "2", Body: []byte("{}"), Received: noon}}); err != nil {
			t.Fatal(err)
		}
		rows, err := s.Rows(t.Context(), 1, noUpperBound)
		if err != nil || len(rows) != 2 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if got := rows[0].Delivery; got.Header["X-Host"] != "caf\uFFFD" || string(got.Body) != "{\xff}" {
			t.Errorf("kept: %q", got)
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
		if err != nil || len(plain) == 0 || plain[0] != deliveryFormat {
			t.Errorf("got plaintext %q, %v, want the first byte %d", plain, err, deliveryFormat)
		}
	})
}

func TestRowsAreReadAsManyAsFit(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		var batch []intake.Delivery
		for i := range drainRows + 10 {
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
		if diff := cmp.Diff([]int{drainRows, 18, 4}, sizes); diff != "" {
			t.Error(diff)
		}
	})
}

func TestADeliveryIsReadAsItWasWritten(t *testing.T) {
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
		t.Errorf("7,000 bytes are written as %d: %v", len(written), err)
	}
	plain := append(append([]byte{plainFormat, byte(len(about))}, about...), want.Body...)
	for name, data := range map[string][]byte{"now": now, "before": plain, "at first": old} {
		var got sealedDelivery
		if err := got.decode(data); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(want, got))
		}
	}
	for _, bad := range [][]byte{nil, {3}, {2}, {1}, {1, 0x80}, {1, 200, 1}, now[:10], now[:len(now)-2]} {
		if err := new(sealedDelivery).decode(bad); err == nil {
			t.Errorf("%v was read", bad)
		}
	}
}

func TestChunksArePowersOfTwo(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 13: 8, 64: 64, 127: 64, 500: inboxChunk} {
		if got := chunkSize(n, inboxChunk); got != want {
			t.Errorf("of %d rows %d", n, got)
		}
	}
	if got := padToPowerOfTwo([]int64{1, 2, 3, 4, 5}); len(got) != 8 || got[7] != 5 || len(padToPowerOfTwo([]int64(nil))) != 0 {
		t.Errorf("padded to %v", got)
	}
}

func TestADeliveryIsWrittenAheadOfOthers(t *testing.T) {
	s := openTest(t, storetest.SQLite(t))
	g := &s.backend.(*sqliteBackend).gate
	waiting := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.priorityWaiters) + len(g.waiters)
	}
	faults := make(chan error, 2)
	err := s.tx(t.Context(), func(*tx) error {
		go func() {
			faults <- s.tx(t.Context(), func(tx *tx) error {
				var before int64
				err := tx.db.Raw("SELECT count(*) FROM inbox").Scan(&before).Error
				if err == nil && before != 1 {
					err = errors.New("another came before the delivery")
				}
				return err
			})
		}()
		await(t, func() bool { return waiting() == 1 })
		go func() {
			faults <- s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: "1", Body: []byte("{}"), Received: noon}})
		}()
		await(t, func() bool { return waiting() == 2 })
		return nil
	})
	for _, err := range []error{err, receive(t, faults), receive(t, faults)} {
		if err != nil {
			t.Error(err)
		}
	}
}
