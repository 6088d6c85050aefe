package intake_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tocsin/bot/intake"
)

// malformedBodies are bodies that are not one JSON document which every parser reads
// identically.
var malformedBodies = map[string]string{
	"empty":                    "",
	"only spaces":              " \r\n",
	"only a byte order mark":   "\ufeff",
	"text":                     "title=x",
	"HTML":                     "<html><body>502 Bad Gateway</body></html>",
	"truncated":                `{"title":"x","key":"y`,
	"trailing comma":           `{"title":"x",}`,
	"comment":                  `{"title":"x"} // on call`,
	"repeated key":             `{"title":"x","title":"y"}`,
	"repeated key far down":    `{"title":"x","a":[{"b":{"c":1,"c":2}}]}`,
	"second document":          `{"title":"x"}{"title":"y"}`,
	"byte order mark, garbage": "\ufeff{title}",
	"invalid UTF-8":            "{\"title\":\"\xff\"}",
	"binary":                   "\x00\x1f\x8b\x00\xff",
	"nested too deep":          strings.Repeat("[", 300) + strings.Repeat("]", 300),
	"number too large":         `{"title":"x","n":1e400}`,
	"single quotes":            `{'title':'x'}`,
	"NaN":                      `{"title":"x","n":NaN}`,
}

// A verified delivery that is not one JSON document is stored, and all of them are one
// incident.
func TestEdge_StoresMalformedBodies(t *testing.T) {
	r := newTestEdge(t, nil)
	for name, body := range malformedBodies {
		for _, id := range []string{"", "another"} { // a retry, and one with another header
			if w := r.do(post(id, []byte(body))); w.Code != http.StatusAccepted {
				t.Errorf("%s: got status %d %s, want 202", name, w.Code, w.Body)
			}
		}
		forged := post("d", []byte(body))
		forged.Header.Set("X-Signature", sign([]byte("other")))
		if w := r.do(forged); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: got status %d for a forged one, want 401", name, w.Code)
		}
	}
	rows := r.store.stored()
	if len(rows) != len(malformedBodies) {
		t.Fatalf("got %d rows, want %d", len(rows), len(malformedBodies))
	}
	if err := r.Drain(t.Context(), 1, int64(len(rows))); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for n, got := range r.desk.batch {
		if got.Failed == "" || len(got.Signals) != 1 || !got.Signals[0].Unreadable || got.Signals[0].Alert.Kind != "signed.unreadable" {
			t.Errorf("%q: got %+v, want one alert about it", rows[n].Body, got)
			continue
		}
		a := got.Signals[0].Alert
		keys[a.Correlation+" "+a.Fingerprint] = true
	}
	if len(keys) != 1 {
		t.Errorf("got keys %v, want one for all", keys)
	}
}

// A malformed body with the ID of a readable delivery does not hide the readable one, which
// can arrive later.
func TestEdge_MalformedBodyHidesNoOther(t *testing.T) {
	r := newTestEdge(t, nil)
	for _, body := range []string{`{"title":"x",`, `{"title":"x"}`} {
		r.do(post("d-1", []byte(body)))
	}
	if err := r.Drain(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	if b := r.desk.batch; len(b) != 2 || b[0].Failed == "" || b[1].Failed != "" || len(b[1].Signals) != 1 {
		t.Errorf("got %+v, want a report and the alert", b)
	}
}

// An identical body under a header credential is a repeat for an hour, and a signed one for
// ever, because a recorded one could be sent again.
func TestEdge_RepeatedMalformedBody(t *testing.T) {
	now := testTime
	r := newTestEdge(t, func(o *intake.Options) {
		o.Sources, o.Clock = []intake.Source{signed{}, bearer{}}, func() time.Time { return now }
	})
	for _, passed := range []time.Duration{0, time.Minute, 24 * time.Hour} {
		now = testTime.Add(passed)
		r.do(post("", nil))
		req := httptest.NewRequest(http.MethodPost, "/hooks/bearer", http.NoBody)
		req.Header.Set("X-Delivery", fmt.Sprint(passed))
		r.do(req)
	}
	got := map[string]int{}
	for _, row := range r.store.stored() {
		got[row.Source]++
	}
	if want := map[string]int{"signed": 1, "bearer": 2}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got rows %v, want %v", got, want)
	}
}

// A newer program may read a body that this one does not, so a drain reads it again. The
// header alone does not decide.
func TestDrain_ReadsMalformedBodyAgain(t *testing.T) {
	r := newTestEdge(t, nil)
	r.store.rows = []intake.Row{{ID: 1, Delivery: intake.Delivery{Source: "signed", ID: "a", Body: []byte(`{"title":"x"}`),
		Header: map[string]string{"Tocsin-Malformed": "the body is not JSON"}, Received: testTime}}}
	if err := r.Drain(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if b := r.desk.batch; len(b) != 1 || b[0].Failed != "" || len(b[0].Signals) != 1 {
		t.Errorf("got %+v, want the alert", b)
	}
}

// The beginning of a large body that cannot be shortened is stored.
func TestEdge_LargeMalformedBodies(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) {
		o.Sources = []intake.Source{bearer{}}
		o.Limits = map[string]intake.Limits{"bearer": {MaxBody: 1000}}
	})
	for name, body := range map[string]string{
		"text":             strings.Repeat("not JSON ", 500),
		"very large text":  strings.Repeat("not JSON ", 1<<20),
		"truncated":        `{"title":"x","items":["` + strings.Repeat("x", 5000),
		"repeated key":     `{"title":"x","title":"y","items":["` + strings.Repeat("x", 5000) + `"]}`,
		"many small names": `{"title":"x"` + many(2000, `,"k%d":1`) + `}`,
		"one large number": `[` + strings.Repeat("1", 200) + strings.Repeat(" ", 2000) + `]{`,
	} {
		before := len(r.store.stored())
		req := httptest.NewRequest(http.MethodPost, "/hooks/bearer", strings.NewReader(body))
		if w := r.do(req); w.Code != http.StatusAccepted {
			t.Errorf("%s: got status %d %s, want 202", name, w.Code, w.Body)
			continue
		}
		rows := r.store.stored()[before:]
		if len(rows) != 1 || !bytes.Equal(rows[0].Body, []byte(body[:1000])) {
			t.Errorf("%s: got rows %v, want the first 1000 bytes", name, rows)
			continue
		}
		if err := r.Drain(t.Context(), rows[0].ID, rows[0].ID); err != nil {
			t.Fatal(err)
		}
		got := r.desk.batch[len(r.desk.batch)-1]
		if len(got.Signals) != 1 || !got.Signals[0].Unreadable || !strings.Contains(got.Failed, fmt.Sprintf("%d bytes", min(len(body), 8<<20+1))) {
			t.Errorf("%s: got %+v, want one alert with the size", name, got)
		}
	}
}

// many returns a format with the numbers from 0 to n-1.
func many(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
