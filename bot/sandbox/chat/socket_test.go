package chat_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/slackevents"
	"github.com/slack-go/slack/socketmode"

	"tocsin/bot/sandbox/chat"
)

// connectSocket runs a slack-go Socket Mode client that calls handle for every envelope.
func (w *fixture) connectSocket(handle func(*socketmode.Client, socketmode.Event)) {
	w.Helper()
	before := w.ws.Connections()
	c := socketmode.New(w.api)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.RunContext(ctx)
	}()
	go func() {
		for {
			select {
			case e := <-c.Events:
				if e.Request != nil && e.Type != socketmode.EventTypeHello {
					handle(c, e)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	w.Cleanup(func() {
		cancel()
		<-done
	})
	w.waitFor(func() bool { return w.ws.Connections() > before })
}

func newSocketFixture(t *testing.T, change ...func(*chat.Config)) *fixture {
	return newFixture(t, append([]func(*chat.Config){func(c *chat.Config) { c.Mode, c.Clock = chat.ModeSocket, time.Now }}, change...)...)
}

func TestSocketMode(t *testing.T) {
	w := newSocketFixture(t)
	texts := make(chan string, 8)
	w.connectSocket(func(c *socketmode.Client, e socketmode.Event) {
		switch e.Type {
		case socketmode.EventTypeSlashCommand:
			cmd := e.Data.(slack.SlashCommand)
			if _, err := w.api.OpenView(cmd.TriggerID, modal(input("title", "text", "Title"))); err != nil {
				t.Errorf("open: %v", err)
			}
			_ = c.Ack(*e.Request, map[string]any{"text": "form for " + cmd.UserName})
		case socketmode.EventTypeInteractive:
			in := e.Data.(slack.InteractionCallback)
			if in.Type == slack.InteractionTypeViewSubmission {
				_ = c.Ack(*e.Request, slack.NewErrorsViewSubmissionResponse(map[string]string{"title": "no"}))
				return
			}
			_ = c.Ack(*e.Request)
		case socketmode.EventTypeEventsAPI:
			_ = c.Ack(*e.Request)
			if m, ok := e.Data.(slackevents.EventsAPIEvent).InnerEvent.Data.(*slackevents.MessageEvent); ok {
				texts <- m.Text
			}
		}
	})
	m, err := w.ws.Act(ada).Command(general, "/incident", "open")
	if err != nil || m == nil || m.Text != "form for ada" {
		t.Fatalf("got %+v, %v", m, err)
	}
	views := w.ws.OpenViews(ada)
	if len(views) != 1 {
		t.Fatalf("open: %v", views)
	}
	s, err := w.ws.Act(ada).Submit(views[0].ID, map[string]map[string]any{"title": {"text": "a"}})
	if err != nil || s.Errors["title"] != "no" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := w.ws.Act(ada).Post(general, "hello", ""); err != nil {
		t.Fatal(err)
	}
	if got := <-texts; got != "hello" {
		t.Errorf("heard %q", got)
	}
}

func TestSocketSharesEnvelopesAmongConnections(t *testing.T) {
	w := newSocketFixture(t)
	got := [2]chan struct{}{make(chan struct{}, 64), make(chan struct{}, 64)}
	for i := range got {
		w.connectSocket(func(c *socketmode.Client, e socketmode.Event) {
			_ = c.Ack(*e.Request)
			got[i] <- struct{}{}
		})
	}
	for range 24 {
		if _, err := w.ws.Act(ada).Command(general, "/incident", ""); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := len(got[0]), len(got[1]); a == 0 || b == 0 || a+b > 24 {
		t.Errorf("got %d and %d of 24 envelopes, want both connections used", a, b)
	}
}

func TestSocketMode_Reconnects(t *testing.T) {
	for _, reason := range []string{chat.DisconnectRefresh, chat.DisconnectWarning} {
		w := newSocketFixture(t)
		w.connectSocket(func(c *socketmode.Client, e socketmode.Event) { _ = c.Ack(*e.Request) })
		if n := w.ws.Disconnect(reason); n != 1 {
			t.Errorf("%s: got %d notified connections, want 1", reason, n)
		}
		w.waitFor(func() bool { return w.ws.Connections() == 1 }) // disconnecting connections do not count, so this is a new one
		if _, err := w.ws.Act(ada).Command(general, "/incident", ""); err != nil {
			t.Errorf("after %s: %v", reason, err)
		}
	}
	w := newSocketFixture(t)
	w.ws.Disconnect(chat.DisconnectDisabled)
	if _, _, err := w.api.StartSocketModeContext(t.Context()); err == nil {
		t.Error("a disabled Socket Mode returned a URL")
	}
	w.ws.EnableSocketMode()
	_, url, err := w.api.StartSocketModeContext(t.Context())
	if err != nil || !strings.HasPrefix(url, "ws://127.0.0.1:") {
		t.Errorf("got %q, %v", url, err)
	}
}

func TestSocketMode_RetriesOnlyEvents(t *testing.T) {
	w := newSocketFixture(t, func(c *chat.Config) { c.AckTimeout = 50 * time.Millisecond })
	attempts := make(chan int, 8)
	w.connectSocket(func(c *socketmode.Client, e socketmode.Event) {
		if e.Type != socketmode.EventTypeEventsAPI {
			return // interactions and commands are never acknowledged here
		}
		attempts <- e.Request.RetryAttempt
		if e.Request.RetryAttempt > 0 {
			_ = c.Ack(*e.Request)
		}
	})
	if _, err := w.ws.Act(ada).Post(general, "hello", ""); err != nil {
		t.Fatal(err)
	}
	if a, b := <-attempts, <-attempts; a != 0 || b != 1 {
		t.Errorf("got attempts %d, %d, want 0, 1", a, b)
	}
	var seen *chat.ClientError
	if _, err := w.ws.Act(ada).Command(general, "/incident", ""); !errors.As(err, &seen) || seen.Code != "operation_timeout" {
		t.Errorf("got %v", err)
	}
	commands := 0
	for _, d := range w.ws.Deliveries() {
		if d.Kind == "command" {
			commands++
		}
	}
	if commands != 1 {
		t.Errorf("got %d deliveries of the command, want 1", commands)
	}
}

func TestSocketMode_IgnoresLargeAcknowledgements(t *testing.T) {
	w := newSocketFixture(t, func(c *chat.Config) { c.AckTimeout = 50 * time.Millisecond })
	w.connectSocket(func(c *socketmode.Client, e socketmode.Event) {
		_ = c.Send(socketmode.Response{EnvelopeID: e.Request.EnvelopeID, Payload: map[string]any{"text": strings.Repeat("x", 19_990)}})
		if err := c.Ack(*e.Request, map[string]any{"text": strings.Repeat("x", 21_000)}); err == nil {
			t.Error("slack-go sent an acknowledgement of 21 kB")
		}
	})
	if m, err := w.ws.Act(ada).Command(general, "/incident", ""); err != nil || len(m.Text) != 19_990 {
		t.Errorf("got %v for an acknowledgement just under the limit", err)
	}
}
