package chat_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/sandbox/chat"
)

const (
	ada, ben, cyd, gus, dee = "U0ADA", "U0BEN", "U0CYD", "U0GUS", "U0DEE"
	general, lobby, locked  = "C0GENERAL", "C0LOBBY", "C0LOCKED"
	bot                     = "U0BOT"
)

// clock is a clock that only Advance moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// fixture is a workspace with a slack-go client for its Web API.
type fixture struct {
	testing.TB
	ws    *chat.Workspace
	api   *slack.Client
	url   string
	clock *clock
}

// newFixture starts a workspace with a few people. The bot is a member of #general only, and #locked is private.
func newFixture(t testing.TB, change ...func(*chat.Config)) *fixture {
	t.Helper()
	ck := &clock{t: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
	cfg := chat.Config{
		People: []chat.Person{
			{ID: ada, Name: "ada", RealName: "Ada Byron", Email: "ada@example.com", TZ: "Europe/Paris"},
			{ID: ben, Name: "ben", RealName: "Ben Oduya", Email: "ben@example.com"},
			{ID: cyd, Name: "cyd", Email: "cyd@example.com"},
			{ID: gus, Name: "gus", Email: "gus@example.com", Guest: chat.GuestSingle},
			{ID: dee, Name: "dee", Email: "dee@example.com", Deactivated: true},
		},
		Groups: []chat.Group{{ID: "S0SEC", Handle: "security", Members: []string{ada, ben}}, {ID: "S0OLD", Handle: "old", Disabled: true}},
		Channels: []chat.SeedChannel{
			{ID: general, Name: "general", Members: []string{ada, ben, cyd, gus, bot}},
			{ID: lobby, Name: "lobby", Members: []string{ada}},
			{ID: locked, Name: "locked", Private: true, Members: []string{ada}},
		},
		Clock: ck.Now, EventRetries: []time.Duration{0},
	}
	cfg.Limits.Off = true
	for _, f := range change {
		f(&cfg)
	}
	ws := chat.New(cfg)
	base, err := ws.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	cfg = ws.Config()
	api := slack.New(cfg.BotToken, slack.OptionAPIURL(base+"/api/"), slack.OptionAppLevelToken(cfg.AppToken))
	return &fixture{TB: t, ws: ws, api: api, url: base, clock: ck}
}

// callRaw calls a method with form values and returns the decoded response, for requests that slack-go would not send.
func (w *fixture) callRaw(method string, kv ...string) map[string]any {
	w.Helper()
	form := url.Values{"token": {w.ws.Config().BotToken}}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	resp, err := http.PostForm(w.url+"/api/"+method, form)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		w.Fatal(err)
	}
	return out
}

func (w *fixture) post(channel, text string) string {
	w.Helper()
	_, ts, err := w.api.PostMessage(channel, slack.MsgOptionText(text, false))
	if err != nil {
		w.Fatalf("post to %s: %v", channel, err)
	}
	return ts
}

func (w *fixture) create(name string, private bool) string {
	w.Helper()
	ch, err := w.api.CreateConversation(slack.CreateConversationParams{ChannelName: name, IsPrivate: private})
	if err != nil {
		w.Fatalf("create %s: %v", name, err)
	}
	return ch.ID
}

// waitFor waits until ready returns true, for at most ten seconds.
func (w *fixture) waitFor(ready func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.ws.WaitFor(ctx, ready); err != nil {
		w.Fatal(err)
	}
}

// app is an HTTP server for deliveries to the bot. It verifies every signature with slack-go and calls the handlers.
type app struct {
	*httptest.Server
	commands, interactions, events http.HandlerFunc
	badSignatures                  chan error
}

// startApp starts an app and returns a function that configures a workspace to deliver to it. The function also sets the
// wall clock, because slack-go's verifier uses it.
func startApp(t *testing.T) (a *app, configure func(*chat.Config)) {
	a = &app{badSignatures: make(chan error, 16)}
	mux := http.NewServeMux()
	serve := func(h *http.HandlerFunc) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := verify(r.Header, body); err != nil {
				a.badSignatures <- err
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if *h != nil {
				(*h)(rw, r)
			}
		}
	}
	mux.HandleFunc("/commands", serve(&a.commands))
	mux.HandleFunc("/interactions", serve(&a.interactions))
	mux.HandleFunc("/events", serve(&a.events))
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a, func(c *chat.Config) {
		c.CommandsURL, c.InteractionsURL, c.EventsURL = a.URL+"/commands", a.URL+"/interactions", a.URL+"/events"
		c.SigningSecret, c.Clock = "shh", time.Now
	}
}

func verify(h http.Header, body []byte) error {
	v, err := slack.NewSecretsVerifier(h, "shh")
	if err != nil {
		return err
	}
	if _, err := v.Write(body); err != nil {
		return err
	}
	return v.Ensure()
}

func interactionOf(t *testing.T, r *http.Request) slack.InteractionCallback {
	t.Helper()
	var in slack.InteractionCallback
	if err := json.Unmarshal([]byte(r.FormValue("payload")), &in); err != nil {
		t.Errorf("decode interaction: %v", err)
	}
	return in
}

func plain(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

func input(block, action, label string) *slack.InputBlock {
	return slack.NewInputBlock(block, plain(label), nil, slack.NewPlainTextInputBlockElement(nil, action))
}

func modal(blocks ...slack.Block) slack.ModalViewRequest {
	return slack.ModalViewRequest{Type: slack.VTModal, Title: plain("Declare"), Submit: plain("Send"), CallbackID: "declare", NotifyOnClose: true,
		Blocks: slack.Blocks{BlockSet: blocks}}
}
