package cloudtrail_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
)

// evaluate evaluates a record as a reader of log files does.
func evaluate(s *cloudtrail.Source, record []byte) (evaluation string, notable bool) {
	item := new(detect.Record).DecodeItem(record)
	return s.Evaluate(&item)
}

// isNotable reports whether a record has to be stored, by its signals.
func isNotable(signals []incident.Signal) bool {
	for _, s := range signals {
		if s.Alert == nil || s.Alert.Level != incident.LevelInformational || len(s.Observations) > 0 {
			return true
		}
	}
	return false
}

// A stored evaluation does not change the signals of a record: not with the rules that
// made it, not with other rules, and not if it is damaged.
func TestDecodeEvaluated_AgreesWithDecode(t *testing.T) {
	other, _ := detect.Load(detect.Options{Builtin: true, All: true, Levels: map[string]detect.Level{"trail-stopped": detect.Low}})
	sources := map[string]*cloudtrail.Source{"same rules": source, "rules compiled again": cloudtrail.New(cloudtrail.Config{}, builtin()),
		"other rules": cloudtrail.New(cloudtrail.Config{}, other), "no rules": cloudtrail.New(cloudtrail.Config{}, nil)}
	intaketest.OnBoth(t, []string{"testdata/records/*.json"}, []string{"cloudtrail-invictus/records/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		stored := 0
		for _, p := range payloads {
			var file struct{ Records []json.RawMessage }
			if err := json.Unmarshal(p.Body, &file); err != nil {
				t.Fatal(err)
			}
			for _, raw := range file.Records {
				evaluation, notable := evaluate(source, raw)
				signals, err := source.Decode(nil, raw)
				if err != nil || notable != isNotable(signals) {
					t.Fatalf("got notable %v, error %v, want %v for %s", notable, err, isNotable(signals), raw)
				}
				if !notable {
					continue
				}
				stored++
				for name, s := range sources {
					want, err := s.Decode(nil, raw)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range []string{evaluation, evaluation + " 99999", evaluation + " x", evaluation + " -1", "x"} {
						if got, err := s.DecodeEvaluated(nil, raw, e); err != nil || cmp.Diff(want, got) != "" {
							t.Errorf("%s, evaluation %q: error %v\n%s", name, e, err, cmp.Diff(want, got))
						}
					}
				}
			}
		}
		if stored == 0 {
			t.Error("got no notable record")
		}
	})
}

// The evaluation of one record decides about another one, so it is not repeated.
func TestDecodeEvaluated_DoesNotRepeatEvaluation(t *testing.T) {
	const stop = `{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com"}`
	evaluation, notable := evaluate(source, []byte(stop))
	if !notable {
		t.Fatal("StopLogging is not notable")
	}
	got, err := source.DecodeEvaluated(nil, []byte(`{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}`), evaluation)
	if err != nil || len(got) != 1 || got[0].Alert.Level != incident.LevelCritical {
		t.Errorf("got %+v, error %v, want the level of StopLogging", got, err)
	}
}

// Findings and unreadable records have no evaluation.
func TestEvaluate_OtherItems(t *testing.T) {
	for body, want := range map[string]bool{
		`{"id":"f","type":"T","severity":8}`:                                         true,
		`{"id":"f","type":"T","severity":8,"service":{"archived":true}}`:             false,
		`{"id":"f","type":"T","severity":8,"service":{"archived":true},"x":1,"x":2}`: false,
		`{"eventName":"A","eventName":"B","eventSource":"s"}`:                        true,
		`{"x":1}`: true, `7`: true, `{`: true,
		`{"detail-type":"AWS API Call via CloudTrail","detail":{"eventName":"A","eventSource":"s"}}`: false,
		`{"detail-type":"Scheduled Event","detail":{"eventName":"A","eventSource":"s"}}`:             true,
	} {
		if evaluation, notable := evaluate(source, []byte(body)); notable != want || evaluation != "" {
			t.Errorf("%s: got evaluation %q, notable %v, want %v", body, evaluation, notable, want)
		}
	}
}
