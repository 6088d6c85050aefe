package feed_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tocsin/bot/intake/intaketest"
	"tocsin/bot/sandbox/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 11, 2, 2, 31, 7, 0, time.UTC)

func now() time.Time { return at }

type receivedRequest struct {
	header http.Header
	body   []byte
}

// newReceiver starts a server that answers 202 and returns the requests.
func newReceiver(t *testing.T) (*httptest.Server, <-chan receivedRequest) {
	t.Helper()
	in := make(chan receivedRequest, 16)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		in <- receivedRequest{r.Header, body}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "stored")
	}))
	t.Cleanup(srv.Close)
	return srv, in
}

func decode(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// dig returns the value at path in nested objects.
func dig(t *testing.T, v map[string]any, path ...string) any {
	t.Helper()
	var here any = v
	for _, p := range path {
		m, ok := here.(map[string]any)
		if !ok {
			t.Fatalf("%v: no object above %q", path, p)
		}
		here = m[p]
	}
	return here
}

func TestSentry_SignsExactBytes(t *testing.T) {
	srv, in := newReceiver(t)
	s := &feed.Sentry{URL: srv.URL, Secret: "whsec", Client: srv.Client(), Now: now}
	i := feed.NewIssue(feed.DataLeak, 7)
	i.Value += " – Gehälter 💶"
	for resource, send := range map[string]func() (feed.Answer, error){
		"issue":        func() (feed.Answer, error) { return s.IssueCreated(t.Context(), i, feed.Copy{}) },
		"event_alert":  func() (feed.Answer, error) { return s.EventAlert(t.Context(), i, feed.Copy{}) },
		"metric_alert": func() (feed.Answer, error) { return s.MetricAlert(t.Context(), "critical", i, feed.Copy{}) },
		"error":        func() (feed.Answer, error) { return s.ErrorCreated(t.Context(), i, feed.Copy{}) },
	} {
		answer, err := send()
		if err != nil || answer.Status != 202 || answer.Body != "stored" {
			t.Fatalf("%s: got %+v, %v, want status 202", resource, answer, err)
		}
		r := <-in
		mac := hmac.New(sha256.New, []byte("whsec"))
		mac.Write(r.body)
		if r.header.Get("Sentry-Hook-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%s: wrong signature %s", resource, r.header.Get("Sentry-Hook-Signature"))
		}
		if r.header.Get("Sentry-Hook-Resource") != resource || r.header.Get("Sentry-Hook-Timestamp") != "1793586667" ||
			r.header.Get("Request-ID") != answer.ID || len(answer.ID) != 36 {
			t.Errorf("%s: wrong header %v", resource, r.header)
		}
		again, _ := json.Marshal(decode(t, r.body))
		if bytes.Equal(again, r.body) || bytes.ContainsFunc(r.body, func(r rune) bool { return r > 126 }) {
			t.Errorf("%s: body equals its re-encoded form or is not ASCII", resource)
		}
		if !strings.Contains(string(again), "💶") && resource != "metric_alert" {
			t.Errorf("%s: decoded text lost a character", resource)
		}
	}
}

func TestSentry_Bodies(t *testing.T) {
	i := feed.NewIssue(feed.DataLeak, 7)
	alert := decode(t, feed.SentryEventAlert(i, feed.Copy{At: at}))
	event := dig(t, alert, "data", "event").(map[string]any)
	if event["issue_id"] != i.ID || event["title"] != i.Title() || event["level"] != "fatal" {
		t.Errorf("wrong event %v", event)
	}
	if !slices.ContainsFunc(event["tags"].([]any), func(kv any) bool {
		return kv.([]any)[0] == "data_leak" && kv.([]any)[1] == "true"
	}) {
		t.Errorf("tags: got %v, want data_leak=true", event["tags"])
	}
	resolved := decode(t, feed.SentryIssue("resolved", i, feed.Copy{At: at, N: 2}))
	if dig(t, resolved, "data", "issue", "status") != "resolved" || dig(t, resolved, "data", "issue", "count") != "3" || dig(t, resolved, "actor", "type") != "user" {
		t.Errorf("wrong body of a resolved issue: %v", resolved)
	}
	critical, over := decode(t, feed.SentryMetricAlert("critical", i, feed.Copy{At: at})), decode(t, feed.SentryMetricAlert("resolved", i, feed.Copy{At: at}))
	if dig(t, critical, "data", "metric_alert", "id") != dig(t, over, "data", "metric_alert", "id") {
		t.Error("actions of one metric alert have different IDs")
	}
}

