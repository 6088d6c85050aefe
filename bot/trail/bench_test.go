package trail_test

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/trail"
)

// drain is a Sink that decodes its deliveries at once, as the inbox does later.
type drain struct {
	*cloudtrail.Source
	stored, hits int
}

func (d *drain) Accept(_ context.Context, ds []trail.Delivery) error {
	for _, one := range ds {
		d.stored++
		signals, err := d.DecodeEvaluated(nil, one.Body, one.Evaluation)
		if err != nil {
			return err
		}
		for _, s := range signals {
			if s.Alert.Level != incident.LevelInformational {
				d.hits++
			}
		}
	}
	return nil
}

// cpuTime returns the CPU time of the process. On a busy machine it varies less than
// wall-clock time.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFileToHit reads compressed log files and decodes the stored records. The
// log files are the recorded corpus, or the fixtures if there is no corpus.
func BenchmarkFileToHit(b *testing.B) {
	rules, _ := detect.Load(detect.Options{Builtin: true})
	sink := &drain{Source: cloudtrail.New(cloudtrail.Config{}, rules)}
	source, err := trail.New(trail.Config{QueueURL: "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"}, trail.Deps{Sink: sink, Evaluate: sink.Evaluate})
	if err != nil {
		b.Fatal(err)
	}
	files := intaketest.Corpus(b, "cloudtrail-invictus/records/*.json")
	if files == nil {
		files = intaketest.Fixtures(b, "../cloudtrail/testdata/records/*.json")
	}
	for i := range files {
		files[i].Body = gzipped(string(files[i].Body))
	}
	read := 0
	b.ReportAllocs()
	start := cpuTime()
	for b.Loop() {
		for _, f := range files {
			stored, skipped, bad, err := source.ReadFile(b.Context(), bytes.NewReader(f.Body))
			if err != nil || bad > 0 {
				b.Fatalf("%s: got error %v, %d bad records", f.Name, err, bad)
			}
			read += stored + skipped
		}
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(read), "cpu-ns/record")
	b.ReportMetric(float64(sink.stored)/float64(read), "stored/record")
	b.ReportMetric(float64(sink.hits)/float64(read), "hits/record")
	b.ReportMetric(float64(read)/float64(b.N), "records/op")
}
