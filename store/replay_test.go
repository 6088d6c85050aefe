package store

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"

	"tocsin/bot/intake"
	"tocsin/store/storetest"
)

// large keeps deliveries whose bodies compress to nothing smaller.
func large(t *testing.T, s *Store, n, size int) {
	t.Helper()
	for i := range n {
		body := make([]byte, size)
		_, _ = rand.Read(body) // never fails
		if err := s.Accept(t.Context(), []intake.Delivery{{Source: "s", ID: fmt.Sprint(i), Body: body, Received: noon}}); err != nil {
			t.Fatal(err)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestLargeDeliveriesAreNotAllReadAtOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const n, size = 40, 1 << 20
		large(t, s, n, size)
		read, before := 0, heap()
		err := s.Deliveries(t.Context(), DeliveryFilter{}, func(row int64, d intake.Delivery, _ string) error {
			if read++; int(row) != read || len(d.Body) != size {
				t.Fatalf("delivery %d is row %d with %d bytes", read, row, len(d.Body))
			}
			if now := heap(); read%10 == 1 && now > before+2*batchBytes+n*size/8 {
				t.Errorf("%d MiB are held for a batch", (now-before)>>20)
			}
			return nil
		})
		if err != nil || read != n {
			t.Errorf("%d of %d are read, %v", read, n, err)
		}
	})
}

func TestLargeCiphertextsAreNotAllReadAtOnce(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const n, size = 20, 1 << 20
		large(t, s, n, size)
		read := 0
		for _, c := range sealedColumns {
			err := s.each(t.Context(), c, func(cells []cell) error {
				held := 0
				for _, cell := range cells {
					held += len(cell.Sealed)
				}
				if held > 9<<20 {
					t.Errorf("%s: %d MiB are held for a batch", c.table, held>>20)
				}
				read += len(cells)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if read < n {
			t.Errorf("%d of %d are read", read, n)
		}
		if err := s.keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if rewritten, err := s.Reseal(t.Context()); err != nil || rewritten < n {
			t.Errorf("%d are rewritten, %v", rewritten, err)
		}
		if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) > 0 {
			t.Errorf("%v, %v", v.Problems, err)
		}
	})
}
