package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
)

// logTo sends the log of Slack to a buffer.
func logTo(out *bytes.Buffer) func(*options) {
	return func(o *options) { o.Logger = slog.New(slog.NewTextHandler(out, nil)) }
}

// A failure of Slack is not blamed on the records of Tocsin, in the reply and in the log.
func TestForm_FailureOfSlackIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		fault chat.FaultKind
		body  string
		want  string // in the reply
	}{
		"500":            {fault: chat.FaultServerError, want: "Slack answers with the HTTP status 500"},
		"429":            {fault: chat.FaultRateLimit, want: "Slack limits the rate of requests"},
		"no response":    {fault: chat.FaultDropAfter, want: "Slack closes the connection"},
		"internal error": {body: `{"ok":false,"error":"internal_error"}`, want: "Slack answers with the error internal_error"},
		"revoked token":  {body: `{"ok":false,"error":"token_revoked"}`, want: "Slack does not accept the bot token"},
		"missing scope":  {body: `{"ok":false,"error":"missing_scope","needed":"x:y"}`, want: "The app lacks the scope x:y"},
	} {
		instead := map[string]string{"open the form": "try again, or type /incident open [", "show the answer": "try again, or type /incident status INC-42"}
		for what, act := range map[string]func(*inboundTest) string{
			"open the form": func(e *inboundTest) string { return e.typeCommand("U0ADA", "open") },
			"show the answer": func(e *inboundTest) string {
				if err := e.ws.Act("U0ADA").ClickView(e.openHome("U0ADA").ID, chat.Action{ID: askID(0), Value: "status INC-42"}); err != nil {
					e.Fatal(err)
				}
				e.slack.Wait()
				dm, err := e.ws.Act("U0ADA").OpenDM()
				messages := e.ws.Messages(dm)
				if err != nil || len(messages) == 0 {
					e.Fatalf("got no direct message: %v", err)
				}
				return messages[len(messages)-1].Text
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				var log bytes.Buffer
				e := newInboundTest(t, chat.ModeHTTP, logTo(&log))
				if c.fault != "" {
					e.ws.SetFault(chat.Fault{Method: "views.open", Kind: c.fault})
				} else {
					e.answers.Put(answer.Answer{Method: "views.open", Body: answer.Text(c.body)})
				}
				reply := act(e)
				e.slack.Wait()
				if !strings.Contains(reply, "Slack did not "+what+". "+c.want) || !strings.Contains(reply, "Tocsin works") || !strings.Contains(reply, instead[what]) {
					t.Errorf("got reply %q", reply)
				}
				if text := log.String(); !strings.Contains(text, `level=WARN msg="call Slack failed" component=slack call="`+what+`" cause="`+c.want) || strings.Contains(text, "answer command failed") {
					t.Errorf("got log %s", text)
				}
			})
		}
	}
}

// A failure of the Desk is not blamed on Slack. A question saves nothing, so its reply
// does not speak of it.
func TestReply_FailureOfTheDesk(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	e.desk.beforeDo = func(context.Context) error { return errors.New("database unavailable") }
	if got := e.typeCommand("U0ADA", "note it broke"); !strings.HasPrefix(got, "Not saved: Tocsin ") {
		t.Errorf("got reply %q to a command", got)
	}
	for text, want := range map[string]string{ // Slack has cleared it
		"note it broke":            `/incident note INC-42 \"it broke\"`,
		"role scribe <@U0ADA|ada>": "/incident role INC-42 scribe ",
	} {
		if got := e.typeCommand("U0ADA", text); !strings.Contains(got, "Your command, to copy and send again:") || !strings.Contains(got, want) {
			t.Errorf("%s: got reply %q, want the command %q to send again", text, got, want)
		}
	}
	e.desk.listErr = errors.New("database unavailable")
	if got := e.typeCommand("U0ADA", "list"); !strings.HasPrefix(got, "Tocsin could not read") {
		t.Errorf("got reply %q to a question", got)
	}
}

