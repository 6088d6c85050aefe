package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	slackgo "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/secret"
)

func signed(secret, body string, at time.Time) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return http.Header{"X-Slack-Request-Timestamp": {stamp}, "X-Slack-Signature": {chat.Sign(secret, stamp, []byte(body))}}
}

// TestVerify_SignaturesComputedElsewhere verifies signatures that another
// implementation computed.
func TestVerify_SignaturesComputedElsewhere(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/signature-vectors.json"}, []string{"slack/signature-vectors.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		var vectors []struct {
			Secret    string `json:"signing_secret"`
			Timestamp string `json:"timestamp"`
			Body      string `json:"body"`
			Signature string `json:"signature"`
		}
		if err := json.Unmarshal(payloads[0].Body, &vectors); err != nil {
			t.Fatal(err)
		}
		if len(vectors) != 2 {
			t.Fatalf("got %d vectors, want 2", len(vectors))
		}
		for _, v := range vectors {
			seconds, err := strconv.ParseInt(v.Timestamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{"X-Slack-Request-Timestamp": {v.Timestamp}, "X-Slack-Signature": {v.Signature}}
			if err := verify(h, []byte(v.Body), secret.New(v.Secret), time.Unix(seconds+299, 0)); err != nil {
				t.Errorf("%s: got error %v, want none", v.Timestamp, err)
			}
			if err := verify(h, []byte(v.Body+" "), secret.New(v.Secret), time.Unix(seconds, 0)); !errors.Is(err, errSignature) {
				t.Errorf("%s with another body: got %v, want %v", v.Timestamp, err, errSignature)
			}
		}
	})
}

func TestVerify(t *testing.T) {
	const body = `{"type":"event_callback"}`
	good := signed("s3cret", body, noon)
	with := func(name, value string) http.Header {
		h := good.Clone()
		h.Set(name, value)
		return h
	}
	tests := []struct {
		name   string
		header http.Header
		now    time.Time
		want   error
	}{
		{"valid", good, noon, nil},
		{"five minutes old", good, noon.Add(300 * time.Second), nil},
		{"too old", good, noon.Add(301 * time.Second), errStale},
		{"from the future", good, noon.Add(-301 * time.Second), errStale},
		{"no headers", http.Header{}, noon, errUnsigned},
		{"malformed timestamp", with("X-Slack-Request-Timestamp", "noon"), noon, errUnsigned},
		{"no version", with("X-Slack-Signature", strings.TrimPrefix(good.Get("X-Slack-Signature"), "v0=")), noon, errSignature},
		{"other timestamp", with("X-Slack-Request-Timestamp", strconv.FormatInt(noon.Unix()+1, 10)), noon, errSignature},
		{"upper case", with("X-Slack-Signature", strings.ToUpper(good.Get("X-Slack-Signature"))), noon, errSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := verify(test.header, []byte(body), secret.New("s3cret"), test.now); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if err := verify(signed("", body, noon), []byte(body), secret.String{}, noon); !errors.Is(err, errUnsigned) {
		t.Errorf("without a signing secret: got error %v, want %v", err, errUnsigned)
	}
}

func TestHandler_RejectsBadRequests(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	signing := e.ws.Config().SigningSecret
	const form = "application/x-www-form-urlencoded"
	command := url.Values{"command": {"/incident"}, "text": {"ack INC-42"}, "user_id": {"U0ADA"}, "trigger_id": {"1.2.3"}}.Encode()
	tests := []struct {
		name, path, media, body string
		header                  http.Header
		status                  int
		want                    string
	}{
		{"unsigned", "/slack/commands", form, command, http.Header{}, 401, "signature"},
		{"wrong secret", "/slack/commands", form, command, signed("other", command, noon), 401, "signature"},
		{"stale", "/slack/commands", form, command, signed(signing, command, noon.Add(-time.Hour)), 401, "five minutes"},
		{"too large", "/slack/interactions", form, strings.Repeat("x", MaxBody+1), http.Header{}, 413, "1 MiB"},
		{"not a form", "/slack/commands", "application/json", command, signed(signing, command, noon), 400, "urlencoded"},
		{"no payload", "/slack/interactions", form, "payload=", signed(signing, "payload=", noon), 400, "interaction"},
		{"event is not JSON", "/slack/events", "application/json", "hello", signed(signing, "hello", noon), 400, "JSON"},
		{"certificate probe", "/slack/commands", form, "ssl_check=1", signed(signing, "ssl_check=1", noon), 200, ""},
		{"url verification", "/slack/events", "application/json", `{"type":"url_verification","challenge":"c1"}`,
			signed(signing, `{"type":"url_verification","challenge":"c1"}`, noon), 200, `"challenge":"c1"`},
		{"unknown interaction", "/slack/interactions", form, "payload=%7B%22type%22%3A%22new%22%7D", signed(signing, "payload=%7B%22type%22%3A%22new%22%7D", noon), 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body))
			r.Header = test.header
			r.Header.Set("Content-Type", test.media)
			w := httptest.NewRecorder()
			e.slack.Handler().ServeHTTP(w, r)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, test.status, test.want)
			}
		})
	}
	if n := e.desk.count(); n != 0 {
		t.Errorf("got %d recorded commands, want 0", n)
	}
}

