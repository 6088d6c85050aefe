//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/pager"
	"tocsin/store/storetest"
)

// signedReplay posts genuine signed bodies with changed unsigned headers.
type signedReplay struct {
	*botProcess
}

// post posts a body with its genuine signature, which must be accepted.
func (r *signedReplay) post(source, body string, header ...string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/hooks/"+source, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	switch source {
	case "sentry":
		req.Header.Set("Sentry-Hook-Signature", feed.SignSentry(company.SentrySecret, []byte(body)))
	case "pagerduty":
		req.Header.Set("X-PagerDuty-Signature", pager.Sign([]byte(body), company.PagerSecret))
	case "hackerone":
		req.Header.Set("X-H1-Signature", "sha256="+feed.SignSentry(sourceSecret, []byte(body)))
	default:
		req.Header.Set("X-Signature-256", feed.SignSentry(sourceSecret, []byte(body)))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		r.t.Fatalf("%s: got status %d, want 202", source, res.StatusCode)
	}
}

const sourceSecret = "0123456789abcdef-secret"

// stored requires n deliveries of a source and waits until all are handled.
func (r *signedReplay) stored(source string, n int) {
	r.t.Helper()
	if got := r.queryInt("SELECT count(*) FROM inbox WHERE source = '" + source + "'"); got != n {
		r.t.Errorf("%s: got %d stored deliveries, want %d", source, got, n)
	}
	r.waitFor(time.Minute, "every delivery of "+source+" to be handled", func() bool {
		return r.queryInt("SELECT count(*) FROM inbox WHERE handled_at IS NULL") == 0
	})
}

func startSignedReplay(t *testing.T, url string) *signedReplay {
	return &signedReplay{botProcess: startBot(t, url, company.Options{Seed: 13, Limits: chat.Limits{Off: true}}, func(config map[string]any) {
		sources := config["sources"].(map[string]any)
		sources["hackerone"] = map[string]any{"secrets": []string{sourceSecret}}
		sources["generic"] = []any{map[string]any{"name": "siem", "delivery_header": "X-Delivery", "hmac": map[string]any{"secrets": []string{sourceSecret}},
			"mapping": map[string]any{"title": "body.title"}}}
		config["routing"] = []any{map[string]any{"when": "true", "open": "sev2"}}
	})}
}

// TestSignedDelivery_UnsignedHeadersDoNotMakeItNew posts each signed body again with
// other unsigned headers. It must count once.
func TestSignedDelivery_UnsignedHeadersDoNotMakeItNew(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		r := startSignedReplay(t, url)
		issue := feed.NewIssue(feed.DataLeak, 1)
		event := feed.Copy{N: 1, At: time.Now()}
		fired := string(feed.SentryEventAlert(issue, event))
		var otherRule map[string]any
		if err := json.Unmarshal([]byte(fired), &otherRule); err != nil {
			t.Fatal(err)
		}
		otherRule["data"].(map[string]any)["triggered_rule"] = "another rule"
		other, err := json.Marshal(otherRule)
		if err != nil {
			t.Fatal(err)
		}
		pagerEvent := fmt.Sprintf(`{"event":{"id":"E1","event_type":"incident.triggered","occurred_at":%q,"data":{"id":"PX1","type":"incident","title":"disk"}}}`, time.Now().UTC().Format(time.RFC3339))
		report := `{"data":{"activity":{"type":"activity-bug-filed","id":"1"},"report":{"id":"7","type":"report","attributes":{"title":"SQL injection in search"}}}}`
		for n := range 3 {
			id := fmt.Sprint("request-", n)
			r.post("sentry", fired, "Sentry-Hook-Resource", "event_alert", "Request-ID", id, "Sentry-Hook-Timestamp", fmt.Sprint(1600000000+n))
			r.post("sentry", string(other), "Sentry-Hook-Resource", "event_alert", "Request-ID", id)
			r.post("pagerduty", pagerEvent, "X-Webhook-Id", id)
			r.post("hackerone", report, "X-H1-Delivery", id, "X-H1-Event", "report_created")
		}
		r.stored("sentry", 2)
		r.stored("hackerone", 1)
		for source, want := range map[string]int{"sentry": 2, "pagerduty": 1, "report": 1} {
			if got := r.queryInt("SELECT coalesce(sum(count), 0) FROM alerts WHERE source = '" + source + "'"); got != want {
				t.Errorf("%s: got %d counted alerts, want %d", source, got, want)
			}
		}
	})
}

