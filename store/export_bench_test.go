package store

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tocsin/bot/intake"
	"tocsin/store/storetest"
)

// BenchmarkExport measures the export of many alerts with their deliveries, its memory, the latency of a writer before and
// during the export, and the import into both databases. The environment variable TOCSIN_TEST_ALERTS sets the number of
// alerts, by default 20,000:
//
//	TOCSIN_TEST_ALERTS=1000000 go test ./store -run '^$' -bench BenchmarkExport -benchtime 1x -timeout 1h
func BenchmarkExport(b *testing.B) {
	alerts := 20_000
	if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_ALERTS")); err == nil {
		alerts = n
	}
	for name, database := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := openTest(b, database(b))
				fillAlerts(b, s, alerts)
				path := filepath.Join(b.TempDir(), "stream")
				before := writeFor(b, s, 10*time.Second)
				quiet := resetPeak(b)
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan []time.Duration)
				go func() { done <- writeUntil(ctx, b, s) }()
				took := exportTo(b, s, path)
				cancel()
				during := <-done
				info, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(took.Seconds(), "s-export")
				b.ReportMetric(float64(peak(b)-quiet), "MiB-more")
				b.ReportMetric(float64(info.Size()>>20), "MiB-file")
				b.ReportMetric(percentile(before, 99), "ms-p99-before")
				b.ReportMetric(percentile(during, 99), "ms-p99-during")
				b.Logf("%d writes before and %d during the export, p50 %.1f and %.1f ms", len(before), len(during), percentile(before, 50), percentile(during, 50))
				for into, target := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
					quiet := resetPeak(b)
					took := importFrom(b, target(b), path)
					b.ReportMetric(took.Seconds(), "s-into-"+into)
					b.ReportMetric(float64(peak(b)-quiet), "MiB-more-into-"+into)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fillAlerts inserts suppressed alerts and their deliveries, with ciphertexts of usual lengths.
func fillAlerts(b *testing.B, s *Store, n int) {
	b.Helper()
	sealed, err := s.keys.Seal(nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	body := func(size int) []byte { // the prefix with the key, and bytes that do not compress
		out := make([]byte, size)
		_, _ = rand.Read(out)
		copy(out, sealed[:prefixSize])
		return out
	}
	alert, delivery := body(700), body(1600)
	hash := func(id int64) string { // as random as a keyed hash, so indexes are filled in random order
		sum := sha256.Sum256([]byte(strconv.FormatInt(id, 10)))
		return hex.EncodeToString(sum[:])
	}
	tables := []struct {
		name    string
		columns []string
		row     func(id int64) []any
	}{
		{"alerts", []string{"id", "incident_id", "hash", "correlation_hash", "source", "kind", "count", "first_at", "last_at", "sealed_body"}, func(id int64) []any {
			_, _ = rand.Read(alert[prefixSize:])
			return []any{id, int64(0), hash(id), hash(id % 1000), "sentry", "error", id, dbTime(noon), dbTime(noon), alert}
		}},
		{"inbox", []string{"id", "source", "delivery_hash", "received_at", "handled_at", "outcome", "alert_id"}, func(id int64) []any {
			return []any{id, "sentry", hash(id), dbTime(noon), dbTime(noon), "watched", id}
		}},
		{"delivery_bodies", []string{"inbox_id", "sealed_body"}, func(id int64) []any {
			_, _ = rand.Read(delivery[prefixSize:])
			return []any{id, delivery}
		}},
	}
	for _, table := range tables {
		for first := 1; first <= n; first += 50_000 {
			id, last := int64(first-1), int64(min(n, first+49_999))
			rows := pgx.CopyFromFunc(func() ([]any, error) {
				if id++; id > last {
					return nil, nil
				}
				return table.row(id), nil
			})
			err := s.tx(b.Context(), func(tx *tx) error { return tx.queue.copyRows(b.Context(), table.name, table.columns, rows) })
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.tx(b.Context(), func(tx *tx) error {
		for _, table := range []string{"alerts", "inbox"} {
			if s.backend.engine().name == "postgres" {
				if err := s.backend.engine().setNext(tx.db, table, int64(n)+1); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// writeInterval is the time between two deliveries of the writer.
const writeInterval = 5 * time.Millisecond

func writeFor(b *testing.B, s *Store, d time.Duration) []time.Duration {
	ctx, cancel := context.WithTimeout(b.Context(), d)
	defer cancel()
	return writeUntil(ctx, b, s)
}

// writeUntil stores deliveries until ctx ends and returns how long each took.
func writeUntil(ctx context.Context, b *testing.B, s *Store) (took []time.Duration) {
	body := make([]byte, 1500)
	ticker := time.NewTicker(writeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return took
		case <-ticker.C:
		}
		_, _ = rand.Read(body)
		began := time.Now()
		if err := s.Accept(b.Context(), []intake.Delivery{{Source: "sentry", ID: rand.Text(), Body: body, Received: noon}}); err != nil {
			b.Error(err)
			return took
		}
		took = append(took, time.Since(began))
	}
}

func percentile(took []time.Duration, n int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*n/100].Microseconds()) / 1000
}

func exportTo(b *testing.B, s *Store, path string) time.Duration {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	if _, err := s.Export(b.Context(), f); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func importFrom(b *testing.B, url, path string) time.Duration {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	keys, err := testKeys()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if _, err := Import(b.Context(), Config{URL: url}, Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)}, io.Reader(f), ImportOptions{}); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// resetPeak makes the kernel forget the peak of the memory of this process, and returns the memory now, in MiB.
func resetPeak(b *testing.B) int {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Logf("the peak of the memory includes the time before: %v", err)
	}
	return peak(b)
}

// peak returns the greatest memory of this process since resetPeak, in MiB.
func peak(b *testing.B) int {
	b.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		b.Skip("needs Linux")
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib >> 10
		}
	}
	b.Fatal("no VmHWM in /proc/self/status")
	return 0
}