func TestCopy_ChangesOnlyIDsAndTime(t *testing.T) {
	i, call := feed.NewIssue(feed.AuthBypass, 3), feed.CreateAccessKey(3)
	s, c := &feed.Sentry{Secret: "x", Now: now}, &feed.CloudTrail{APIKey: "k", Now: now}
	seen := map[string]bool{}
	for n := range 50 {
		copied := feed.Copy{N: n, At: at.Add(time.Duration(n) * time.Second)}
		a, b := s.EventAlertDelivery(i, copied), c.Delivery(call, copied)
		event, detail := decode(t, a.Body), decode(t, b.Body)
		for _, id := range []string{a.ID, b.ID, dig(t, event, "data", "event", "event_id").(string), dig(t, detail, "detail", "eventID").(string)} {
			if seen[id] {
				t.Fatalf("duplicate ID %s", id)
			}
			seen[id] = true
		}
		if dig(t, event, "data", "event", "issue_id") != i.ID || dig(t, detail, "detail", "eventName") != "CreateAccessKey" || dig(t, detail, "id") != b.ID {
			t.Fatal("copy has another issue, event name or delivery ID")
		}
	}
	once, again := c.Delivery(call, feed.Copy{At: at}), c.Delivery(call, feed.Copy{At: at, Redelivery: 1})
	if once.ID == again.ID || dig(t, decode(t, once.Body), "detail", "eventID") != dig(t, decode(t, again.Body), "detail", "eventID") {
		t.Error("redelivery: want a new delivery ID and an unchanged event ID")
	}
}

func TestSeed_Reproducible(t *testing.T) {
	for _, kind := range []feed.Kind{feed.DataLeak, feed.AuthBypass, feed.Injection, feed.Crash} {
		body := func(seed uint64) string {
			return string(feed.SentryError(feed.NewIssue(kind, seed), feed.Copy{At: at}))
		}
		if one, again := body(1), body(1); one != again || one == body(2) {
			t.Errorf("%s: body is not a function of its seed", kind)
		}
	}
	for _, newCall := range []func(uint64) feed.Call{feed.CreateAccessKey, feed.StopLogging, feed.RootConsoleLogin, feed.PublicBucketPolicy, feed.OpenSecurityGroup} {
		body := func(seed uint64) string { return string(newCall(seed).Envelope(feed.Copy{At: at})) }
		if one, again := body(1), body(1); one != again || one == body(2) {
			t.Errorf("%s: body is not a function of its seed", newCall(1).Name)
		}
	}
}

func TestCopy_PaddingAndMarker(t *testing.T) {
	i, copied := feed.NewIssue(feed.Crash, 1), feed.Copy{At: at, PadKB: 64, Marker: []string{"DE02 1203 0000 0000 2020 51"}}
	for name, body := range map[string][]byte{
		"issue": feed.SentryIssue("created", i, copied), "event_alert": feed.SentryEventAlert(i, copied), "error": feed.SentryError(i, copied),
		"envelope": feed.StopLogging(1).Envelope(copied), "record": feed.StopLogging(1).Record(copied),
	} {
		if len(body) < 64<<10 || len(body) > 66<<10 || !json.Valid(body) || !bytes.Contains(body, []byte(copied.Marker[0])) {
			t.Errorf("%s: got %d bytes, want valid JSON of 64 to 66 KB with the marker", name, len(body))
		}
	}
}

