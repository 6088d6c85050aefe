package intake_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

func TestDrain_IngestsOneBatch(t *testing.T) {
	r := newTestEdge(t, nil)
	for i, body := range []string{`{"title":"t","key":"f"}`, `{"note":"n","key":"INC-1/1"}`, `{}`, `"a string"`} {
		r.do(post(fmt.Sprint(i), []byte(body)))
	}
	r.store.rows = append(r.store.rows, intake.Row{ID: 5, Delivery: intake.Delivery{Source: "removed"}})
	if err := r.Drain(t.Context(), 1, 5); err != nil {
		t.Fatal(err)
	}
	b := r.desk.batch
	if r.desk.calls != 1 || len(b) != 5 {
		t.Fatalf("got %d calls of Ingest with %d rows, want 1 call with 5", r.desk.calls, len(b))
	}
	a := b[0].Signals[0].Alert
	if a == nil || a.Title != "t" || a.Kind != "signed.test" || !a.At.Equal(testTime) || b[0].Signals[0].Row != 1 || b[0].Row != 1 {
		t.Errorf("got row %+v with alert %+v, want the alert of row 1", b[0], a)
	}
	if c := b[1].Signals[0].Command; c == nil || c.Key != "signed:1" || b[1].Signals[0].Subject.PageKey != "INC-1/1" {
		t.Errorf("got %+v, want a note for INC-1/1 with the key signed:1", b[1])
	}
	if len(b[2].Signals) != 0 || b[2].Failed != "" {
		t.Errorf("got %+v, want no signal and no failure", b[2])
	}
	if !strings.Contains(b[3].Failed, "decode") {
		t.Errorf("got %+v, want the decode error as the reason", b[3])
	}
	if !strings.Contains(b[4].Failed, "removed") {
		t.Errorf("got %+v, want the removed source in the reason", b[4])
	}
	for _, row := range b[3:] {
		if len(row.Signals) != 1 || !row.Signals[0].Unreadable || row.Signals[0].Alert.Kind != row.Source+".unreadable" || !strings.Contains(row.Signals[0].Alert.Detail, row.Failed) {
			t.Errorf("got %+v, want one alert about the decode failure", row)
		}
	}
	if got, want := strings.Join(r.metrics.decoded, ", "), "signed 1 false, signed 1 false, signed 0 false, signed 1 true, removed 1 true"; got != want {
		t.Errorf("got observed rows %s, want %s", got, want)
	}
}

// A transaction of the desk blocks new deliveries. Batches therefore stay small.
func TestDrain_BatchesAreSmall(t *testing.T) {
	r := newTestEdge(t, nil)
	for n := range int64(500) {
		r.store.rows = append(r.store.rows, intake.Row{ID: n + 1, Delivery: intake.Delivery{Source: "signed", Body: []byte(`{}`)}})
	}
	if err := r.Drain(t.Context(), 1, 500); err != nil {
		t.Fatal(err)
	}
	if len(r.desk.batch) != 500 || r.desk.maxBatch != 64 {
		t.Errorf("got %d rows in batches of up to %d, want 500 in batches of 64", len(r.desk.batch), r.desk.maxBatch)
	}
}

func TestDrain_EmptyInbox(t *testing.T) {
	r := newTestEdge(t, nil)
	if err := r.Drain(t.Context(), 1, 100); err != nil || r.desk.calls != 0 {
		t.Errorf("got error %v and %d calls of Ingest, want none", err, r.desk.calls)
	}
}

func TestDrain_ReturnsErrors(t *testing.T) {
	r := newTestEdge(t, nil)
	r.do(post("d", []byte(`{}`)))
	r.desk.fail = errors.New("desk is busy")
	if err := r.Drain(t.Context(), 1, 1); !errors.Is(err, r.desk.fail) {
		t.Errorf("got error %v, want the injected one", err)
	}
	r.store.fail = errors.New("disk is gone")
	if err := r.Drain(t.Context(), 1, 1); !errors.Is(err, r.store.fail) {
		t.Errorf("got error %v, want the injected one", err)
	}
}

// hostileSource decodes every body to two alerts with oversized texts and control
// characters.
type hostileSource struct{ signed }

func (hostileSource) Decode(_ http.Header, _ []byte) ([]incident.Signal, error) {
	long := strings.Repeat("x", 1<<20)
	tags := map[string]string{}
	for i := range 1000 {
		tags[fmt.Sprintf("k%04d", i)] = long
	}
	alert := func(end string) incident.Signal {
		return incident.Signal{Alert: &incident.Alert{
			Source: "signed", Kind: "a\x00b\r\nc", Title: "\xff" + long, Detail: long + "\x00", Fingerprint: long + end,
			Principal: "a\x1b[31mb", Tags: tags, At: time.Unix(1, 0),
		}}
	}
	return []incident.Signal{alert("1"), alert("2")}, nil
}