// TestSignedDelivery_GenericSource posts a signed body of a generic source again, with
// another delivery header in the window and with the same header in another body.
func TestSignedDelivery_GenericSource(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		r := startSignedReplay(t, url)
		for n := range 3 {
			r.post("siem", `{"title":"disk full"}`, "X-Delivery", fmt.Sprint("d-", n))
		}
		first := r.queryInt("SELECT count(*) FROM inbox WHERE source = 'siem'")
		if first > 2 { // two if the window of ten minutes changed in between
			t.Errorf("got %d stored deliveries, want 1", first)
		}
		r.post("siem", `{"title":"disk full"} `, "X-Delivery", "d-0") // a retry whose window has passed is another delivery
		r.stored("siem", first+1)
		if got := r.queryInt("SELECT sum(count) FROM alerts WHERE source = 'siem'"); got != first {
			t.Errorf("got %d counted alerts, want %d", got, first)
		}
	})
}

// TestPagerDuty_OldAcknowledgementStopsNoLaterRound replays genuine acknowledgements:
// one from years ago, and one of round 1 while round 2 pages.
func TestPagerDuty_OldAcknowledgementStopsNoLaterRound(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		r := startSignedReplay(t, url)
		responder := ""
		for _, p := range r.company.People {
			if p.Pager != "" && responder == "" {
				responder = p.Pager
			}
		}
		acknowledgement := func(id, key, at string) string {
			return fmt.Sprintf(`{"event":{"id":%q,"event_type":"incident.acknowledged","occurred_at":%q,"agent":{"id":%q,"type":"user_reference"},"data":{"id":"PX1","type":"incident","incident_key":%q}}}`,
				id, at, responder, key)
		}
		send := func(commands ...string) {
			t.Helper()
			for _, c := range commands {
				if _, err := r.sendCommand(c); err != nil {
					t.Fatalf("%s: %v", c, err)
				}
			}
		}
		posted := 0
		post := func(body string, acknowledged bool) {
			t.Helper()
			r.post("pagerduty", body, "X-Webhook-Id", fmt.Sprint("w-", posted))
			posted++
			r.waitFor(time.Minute, "the delivery to be handled", func() bool {
				return r.queryInt("SELECT count(*) FROM inbox WHERE source = 'pagerduty' AND handled_at IS NULL") == 0
			})
			if p := r.view(1).Incident.Paging; p.Acknowledged() != acknowledged {
				t.Errorf("after %s: got round %d acknowledged %v, want %v", body, p.Round, p.Acknowledged(), acknowledged)
			}
		}
		send("open sev2 keys in a public repository")
		now := func() string { return time.Now().UTC().Format(time.RFC3339Nano) }
		post(acknowledgement("A2020", "INC-1/1", "2020-03-01T02:00:00Z"), false)
		post(acknowledgement("A2020-2", "INC-1/2", "2020-03-01T02:00:00Z"), false)
		post(strings.Replace(acknowledgement("N2020", "INC-1/1", "2020-03-01T02:00:00Z"), "incident.acknowledged", "incident.resolved", 1), false)
		for _, e := range r.view(1).Timeline {
			if e.Kind == incident.EventSourceNoted && strings.Contains(fmt.Sprint(e.Texts), "resolved") {
				t.Error("got a note of 2020 in the timeline")
			}
		}
		first := acknowledgement("A1", "INC-1/1", now())
		post(first, true)
		send("severity INC-1 sev1")
		if p := r.view(1).Incident.Paging; p.Round != 2 {
			t.Fatalf("got round %d, want 2", p.Round)
		}
		post(first, false)
		post(acknowledgement("A2", "INC-1/1", now()), false) // of round 1, late
		post(acknowledgement("A3", "INC-1/2", now()), true)
	})
}
