package slack

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/redact"
	"tocsin/bot/secret"
)

// fakeInternet answers every request with an error of Slack and records the
// hosts.
type fakeInternet struct {
	mu    sync.Mutex
	hosts map[string]bool
}

func (o *fakeInternet) RoundTrip(r *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.hosts[r.URL.Host] = true
	o.mu.Unlock()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"ok":false,"error":"channel_not_found"}`))}, nil
}

// fuzzedSlack returns a Slack with INC-42 that reaches only fakeInternet.
func fuzzedSlack(t *testing.T, key string) (*Slack, *fakeDesk, *fakeInternet) {
	t.Helper()
	net := &fakeInternet{hosts: map[string]bool{}}
	now := func() time.Time { return noon }
	s, err := New(Config{BotToken: secret.New("xoxb-1"), SigningSecret: secret.New(key), APIURL: "https://slack.test/api/"},
		Deps{Redact: redact.New(redact.Options{}).Text, HTTPClient: &http.Client{Transport: net}, Clock: now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	inc := incident.New(42)
	inc.Status, inc.Severity, inc.Title, inc.Links = incident.Active, incident.Sev2, "Root key used", map[string]string{incident.LinkChannel: "C42"}
	desk := newFakeDesk(now)
	desk.incidents[42] = inc
	s.Serve(desk)
	return s, desk, net
}

var internalText = regexp.MustCompile(`json:|cannot unmarshal|Go (struct|value|type)|\.go\b|goroutine|runtime error|panic|%!|<nil>|tocsin/bot`)

// FuzzRequest checks that an endpoint rejects an unsigned request with 401 and
// answers a signed one with 200, or with 400 and an explanation. The response is
// JSON without internal details. A repeated request records nothing new, the
// author is the person in the request, and Tocsin calls only Slack.
func FuzzRequest(f *testing.F) {
	paths := []string{"/slack/commands", "/slack/interactions", "/slack/events"}
	command := url.Values{"command": {"/incident"}, "user_id": {"U0ADA"}, "channel_id": {"C42"}, "trigger_id": {"1.2"}, "response_url": {"https://hooks.slack.com/commands/1"}}
	for _, text := range []string{"", "help", "list", "status INC-42", "ack", "note INC-42 <@U0BEN> \xff", "open sev2 a leaked key", "fact INC-42 occurred 02:31 because x", "split INC-42 alerts A1 x", "alerts"} {
		command.Set("text", text)
		f.Add(uint8(0), []byte(command.Encode()))
	}
	f.Add(uint8(1), []byte(`{"type":"block_actions","trigger_id":"1.2","user":{"id":"U0ADA"},"channel":{"id":"C42"},"actions":[{"action_id":"ack","value":"INC-42|x"}]}`))
	f.Add(uint8(1), []byte(`{"type":"view_submission","user":{"id":"U0ADA"},"view":{"id":"V1","hash":"h","callback_id":"note","private_metadata":"{\"i\":42}","state":{"values":{"text":{"text":{"type":"plain_text_input","value":"x"}}}}}}`))
	f.Add(uint8(1), []byte(`{"type":"message_action","trigger_id":"1","user":{"id":"U0BEN"},"channel":{"id":"C42"},"callback_id":"add_note","response_url":"https://evil.example/","message":{"ts":"1.2","text":"<@U1>"}}`))
	f.Add(uint8(2), []byte(`{"type":"event_callback","event_id":"E1","event":{"type":"app_home_opened","user":"U0ADA","tab":"home"}}`))
	f.Add(uint8(2), []byte(`{"type":"url_verification","challenge":"x"}`))
	for _, p := range append(intaketest.Fixtures(f, "testdata/payloads/*.json"), intaketest.Corpus(f, "slack/slack-go-payloads/*.json", "slack/payload-shapes/*/*.json")...) {
		f.Add(uint8(1), p.Body)
		f.Add(uint8(2), p.Body)
	}
	const key = "signing"
	now := noon
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path := paths[int(which)%len(paths)]
		if path == "/slack/interactions" {
			body = []byte(url.Values{"payload": {string(body)}}.Encode())
		}
		s, desk, net := fuzzedSlack(t, key)
		send := func(header http.Header) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
			r.Header = header
			if path != "/slack/events" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			s.Wait()
			return w
		}
		if w := send(http.Header{}); w.Code != http.StatusUnauthorized || desk.count() > 0 {
			t.Fatalf("unsigned request: got status %d, want 401", w.Code)
		}
		first := send(signed(key, string(body), now))
		recorded := desk.count()
		second := send(signed(key, string(body), now))
		got := first.Body.String()
		switch {
		case first.Code != second.Code:
			t.Fatalf("got status %d and then %d, want equal", first.Code, second.Code)
		case first.Code != http.StatusOK && first.Code != http.StatusBadRequest:
			t.Fatalf("got status %d %s, want 200 or 400", first.Code, got)
		case got != "" && (!json.Valid([]byte(got)) || !utf8.ValidString(got)):
			t.Fatalf("got %q, want JSON", got)
		case internalText.MatchString(got) && !internalText.Match(body):
			t.Fatalf("got internal details: %s", got)
		case first.Code == http.StatusBadRequest && (recorded > 0 || !strings.Contains(got, `"message":"expected`)):
			t.Fatalf("got error %s after %d commands, want an explanation and 0", got, recorded)
		case recorded > 1 || desk.count() != recorded:
			t.Fatalf("got %d commands after one request and %d after two, want at most 1 and no more", recorded, desk.count())
		}
		if c := desk.last(); recorded > 0 && (c.By.Provider != incident.ProviderSlack || c.By.ID == "" || !strings.Contains(string(body), url.QueryEscape(c.By.ID)) || c.Key == "" || c.Auth == "" || c.Via != incident.ViaSlack) {
			t.Fatalf("got command %+v from another author", c)
		}
		for host := range net.hosts {
			if host != "slack.test" && host != "hooks.slack.com" {
				t.Fatalf("got a request to %s, want only Slack", host)
			}
		}
	})
}

// FuzzShapes checks that decoding is deterministic and leaves its input unchanged.
func FuzzShapes(f *testing.F) {
	for _, p := range append(intaketest.Fixtures(f, "testdata/payloads/*.json"), intaketest.Corpus(f, "slack/slack-go-payloads/*.json", "slack/payload-shapes/*/*.json")...) {
		f.Add(p.Body)
	}
	f.Add([]byte(`{"type":"x","actions":[{"selected_options":[{"value":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := string(data)
		one, err := decodeInteraction(data)
		two, again := decodeInteraction(data)
		var e1, e2 eventPayload
		bad1, bad2 := json.Unmarshal(data, &e1), json.Unmarshal(data, &e2)
		if before != string(data) || !reflect.DeepEqual(one, two) || (err == nil) != (again == nil) || !reflect.DeepEqual(e1, e2) || (bad1 == nil) != (bad2 == nil) {
			t.Fatalf("%q: got two different results", data)
		}
		if err == nil && one.Type == "" || err != nil && !reflect.DeepEqual(one, interaction{}) {
			t.Fatalf("got %+v with error %v", one, err)
		}
		if text := unescape(before); len(text) > len(before) {
			t.Fatalf("unescape(%q) = %q, want no longer text", before, text)
		}
	})
}