func TestDrain_BoundsTexts(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.Sources = []intake.Source{hostileSource{}} })
	r.do(post("d", []byte(`{}`)))
	if err := r.Drain(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	one, two := r.desk.batch[0].Signals[0].Alert, r.desk.batch[0].Signals[1].Alert
	if one.Fingerprint == two.Fingerprint || len(one.Fingerprint) > 100 {
		t.Errorf("got fingerprints %.40q and %.40q, want two different short ones", one.Fingerprint, two.Fingerprint)
	}
	if one.Kind != "ab c" || one.Principal != "a[31mb" {
		t.Errorf("got kind %q and principal %q, want them without control characters", one.Kind, one.Principal)
	}
	if !utf8.ValidString(one.Title) || utf8.RuneCountInString(one.Title) > 501 || utf8.RuneCountInString(one.Detail) > 8193 {
		t.Errorf("got a title of %d bytes and a detail of %d, want bounded UTF-8", len(one.Title), len(one.Detail))
	}
	if len(one.Tags) != 64 || len(one.Tags["k0000"]) > 600 {
		t.Errorf("got %d tags, the first of %d bytes, want 64 bounded ones", len(one.Tags), len(one.Tags["k0000"]))
	}
	if !one.At.Equal(time.Unix(1, 0)) {
		t.Errorf("got time %v, want the one of the source", one.At)
	}
}

// evaluated is a source that reports the evaluation of its deliveries.
type evaluated struct{ signed }

func (evaluated) DecodeEvaluated(_ http.Header, _ []byte, evaluation string) ([]incident.Signal, error) {
	return []incident.Signal{{Alert: &incident.Alert{Source: "signed", Kind: evaluation, Title: "t"}}}, nil
}

func TestDrain_PassesEvaluationOn(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.Sources = []intake.Source{evaluated{}} })
	for n, evaluation := range []string{"rules 1", ""} {
		r.store.rows = append(r.store.rows, intake.Row{ID: int64(n + 1), Delivery: intake.Delivery{Source: "signed", Received: testTime, Body: []byte("{}"), Evaluation: evaluation}})
	}
	if err := r.Drain(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	if got := r.desk.batch; len(got) != 2 || len(got[0].Signals) != 1 || got[0].Signals[0].Alert.Kind != "rules 1" || len(got[1].Signals) != 0 {
		t.Errorf("got %+v, want the evaluation of the first delivery and Decode for the second", got)
	}
}

// dated is a source whose signature covers the times of its events.
type dated struct{ signed }

func (dated) SignsTimes() bool { return true }

func (dated) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	at, err := time.Parse(time.RFC3339, strings.Trim(string(body), `"`))
	return []incident.Signal{{Alert: &incident.Alert{Source: "signed", Kind: "k", Title: "t", At: at}}}, err
}

// An event older than the memory of deliveries may be a replay, except in a replay by
// an administrator.
func TestDrain_IgnoresSignedEventsOlderThanAYear(t *testing.T) {
	for _, tt := range []struct {
		name    string
		age     time.Duration
		origin  incident.Origin
		ignored bool
	}{
		{"today", 0, incident.OriginLive, false},
		{"a year less a day", 364 * 24 * time.Hour, incident.OriginLive, false},
		{"older than a year", 366 * 24 * time.Hour, incident.OriginLive, true},
		{"in a drill", 366 * 24 * time.Hour, incident.OriginDrill, false},
		{"in a replay", 366 * 24 * time.Hour, incident.OriginReplay, false},
		{"from a recording", 366 * 24 * time.Hour, incident.OriginRecording, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTestEdge(t, func(o *intake.Options) { o.Sources = []intake.Source{dated{}} })
			r.store.rows = []intake.Row{{ID: 1, Delivery: intake.Delivery{Source: "signed", Received: testTime, Origin: tt.origin,
				Body: []byte(`"` + testTime.Add(-tt.age).Format(time.RFC3339) + `"`)}}}
			if err := r.Drain(t.Context(), 1, 1); err != nil {
				t.Fatal(err)
			}
			if b := r.desk.batch[0]; (b.Ignored != "") != tt.ignored || (len(b.Signals) == 0) != tt.ignored {
				t.Errorf("got %+v, want ignored %v", b, tt.ignored)
			}
		})
	}
}