func TestCloudTrail_Deliver(t *testing.T) {
	srv, in := newReceiver(t)
	c := &feed.CloudTrail{URL: srv.URL, APIKey: "key", Client: srv.Client(), Now: now}
	answer, err := c.Deliver(t.Context(), feed.RootConsoleLogin(5), feed.Copy{})
	if err != nil || answer.Status != 202 {
		t.Fatalf("got %+v, %v, want status 202", answer, err)
	}
	r := <-in
	v := decode(t, r.body)
	if r.header.Get("X-Api-Key") != "key" || r.header.Get("User-Agent") != "Amazon/EventBridge/ApiDestinations" || v["id"] != answer.ID {
		t.Errorf("wrong header %v", r.header)
	}
	if v["detail-type"] != "AWS Console Sign In via CloudTrail" || v["source"] != "aws.signin" || v["time"] != "2026-11-02T02:31:07Z" ||
		dig(t, v, "detail", "additionalEventData", "MFAUsed") != "No" || dig(t, v, "detail", "userIdentity", "type") != "Root" {
		t.Errorf("wrong event %s", r.body)
	}
	burst := map[string]bool{}
	for _, call := range feed.SecretBurst(5, 20) {
		v := decode(t, call.Record(feed.Copy{At: at}))
		burst[v["eventID"].(string)] = true
		if v["responseElements"] != nil || v["readOnly"] != true {
			t.Fatalf("wrong record %v", v)
		}
	}
	if len(burst) != 20 {
		t.Errorf("got %d event IDs, want 20", len(burst))
	}
}

func TestSend_Timeout(t *testing.T) {
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer srv.Close()
	defer close(hang)
	s := &feed.Sentry{URL: srv.URL, Client: srv.Client(), Timeout: 20 * time.Millisecond}
	answer, err := s.EventAlert(t.Context(), feed.NewIssue(feed.Crash, 1), feed.Copy{})
	if err == nil || answer.Status != 0 || answer.ID == "" {
		t.Fatalf("got %+v, %v, want a timeout", answer, err)
	}
}

// TestPayloads_KeysOfTheSamples compares the upper levels of our payloads with
// samples. Ours must have every key of the samples, because decoders are written
// against ours.
func TestPayloads_KeysOfTheSamples(t *testing.T) {
	i := feed.NewIssue(feed.DataLeak, 1)
	for fixture, tc := range map[string]struct {
		corpus string
		ours   []byte
		path   []string
	}{
		"sentry/event_alert-triggered.json": {"sentry/event_alert-triggered.json", feed.SentryEventAlert(i, feed.Copy{At: at}), []string{"data", "event"}},
		"sentry/error-created.json":         {"sentry/error-created.json", feed.SentryError(i, feed.Copy{At: at}), []string{"data", "error"}},
		"sentry/issue-created.json":         {"sentry/issue-created.json", feed.SentryIssue("created", i, feed.Copy{At: at}), []string{"data", "issue"}},
		"sentry/metric_alert-resolved.json": {"sentry/metric_alert-resolved.json", feed.SentryMetricAlert("resolved", i, feed.Copy{At: at}), []string{"data", "metric_alert"}},
		"cloudtrail/create-bucket.json":     {"aws-eventbridge/envelopes/event-cloud-trail-create-bucket.json", feed.PublicBucketPolicy(1).Envelope(feed.Copy{At: at}), []string{"detail"}},
	} {
		t.Run(fixture, func(t *testing.T) {
			intaketest.OnBoth(t, []string{"testdata/" + fixture}, []string{tc.corpus}, func(t *testing.T, payloads []intaketest.Payload) {
				theirs := decode(t, payloads[0].Body)
				ours := decode(t, tc.ours)
				for _, path := range [][]string{nil, {"data"}, tc.path} {
					if theirsHere, ok := dig(t, theirs, path...).(map[string]any); ok {
						oursHere := dig(t, ours, path...).(map[string]any)
						for _, key := range slices.Sorted(maps.Keys(theirsHere)) {
							if _, ok := oursHere[key]; !ok {
								t.Errorf("%s: got %v without %q", payloads[0].Path, path, key)
							}
						}
					}
				}
			})
		})
	}
}