func TestHandler_ReplayRecordsOnce(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	body := url.Values{"command": {"/incident"}, "text": {"note INC-42 x"}, "user_id": {"U0ADA"}, "trigger_id": {"1.2.3"}}.Encode()
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/slack/commands", strings.NewReader(body))
		r.Header = signed(e.ws.Config().SigningSecret, body, noon)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		e.slack.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	if n := e.desk.count(); n != 1 {
		t.Errorf("got %d recorded commands, want 1", n)
	}
}

func TestCommands(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		if got := e.typeCommand("U0ADA", "ack"); !strings.Contains(got, "You acknowledged") {
			t.Errorf("ack: got %s, want an acknowledgement", got)
		}
		cmd := e.desk.last()
		if cmd.Verb != incident.VerbAcknowledge || cmd.For != 42 || cmd.By != identity("U0ADA") || cmd.Auth != "slack" || cmd.Via != incident.ViaSlack || cmd.Key == "" {
			t.Errorf("got command %+v, want ack of INC-42 by Ada", cmd)
		}
		if got := e.typeCommand("U0ADA", "ack"); !strings.Contains(got, "No change") {
			t.Errorf("second ack: got %s, want no change", got)
		}
		tests := []struct{ user, text, want string }{
			{"U0ADA", "note at 02:31 fish &amp; chips by <@U0BEN|ben>", "The note is entry"},
			{"U0ADA", "notte x", `Did you mean \"note\"`},
			{"U0ADA", "sign leagl", `Did you mean \"legal\"`},
			{"U0ADA", "submit", "is not possible. You can use "},
			{"U0ADA", "role scribe <@U0ZOE|zoe>", "is not linked to a person"},
			{"U0ZOE", "note hello", "is not linked to a person"},
			{"U0ADA", "list", "INC-42"},
			{"U0ADA", "list closed", "INC-42"},
			{"U0ADA", "alerts", "A17 · sentry.issue"},
			{"U0ADA", "alerts dropped", "Only responders can see alerts"},
			{"U0ADA", "status", "Root key used"},
			{"U0ADA", "status INC-99", "There is no INC-99"},
			{"U0ADA", "record show", "Closing record"},
			{"U0ADA", "help", "`delegate`"},
			{"U0ADA", "help evidence", "sha256"},
			{"U0ADA", "open sev3 Another one", "INC-43"},
			{"U0ADA", "dismiss a planned test", "second, independent person must confirm the dismissal"},
			{"U0ADA", "open sev9 foo", "Unknown severity \\\"sev9\\\""},
			{"U0ADA", "severity SEV-5", "sev1 (most severe), sev2, sev3 or sev4"},
			{"U0ADA", "ack p9", "sev1 (most severe), sev2, sev3 or sev4"},
		}
		for _, test := range tests {
			if got := e.typeCommand(test.user, test.text); !strings.Contains(got, test.want) {
				t.Errorf("%s: got %s\nwant %s", test.text, got, test.want)
			}
		}
		note := e.desk.commands[2]
		if want := "fish & chips by @Ben Oduya"; note.Text != want || note.HappenedAt.Hour() != 2 {
			t.Errorf("got note %q at %s, want %q at 02:31", note.Text, note.HappenedAt, want)
		}
	})
}

// A reply that is too large for an acknowledgement is sent separately.
func TestRunSocket_LargeReply(t *testing.T) {
	e := newInboundTest(t, chat.ModeSocket)
	e.desk.change(func(inc *incident.Incident) {
		inc.Record.Summary, inc.Record.Impact = strings.Repeat("界", 6000), strings.Repeat("界", 6000)
	})
	if got := e.typeCommand("U0ADA", "record show"); got != "" && !strings.Contains(got, "Closing record") {
		t.Errorf("got reply %.200s, want none or the closing record", got)
	}
	if m := e.lastEphemeral("U0ADA"); !strings.Contains(m.Text, "Closing record") {
		t.Errorf("got ephemeral %q, want the closing record", m.Text)
	}
}

