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

func TestDrainHandsOneBatchToTheDesk(t *testing.T) {
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
		t.Fatalf("the desk was called %d times with %d rows, want once with 5", r.desk.calls, len(b))
	}
	a := b[0].Signals[0].Alert
	if a == nil || a.Title != "t" || a.Kind != "signed.test" || !a.At.Equal(epoch) || b[0].Signals[0].Row != 1 || b[0].Row != 1 {
		t.Errorf("first row is %+v, alert %+v", b[0], a)
	}
	if c := b[1].Signals[0].Command; c == nil || c.Key != "signed:1" || b[1].Signals[0].Subject.PageKey != "INC-1/1" {
		t.Errorf("second row is %+v", b[1])
	}
	if len(b[2].Signals) != 0 || b[2].Failed != "" {
		t.Errorf("nothing to do became %+v", b[2])
	}
	if !strings.Contains(b[3].Failed, "decode") {
		t.Errorf("an unknown shape became %+v", b[3])
	}
	if !strings.Contains(b[4].Failed, "removed") {
		t.Errorf("a row of a source that is gone became %+v", b[4])
	}
	for _, row := range b[3:] { // somebody gets to see that there is one
		if len(row.Signals) != 1 || row.Signals[0].Alert.Kind != row.Source+".unreadable" || row.Signals[0].Alert.Detail != row.Failed {
			t.Errorf("no alert tells of %+v", row)
		}
	}
	if got := strings.Join(r.seen.decoded, ", "); got != "signed 1 false, signed 1 false, signed 0 false, signed 1 true, removed 1 true" {
		t.Errorf("observed %s", got)
	}
}

// As long as the desk writes what a batch means, no delivery is written: a
// batch is small, however much there is.
func TestDrainHandsManyToTheDeskInSmallBatches(t *testing.T) {
	r := newTestEdge(t, nil)
	for n := range int64(500) {
		r.store.rows = append(r.store.rows, intake.Row{ID: n + 1, Delivery: intake.Delivery{Source: "signed", Body: []byte(`{}`)}})
	}
	if err := r.Drain(t.Context(), 1, 500); err != nil {
		t.Fatal(err)
	}
	if len(r.desk.batch) != 500 || r.desk.most != 64 {
		t.Errorf("the desk got %d rows, at most %d at once", len(r.desk.batch), r.desk.most)
	}
}

func TestDrainOfNothingDoesNotBotherTheDesk(t *testing.T) {
	r := newTestEdge(t, nil)
	if err := r.Drain(t.Context(), 1, 100); err != nil || r.desk.calls != 0 {
		t.Errorf("error %v, desk called %d times", err, r.desk.calls)
	}
}

func TestDrainErrorsAreRepeated(t *testing.T) {
	r := newTestEdge(t, nil)
	r.do(post("d", []byte(`{}`)))
	r.desk.fail = errors.New("desk is busy")
	if err := r.Drain(t.Context(), 1, 1); !errors.Is(err, r.desk.fail) {
		t.Errorf("error is %v", err)
	}
	r.store.fail = errors.New("disk is gone")
	if err := r.Drain(t.Context(), 1, 1); !errors.Is(err, r.store.fail) {
		t.Errorf("error is %v", err)
	}
}

// hostile is a source whose alerts are as bad as an alert can be.
type hostile struct{ signed }

func (hostile) Decode(_ http.Header, _ []byte) ([]incident.Signal, error) {
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

func TestDrainBoundsWhatASenderWrote(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.Sources = []intake.Source{hostile{}} })
	r.do(post("d", []byte(`{}`)))
	if err := r.Drain(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	one, two := r.desk.batch[0].Signals[0].Alert, r.desk.batch[0].Signals[1].Alert
	if one.Fingerprint == two.Fingerprint || len(one.Fingerprint) > 100 {
		t.Errorf("long fingerprints that differ at the end became %.40q and %.40q", one.Fingerprint, two.Fingerprint)
	}
	if one.Kind != "ab c" || one.Principal != "a[31mb" {
		t.Errorf("kind %q, principal %q", one.Kind, one.Principal)
	}
	if !utf8.ValidString(one.Title) || utf8.RuneCountInString(one.Title) > 501 || utf8.RuneCountInString(one.Detail) > 8193 {
		t.Errorf("title has %d bytes, detail %d", len(one.Title), len(one.Detail))
	}
	if len(one.Tags) != 64 || len(one.Tags["k0000"]) > 600 {
		t.Errorf("%d tags, the first of %d bytes", len(one.Tags), len(one.Tags["k0000"]))
	}
	if !one.At.Equal(time.Unix(1, 0)) {
		t.Errorf("the time that the source gave became %v", one.At)
	}
}
