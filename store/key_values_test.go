package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

func TestValues_ExpireAndReseal(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s, now := openWithClock(t, url)
		read := func() (out map[string][]byte) {
			s.mustTx(t, func(tx response.Tx) (err error) {
				out, err = tx.Values(response.NamespaceCorrelation, "short", "long", "none")
				return err
			})
			return out
		}
		for _, text := range []string{`{"n":1}`, `{"n":2}`} {
			s.mustTx(t, func(tx response.Tx) error {
				if _, err := tx.Values(response.NamespaceCorrelation, "long", "short"); err != nil {
					return err
				}
				if err := tx.PutValue(response.NamespaceCorrelation, "short", []byte(text), noon.Add(time.Hour)); err != nil {
					return err
				}
				return tx.PutValue(response.NamespaceCorrelation, "long", []byte(text), noon.Add(48*time.Hour))
			})
		}
		if got := read(); string(got["short"]) != `{"n":2}` || string(got["long"]) != `{"n":2}` || got["none"] != nil {
			t.Errorf("got windows %s", got)
		}
		if err := s.keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reseal(t.Context()); err != nil {
			t.Error(err)
		}
		for _, sealed := range s.sealedValues(t) {
			if !s.keys.SealedWithPrimary(sealed) {
				t.Error("got a window not resealed with the primary key")
			}
		}
		now.Store(noon.Add(2 * time.Hour).UnixMicro())
		done, err := s.Prune(t.Context(), Retention{}, time.Minute)
		if err != nil || len(done.Deleted) != 0 {
			t.Errorf("Prune: got %+v, %v, want no tombstones", done, err)
		}
		if got := read(); got["short"] != nil || string(got["long"]) != `{"n":2}` {
			t.Errorf("after expiry: got windows %s", got)
		}
	})
}

func (s *Store) sealedValues(t *testing.T) (out [][]byte) {
	t.Helper()
	err := s.view(t.Context(), func(db *gorm.DB) error {
		return db.Raw("SELECT sealed_value FROM key_values WHERE sealed_value IS NOT NULL").Scan(&out).Error
	})
	if err != nil || len(out) != 2 {
		t.Fatalf("got %d windows, %v, want 2", len(out), err)
	}
	return out
}

// Concurrent transactions that request equal windows in different orders lose no update.
func TestValues_ConcurrentUpdatesAreSerialized(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := openTest(t, url)
		const workers, steps = 8, 10
		keys := []string{"a", "b", "c"}
		var wg sync.WaitGroup
		for worker := range workers {
			wg.Go(func() {
				for range steps {
					order := append(keys[worker%3:len(keys):len(keys)], keys[:worker%3]...)
					err := s.Tx(t.Context(), func(tx response.Tx) error {
						windows, err := tx.Values(response.NamespaceCorrelation, order...)
						if err != nil {
							return err
						}
						for _, key := range order {
							n, _ := strconv.Atoi(string(windows[key]))
							if err := tx.PutValue(response.NamespaceCorrelation, key, []byte(strconv.Itoa(n+1)), noon); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s.mustTx(t, func(tx response.Tx) error {
			windows, err := tx.Values(response.NamespaceCorrelation, keys...)
			if want := fmt.Sprint(workers * steps); string(windows["a"]) != want || string(windows["c"]) != want {
				t.Errorf("got %s, want %s updates each", windows, want)
			}
			return err
		})
	})
}

func TestValues_WriteNoPlaintext(t *testing.T) {
	const seed = "Xyzzy-window"
	url := storetest.SQLite(t)
	s := openTest(t, url)
	s.mustTx(t, func(tx response.Tx) error {
		if _, err := tx.Values(response.NamespaceCorrelation, seed); err != nil {
			return err
		}
		return tx.PutValue(response.NamespaceCorrelation, seed, []byte(strconv.Quote(seed)), noon)
	})
	if v, err := s.Verify(t.Context()); err != nil || len(v.Problems) != 0 {
		t.Errorf("Verify: got %+v, %v", v, err)
	}
	files, err := filepath.Glob(strings.TrimPrefix(url, "sqlite:") + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte(seed)) {
			t.Errorf("%s: got the plaintext (%v)", filepath.Base(file), err)
		}
	}
}