// deskError is an error of the Desk. If unknown is true, the command may have
// been committed.
type deskError struct{ unknown bool }

func (deskError) Error() string          { return "the connection broke" }
func (f deskError) OutcomeUnknown() bool { return f.unknown }

func TestCommand_FailureIsReportedAndRepeatRecordsOnce(t *testing.T) {
	tests := []struct {
		name   string
		before func(ctx context.Context) error
		want   string
		again  string // the repeat: as typed, or as the reply gives it
	}{
		{"unavailable", func(context.Context) error { return errors.New("no disk") }, "Not saved", "note x"},
		{"slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, "Not saved: the database of Tocsin does not answer. Nothing was recorded.", "note INC-42 x"},
		{"unknown outcome", func(context.Context) error { return deskError{true} }, "did not answer in time", "note INC-42 x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := newInboundTest(t, chat.ModeHTTP)
			e.slack.timeout = 50 * time.Millisecond
			keys := map[string]bool{}
			e.desk.beforeDo = test.before
			if got := e.typeCommand("U0ADA", "note x"); !strings.Contains(got, test.want) || strings.Contains(got, "no disk") {
				t.Errorf("got %s, want %q without details", got, test.want)
			}
			if e.desk.count() != 0 {
				t.Error("got a recorded command, want none")
			}
			for _, k := range e.slack.recent.open {
				keys[k.key] = true
			}
			e.desk.beforeDo = nil
			e.slack.timeout = deskTimeout
			if got := e.typeCommand("U0ADA", test.again); !strings.Contains(got, "The note is entry") {
				t.Errorf("repeat: got %s, want a recorded note", got)
			}
			if len(keys) != 1 || !keys[e.desk.last().Key] {
				t.Errorf("got key %s in the repeat, want the key of the first attempt, %v", e.desk.last().Key, keys)
			}
			if len(e.slack.recent.open) != 0 {
				t.Error("got a remembered key after a known outcome, want none")
			}
		})
	}
}

func TestCommand_LateResultIsSent(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.slack.timeout = 20 * time.Millisecond
	release := make(chan struct{})
	e.desk.beforeDo = func(context.Context) error { <-release; return nil }
	if got := e.typeCommand("U0ADA", "note x"); !strings.Contains(got, "did not answer in time") {
		t.Errorf("got %s, want a timeout", got)
	}
	close(release)
	if m := e.lastEphemeral("U0ADA"); !strings.Contains(m.Text, "The note is entry") {
		t.Errorf("late reply: got %q, want a recorded note", m.Text)
	}
}

// The Desk blocks while it resolves the person or the channel.
func TestCommand_BlockedDeskTimesOut(t *testing.T) {
	for _, text := range []string{"note x", "status", "help", "nonsense"} {
		for _, blockDirectory := range []bool{true, false} {
			t.Run(fmt.Sprint(text, blockDirectory), func(t *testing.T) {
				e := newInboundTest(t, chat.ModeHTTP)
				e.slack.timeout = 20 * time.Millisecond
				release := make(chan struct{})
				defer close(release)
				block := func() { <-release }
				if blockDirectory {
					e.desk.onDirectory = block
				} else {
					e.desk.onLookup = block
				}
				if got := e.typeCommand("U0ADA", text); !strings.Contains(got, "Not saved") {
					t.Errorf("got %s, want not saved", got)
				}
			})
		}
	}
}

func TestCheck_ListsMissingScopes(t *testing.T) {
	f := newOutboundTest(t, func(c *chat.Config) { c.Scopes = []string{"chat:write"} })
	err := f.slack.Check(f.ctx)
	if err == nil || !strings.Contains(err.Error(), "groups:write") || strings.Contains(err.Error(), "chat:write,") {
		t.Errorf("got error %v, want the missing scopes only", err)
	}
	if err := newOutboundTest(t).slack.Check(f.ctx); err != nil {
		t.Errorf("with all scopes: got error %v, want nil", err)
	}
}

func TestGroups(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	got, err := e.slack.Groups(context.Background(), []string{"S0SEC", "S0GONE"})
	if err == nil || !strings.Contains(err.Error(), "S0GONE") {
		t.Errorf("got error %v, want S0GONE in it", err)
	}
	if len(got) != 1 || len(got["S0SEC"]) != 2 {
		t.Errorf("got groups %v, want S0SEC with 2 members", got)
	}
}