// The probe names each problem of the token, and the fix.
func TestProbe(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	probe := func() string {
		var p *health.Problem
		switch err := e.slack.Probe(t.Context()); {
		case err == nil:
			return "ok"
		case errors.As(err, &p):
			return p.Error()
		default:
			return "not explained: " + err.Error()
		}
	}
	if got := probe(); got != "ok" {
		t.Errorf("got %s, want ok", got)
	}
	e.answers.Put(answer.Answer{Method: "auth.test", Header: map[string]string{"X-OAuth-Scopes": "chat:write"}, Body: `{"ok":true,"user_id":"U0TOCSIN"}`})
	if got := probe(); !strings.HasPrefix(got, "The Slack app lacks the scopes app_mentions:read, ") || !strings.Contains(got, "reinstall the app") {
		t.Errorf("got %s", got)
	}
	e.answers.Put(answer.Answer{Method: "auth.test", Body: `{"ok":false,"error":"invalid_auth"}`})
	if got := probe(); !strings.HasPrefix(got, "Slack does not accept the bot token. ") {
		t.Errorf("got %s", got)
	}
	e.answers.Put(answer.Answer{Method: "auth.test", Status: 503})
	if got := probe(); !strings.HasPrefix(got, "Slack answers with the HTTP status 503. ") {
		t.Errorf("got %s", got)
	}
}

func TestProbeGroup(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	if err := e.slack.ProbeGroup(t.Context(), "S0SEC"); err != nil {
		t.Error(err)
	}
	if err := e.slack.ProbeGroup(t.Context(), "S0NONE"); err == nil || !strings.HasPrefix(err.Error(), "The Slack user group S0NONE does not exist. ") {
		t.Errorf("got %v for an unknown group", err)
	}
	e.answers.Put(answer.Answer{Method: "usergroups.users.list", Body: `{"ok":true,"users":[]}`})
	if err := e.slack.ProbeGroup(t.Context(), "S0SEC"); err == nil || !strings.HasPrefix(err.Error(), "The Slack user group S0SEC has no members") {
		t.Errorf("got %v for an empty group", err)
	}
}

// Requests with wrong signatures count until a valid one arrives, or for an hour.
// Unsigned requests of strangers do not count.
func TestCheckRequests(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	send := func(signature string) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://tocsin/slack/events", strings.NewReader(`{"type":"url_verification"}`))
		if signature != "" {
			req.Header.Set("X-Slack-Request-Timestamp", fmt.Sprint(e.clock().Unix()))
			req.Header.Set("X-Slack-Signature", signature)
		}
		e.slack.Handler().ServeHTTP(discardResponse{http.Header{}}, req)
	}
	check := func() string {
		if err := e.slack.CheckRequests(e.clock()); err != nil {
			return err.Error()
		}
		return ""
	}
	for range 10 {
		send("")
	}
	send("v0=00")
	send("v0=00")
	if got := check(); got != "" {
		t.Errorf("got %q after two wrong signatures", got)
	}
	send("v0=00")
	if got := check(); !strings.HasPrefix(got, "3 requests to /slack/ had a wrong signature") {
		t.Errorf("got %q after three wrong signatures", got)
	}
	e.typeCommand("U0ADA", "help")
	if got := check(); got != "" {
		t.Errorf("got %q after a valid signature", got)
	}
	for range 3 {
		send("v0=00")
	}
	e.advance(rejectedTTL)
	if got := check(); got != "" {
		t.Errorf("got %q after an hour", got)
	}
}

type discardResponse struct{ header http.Header }

func (d discardResponse) Header() http.Header         { return d.header }
func (d discardResponse) Write(b []byte) (int, error) { return len(b), nil }
func (d discardResponse) WriteHeader(int)             {}

// The state of Socket Mode is reported when it changes.
func TestSocket_ReportsItsState(t *testing.T) {
	states := make(chan error, 100)
	e := newInboundTest(t, chat.ModeSocket, func(o *options) { o.OnSocket = func(err error) { states <- err } })
	if err := <-states; err != nil {
		t.Errorf("got %v after the connection", err)
	}
	e.answers.Put(answer.Answer{Method: "apps.connections.open", Body: `{"ok":false,"error":"internal_error"}`})
	e.ws.DropSockets()
	select {
	case err := <-states:
		if err == nil || !strings.HasPrefix(err.Error(), "Slack answers with the error internal_error. ") {
			t.Errorf("got %v after the failure", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the failure was not reported")
	}
}
