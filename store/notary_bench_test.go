package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/notary"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// cpuTime returns the CPU time of the process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func openBench(b *testing.B, url string) *Store {
	return openTest(b, url, func(c *testConfig) { c.Logger = slog.New(slog.DiscardHandler) })
}

// acceptAndCount stores n deliveries with one alert each, in commits of some deliveries, and of some alerts. A body has
// 2000 random bytes of a total of 7000, or the same part of another size.
func (s *Store) acceptAndCount(b *testing.B, n, body, deliveries, alerts int) {
	b.Helper()
	from, noise := 1, make([]byte, body*2/7)
	rng := rand.New(rand.NewPCG(1, 2))
	for n > 0 {
		size := min(n, alerts)
		var outcomes []response.DeliveryOutcome
		for first := 0; first < size; first += deliveries {
			var ds []intake.Delivery
			for k := first; k < min(first+deliveries, size); k++ {
				for m := range noise {
					noise[m] = byte(rng.Uint32())
				}
				text := append(bytes.Repeat([]byte(`{"key":"value"}`), body/21), noise...)
				ds = append(ds, intake.Delivery{Source: "sentry", ID: fmt.Sprint(from + k), Body: text, Received: noon})
				outcomes = append(outcomes, response.DeliveryOutcome{Row: int64(from + k), Outcome: "counted", Alert: 1})
			}
			if err := s.Accept(b.Context(), ds); err != nil {
				b.Fatal(err)
			}
		}
		s.mustTx(b, func(tx response.Tx) error {
			for k := range size {
				if _, _, err := tx.CountAlert(response.WatchedAlerts, sampleAlert(from+k), 1, noon, response.RoutingDecision{}); err != nil {
					return err
				}
			}
			return tx.MarkHandled(outcomes)
		})
		from, n = from+size, n-size
	}
}

// BenchmarkRecordChanges measures the CPU time for one alert and its delivery, while they are written and in the step of the
// notary.
func BenchmarkRecordChanges(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			s := openBench(b, url(b))
			s.record(b)
			start := cpuTime()
			s.acceptAndCount(b, b.N, 7000, 32, 128)
			written := cpuTime()
			s.record(b)
			b.ReportMetric(float64((written-start).Microseconds())/float64(b.N), "µs-write/alert")
			b.ReportMetric(float64((cpuTime()-written).Microseconds())/float64(b.N), "µs-record/alert")
		})
	}
}

// BenchmarkVerify_Leaves verifies a log of b.N leaves.
func BenchmarkVerify_Leaves(b *testing.B) {
	s := openBench(b, storetest.SQLite(b))
	s.record(b)
	w := &world{Store: s, t: b}
	for left := b.N; left > 0; left -= maxStepRows {
		leaves := [][]byte{stepOf()}
		for range min(left, maxStepRows) {
			leaves = append(leaves, notary.Leaf{Subject: subjectAlerts, Lines: []notary.Line{{ID: 1}}}.Text())
		}
		w.append(leaves...)
	}
	start := time.Now()
	b.ResetTimer()
	l := s.verify(b)
	b.ReportMetric(time.Since(start).Seconds(), "s")
	b.ReportMetric(float64(l.Leaves), "leaves")
}

// BenchmarkVerify_Alerts verifies b.N alerts with their deliveries.
func BenchmarkVerify_Alerts(b *testing.B) {
	s := openBench(b, storetest.SQLite(b))
	s.acceptAndCount(b, b.N, 400, 512, 512)
	s.record(b)
	runtime.GC()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	start := time.Now()
	b.ResetTimer()
	if v := s.verify(b); len(v.Problems) > 0 {
		b.Fatal(problemLines(v))
	}
	b.ReportMetric(time.Since(start).Seconds(), "s")
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	b.ReportMetric(float64(after.Maxrss)/1024, "MiB-max")
	b.ReportMetric(float64(before.Maxrss)/1024, "MiB-before")
}