func TestNew_ReportsAllConfigErrors(t *testing.T) {
	_, err := New(Config{CommandName: "incident"}, Deps{})
	for _, want := range []string{"bot_token", "signing_secret", "slash", "redactor"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %s in it", err, want)
		}
	}
}

func TestRunSocket_Reconnects(t *testing.T) {
	e := newInboundTest(t, chat.ModeSocket)
	e.ws.Disconnect("refresh_requested")
	e.waitUntil(func() bool { return e.ws.Connections() > 0 })
	if got := e.typeCommand("U0ADA", "ack"); !strings.Contains(got, "You acknowledged") {
		t.Errorf("after reconnecting: got %s, want an acknowledgement", got)
	}
}

// TestReconnect_EndsThePauses refuses so many connections that the pauses between them
// are longer than the test waits.
func TestReconnect_EndsThePauses(t *testing.T) {
	e := newInboundTest(t, chat.ModeSocket)
	e.answers.Put(answer.Answer{Method: "apps.connections.open", Status: http.StatusInternalServerError, Left: answer.Times(9)})
	e.ws.Disconnect("refresh_requested")
	e.waitUntil(func() bool { return e.ws.Connections() == 0 })
	connected := make(chan struct{})
	var repeats sync.WaitGroup
	repeats.Go(func() {
		for {
			select {
			case <-connected:
				return
			default:
				e.slack.Reconnect()
				runtime.Gosched()
			}
		}
	})
	e.waitUntil(func() bool { return e.ws.Connections() > 0 })
	close(connected)
	repeats.Wait()
	if got := e.typeCommand("U0ADA", "ack"); !strings.Contains(got, "You acknowledged") {
		t.Errorf("after reconnecting: got %s, want an acknowledgement", got)
	}
}

// A pause that Slack requests is kept.
func TestIsPause(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"network": {io.EOF, true},
		"limit":   {fmt.Errorf("connect: %w", &slackgo.RateLimitedError{RetryAfter: time.Minute}), false},
	} {
		if got := isPause(socketmode.Event{Type: socketmode.EventTypeConnectionError, Data: &slackgo.ConnectionErrorEvent{ErrorObj: c.err}}); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestDecodeInteraction_RecordedPayloads(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/payloads/*.json"}, []string{"slack/slack-go-payloads/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		e := newInboundTest(t, chat.ModeHTTP)
		for _, p := range payloads {
			if strings.HasPrefix(p.Name, "interactions-") {
				in, err := decodeInteraction(p.Body)
				if err != nil {
					t.Errorf("%s: got error %v, want none", p.Name, err)
				}
				e.slack.handleInteraction(context.Background(), in)
			}
			var ev eventPayload
			if json.Unmarshal(p.Body, &ev) == nil {
				e.slack.handleEvent(ev)
			}
		}
	})
}

func FuzzDecodeInteraction(f *testing.F) {
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1"},"actions":[{"action_id":"ack","value":"INC-42|x"}]}`))
	f.Add([]byte(`{"type":"view_submission","view":{"callback_id":"note","private_metadata":"{\"i\":42}","state":{"values":{"text":{"text":{"type":"plain_text_input","value":null}}}}}}`))
	f.Add([]byte(`{"type":"message_action","callback_id":"add_note","message":{"ts":"1.2","text":"<@U1>"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := decodeInteraction(data)
		if err != nil {
			return
		}
		for _, a := range in.Actions {
			if id, _, err := parseValue(a.Value); err == nil && id <= 0 {
				t.Fatalf("parseValue(%q) = %s, want a positive ID", a.Value, id)
			}
		}
		var m formMeta
		if json.Unmarshal([]byte(in.View.PrivateMetadata), &m) != nil {
			return
		}
		for _, given := range formCommands() {
			verb := given.Verb
			form, _ := command.FormFor(m.Given(verb))
			var refused *incident.Error
			if _, err := m.command(verb, form, in.View.State.Values, command.Context{Now: noon}); err != nil && !errors.As(err, &refused) {
				t.Fatalf("%s: got error %v, want an incident.Error", verb, err)
			}
		}
	})
}

// A refusal before the Desk quotes words of the command. They leave redacted.
func TestCommand_RefusalIsRedacted(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	for _, command := range []string{"role scribe jane.doe@customer.example", "severity jane.doe@customer.example", "fact aware gdpr jane.doe@customer.example", "jane.doe@customer.example"} {
		if got := e.typeCommand("U0ADA", command); got == "" || strings.Contains(got, "jane.doe") {
			t.Errorf("%q: got %s", command, got)
		}
	}
}
