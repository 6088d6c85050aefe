package intake_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tocsin/bot/intake"
)

// newTraffic returns a Traffic with its log.
func newTraffic() (*intake.Traffic, *strings.Builder) {
	var log strings.Builder
	return intake.NewTraffic(testTime, slog.New(slog.NewTextHandler(&log, nil))), &log
}

// A source is impaired if it refuses one sender or many again and again without any
// success. A success ends that, and a burst counts only for a while.
func TestTraffic_Refused(t *testing.T) {
	at := func(minutes int) time.Time { return testTime.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		events string // minute and result: a refusal of sender a or b, or success
		check  int    // minute
		want   string // count and cause, or ""
	}{
		"nothing":                    {"", 1, ""},
		"two refusals":               {"0a 1a", 1, ""},
		"three of one sender":        {"0a 1a 1a", 1, "3 refused"},
		"three of several":           {"0a 1b 1c", 1, ""},
		"ten of several":             {"0a 0b 0c 0d 0e 0f 0g 0h 0i 1j", 1, "10 refused"},
		"a success between":          {"0a 0a 1+ 2a", 2, ""},
		"a success before":           {"0+ 1a 1a 2a", 2, "3 refused"},
		"a success afterwards":       {"0a 0a 0a 1+", 2, ""},
		"a burst is over":            {"0a 0a 0a", 11, ""},
		"continues":                  {"0a 0a 60a", 120, "3 refused"},
		"continues until a day ago":  {"0a 0a 60a", 60 + 24*60 + 1, ""},
		"undecodable is no refusal":  {"0u 0u 0u 0u", 1, ""},
		"the last cause, not others": {"0a 0a 0a 1L 2u", 2, "4 too_large"},
	} {
		traffic, _ := newTraffic()
		for event := range strings.FieldsSeq(c.events) {
			var minute int
			var what rune
			if _, err := fmt.Sscanf(event, "%d%c", &minute, &what); err != nil {
				t.Fatal(err)
			}
			switch what {
			case '+':
				traffic.Accept("s", "a", at(minute))
			case 'u':
				traffic.Refuse("s", intake.Undecodable, "a", "not JSON", at(minute))
			case 'L':
				traffic.Refuse("s", intake.TooLarge, "a", "too large", at(minute))
			default:
				traffic.Refuse("s", intake.Refused, string(what), "wrong signature", at(minute))
			}
		}
		got := ""
		if last, since := traffic.Refused("s", at(c.check)); !since.IsZero() {
			got = fmt.Sprintf("%d %s", last.Count, last.Cause)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestTraffic_SilentSince(t *testing.T) {
	traffic, _ := newTraffic()
	hour := time.Hour
	if got := traffic.SilentSince("s", 0, testTime.Add(1000*hour)); !got.IsZero() {
		t.Errorf("without an expected interval: got silence since %v", got)
	}
	if got := traffic.SilentSince("s", hour, testTime.Add(hour)); !got.IsZero() {
		t.Errorf("an hour after the start: got silence since %v", got)
	}
	if got := traffic.SilentSince("s", hour, testTime.Add(2*hour)); !got.Equal(testTime) {
		t.Errorf("got silence since %v, want the start", got)
	}
	traffic.Restore("s", "10.0.0.7", testTime.Add(-5*hour)) // a restart does not hide the silence before it
	if got := traffic.SilentSince("s", hour, testTime); !got.Equal(testTime.Add(-5 * hour)) {
		t.Errorf("got silence since %v, want the last delivery in the database", got)
	}
	traffic.Accept("s", "10.0.0.8", testTime)
	traffic.Restore("s", "10.0.0.7", testTime.Add(-time.Minute)) // the database is read later
	if got := traffic.SilentSince("s", hour, testTime.Add(hour)); !got.IsZero() || traffic.Of("s").AcceptedFrom != "10.0.0.8" {
		t.Errorf("after a delivery: got silence since %v, %+v", got, traffic.Of("s"))
	}
}

func TestTraffic_LogsOnceAMinuteForEachCause(t *testing.T) {
	traffic, log := newTraffic()
	for n := range 100 {
		traffic.Refuse("s", intake.Refused, fmt.Sprint("10.0.0.", n), "wrong", testTime.Add(time.Duration(n)*time.Second/10))
	}
	traffic.Refuse("s", intake.TooLarge, "10.0.0.7", "large", testTime)
	traffic.LogRefusals("s", testTime.Add(59*time.Second))
	if got := strings.Count(log.String(), "deliveries refused"); got != 2 {
		t.Fatalf("got %d log lines, want one for each cause:\n%s", got, log)
	}
	traffic.LogRefusals("s", testTime.Add(61*time.Second))
	traffic.LogRefusals("s", testTime.Add(200*time.Second))
	if got := log.String(); strings.Count(got, "deliveries refused") != 3 || !strings.Contains(got, "cause=refused deliveries=99 sender=10.0.0.99") {
		t.Errorf("got log\n%s\nwant the other 99 refusals in one line with the last sender", got)
	}
}

// The edge records what it answers, and what the drain cannot read.
func TestEdge_RecordsTraffic(t *testing.T) {
	traffic, _ := newTraffic()
	r := newTestEdge(t, func(o *intake.Options) { o.Traffic = traffic; o.MaxBody = 50 })
	post := func(method, body string, header ...string) {
		req := httptest.NewRequest(method, "/hooks/signed", strings.NewReader(body))
		req.RemoteAddr = "10.0.0.7:1"
		for n := 0; n < len(header); n += 2 {
			req.Header.Set(header[n], header[n+1])
		}
		r.do(req)
	}
	post(http.MethodGet, "") // a browser
	post(http.MethodPut, "{}")
	post(http.MethodPost, strings.Repeat(" ", 60)) // of a sender that is not verified
	post(http.MethodPost, "{}", "X-Signature", "0")
	post(http.MethodPost, "{", "X-Signature", sign([]byte("{")), "X-Delivery", "bad")
	got := map[intake.Outcome]int64{}
	for _, refusal := range traffic.Of("signed").Refusals {
		got[refusal.Cause] = refusal.Count
		if refusal.From != "10.0.0.7" || refusal.Message == "" || !refusal.Last.Equal(testTime) || refusal.Fix("sources.signed", "secrets") == "" {
			t.Errorf("got refusal %+v, want the sender, the message and a fix", refusal)
		}
	}
	if want := map[intake.Outcome]int64{intake.WrongMethod: 1, intake.Refused: 1, intake.Malformed: 1, intake.TooLarge: 1}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got refusals %v, want %v", got, want)
	}
	post(http.MethodPost, `{"title":7}`, "X-Signature", sign([]byte(`{"title":7}`)))
	if err := r.Drain(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	if s := traffic.Of("signed"); s.Accepted != 1 || !s.LastAccepted.Equal(testTime) || s.Refusals[0].Cause == "" || !s.RefusedSince.IsZero() {
		t.Errorf("got %+v, want an accepted delivery", s)
	}
	found := false
	for _, refusal := range traffic.Of("signed").Refusals {
		found = found || refusal.Cause == intake.Undecodable
	}
	if !found {
		t.Error("the undecodable delivery is not counted")
	}
}
