package detect_test

import (
	"bytes"
	"encoding/json"
	"syscall"
	"testing"

	experiment "github.com/go-json-experiment/json"

	"tocsin/bot/detect"
	"tocsin/bot/intake/intaketest"
)

// benchmarkData returns the folder of rules and the files with records of the
// recorded corpus, or the fixtures if there is no corpus.
func benchmarkData(b *testing.B) (string, []intaketest.Payload) {
	b.Helper()
	if intaketest.HasCorpus() {
		return sigmaCorpus() + "/rules", intaketest.Corpus(b, trailCorpus...)
	}
	return sigmaDir + "/rules", intaketest.Fixtures(b, trailFixtures...)
}

// cpuSeconds returns the CPU time of the process in seconds. On a busy machine it varies
// less than wall-clock time.
func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkFiles decodes files and matches SigmaHQ's rules.
func BenchmarkFiles(b *testing.B) {
	rules, files := benchmarkData(b)
	rs, _ := detect.Load(detect.Options{All: true}, rules)
	size := 0
	for _, file := range files {
		size += len(file.Body)
	}
	records, hits := 0, 0
	b.ReportAllocs()
	b.SetBytes(int64(size))
	start := cpuSeconds()
	for b.Loop() {
		for _, file := range files {
			counts, err := detect.Read(bytes.NewReader(file.Body), func(r *detect.Record) error {
				rs.Match(r, func(detect.Hit) { hits++ })
				return nil
			}, func(detect.Problem) {})
			if err != nil {
				b.Fatal(err)
			}
			records += counts.Records
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(records)/(cpuSeconds()-start), "events/cpu-s")
	b.ReportMetric(float64(hits)/float64(records), "hits/event")
}

// BenchmarkMatch matches decoded records. One match evaluates one record against
// all rules.
func BenchmarkMatch(b *testing.B) {
	for name, o := range map[string]detect.Options{"sigmahq": {All: true}, "own": {All: true, Builtin: true}} {
		b.Run(name, func(b *testing.B) {
			rules, files := benchmarkData(b)
			var paths []string
			if name == "sigmahq" {
				paths = []string{rules}
			}
			rs, _ := detect.Load(o, paths...)
			var records []*detect.Record
			for _, file := range files {
				for _, raw := range recordsByEncodingJSON(b, file) {
					r, err := detect.DecodeRecord(raw)
					if err != nil {
						b.Fatal(err)
					}
					records = append(records, r)
				}
			}
			hits, n := 0, 0
			b.ReportAllocs()
			start := cpuSeconds()
			for b.Loop() {
				rs.Match(records[n%len(records)], func(detect.Hit) { hits++ })
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "matches/s")
			b.ReportMetric(float64(n)/(cpuSeconds()-start), "matches/cpu-s")
			b.ReportMetric(float64(n)*float64(len(rs.Rules()))/b.Elapsed().Seconds(), "rules/s")
		})
	}
}

// BenchmarkDecode compares the decoder of this package with libraries, which decode
// into maps.
func BenchmarkDecode(b *testing.B) {
	var raws [][]byte
	size := 0
	_, files := benchmarkData(b)
	for _, file := range files {
		for _, raw := range recordsByEncodingJSON(b, file) {
			raws, size = append(raws, raw), size+len(raw)
		}
	}
	var r detect.Record
	for _, decoder := range []struct {
		name   string
		decode func([]byte) error
	}{
		{"detect", r.Decode},
		{"encoding-json", func(raw []byte) error { var v map[string]any; return json.Unmarshal(raw, &v) }},
		{"go-json-experiment", func(raw []byte) error { var v map[string]any; return experiment.Unmarshal(raw, &v) }},
	} {
		b.Run(decoder.name, func(b *testing.B) {
			n := 0
			b.ReportAllocs()
			b.SetBytes(int64(size / len(raws)))
			for b.Loop() {
				if err := decoder.decode(raws[n%len(raws)]); err != nil {
					b.Fatal(err)
				}
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
