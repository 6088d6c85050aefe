package page_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/page"
	"tocsin/bot/sandbox/pager"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ada, ben, lena         = "U0ADA", "U0BEN", "U0LENA"
	general, locked, other = "C0GENERAL", "C0LOCKED", "C0OTHER"
	bot                    = "U0BOT"
	signing, clientSecret  = "signing-secret", "client-secret"
	apiKey, routingKey     = "api-key", "0123456789abcdef0123456789abcdef"
)

// fixture is a complete sandbox with a page and a fake bot that speaks Slack's protocol.
type fixture struct {
	testing.TB
	ws    *chat.Workspace
	pager *pager.Account
	mail  *mailbox.Mailbox
	page  *page.Page
	url   string // URL of the page
	slack string // base URL of the Web API
	paged string // base URL of the pager
	smtp  string

	mu           sync.Mutex
	command      func(form map[string]string) any
	interaction  func(in map[string]any) any
	interactions []map[string]any
	hooks        []hook
}

// hook is a webhook that the fake bot received.
type hook struct {
	path   string
	header http.Header
	body   []byte
}

func newFixture(t *testing.T, change ...func(*page.Config)) *fixture {
	t.Helper()
	w := &fixture{TB: t}
	app := httptest.NewServer(w.bot())
	t.Cleanup(app.Close)
	w.ws = chat.New(chat.Config{
		Team: chat.Team{ID: "T0", Name: "Northwind", Domain: "northwind"}, Bot: chat.Bot{UserID: bot, BotID: "B0", AppID: "A0", Name: "tocsin"},
		People: []chat.Person{
			{ID: ada, Name: "ada", RealName: "Ada Lovelace", Email: "ada@example.com", TZ: "Europe/Paris"},
			{ID: ben, Name: "ben", RealName: "Ben Oduya", Email: "ben@example.com"},
			{ID: lena, Name: "lena.roth", RealName: "Lena Roth", Email: "lena@example.com"},
			{ID: "U0GONE", Name: "gone", Deactivated: true},
		},
		Groups: []chat.Group{{ID: "S0SEC", Handle: "security", Members: []string{ada}}},
		Channels: []chat.SeedChannel{
			{ID: general, Name: "general", Members: []string{ada, ben, lena, bot}},
			{ID: locked, Name: "inc-42", Private: true, Members: []string{ada, bot}},
			{ID: other, Name: "other", Members: []string{ben}},
		},
		SigningSecret: signing, CommandsURL: app.URL + "/commands", InteractionsURL: app.URL + "/interactions", EventsURL: app.URL + "/events",
		Limits: chat.Limits{Off: true},
	})
	w.pager = pager.New(pager.Config{
		Users:    []pager.User{{ID: "PADA", Name: "Ada", Email: "Ada@example.com"}, {ID: "PBEN", Name: "Ben", Email: "ben@example.com"}},
		Services: []pager.Service{{ID: "PSEC", Name: "Emergency", RoutingKey: routingKey, OnCall: []string{"PADA"}}},
	})
	w.mail = mailbox.New(mailbox.Config{})
	var err [3]error
	w.slack, err[0] = w.ws.Start("127.0.0.1:0")
	w.paged, err[1] = w.pager.Start("127.0.0.1:0")
	w.smtp, err[2] = w.mail.Start("127.0.0.1:0")
	for _, e := range err {
		if e != nil {
			t.Fatal(e)
		}
	}
	cfg := page.Config{Workspace: w.ws, Pager: w.pager, Mailbox: w.mail,
		Sentry:     feed.Sentry{URL: app.URL + "/hooks/sentry", Secret: clientSecret},
		CloudTrail: feed.CloudTrail{URL: app.URL + "/hooks/cloudtrail", APIKey: apiKey},
		People:     []page.Person{{User: lena, Department: "legal"}, {User: ada, Department: "security", Note: "on call"}}}
	for _, f := range change {
		f(&cfg)
	}
	w.page = page.New(cfg)
	server := httptest.NewServer(w.page.Handler())
	w.url = server.URL
	t.Cleanup(func() {
		_ = w.page.Close()
		server.Close()
		for _, c := range []io.Closer{w.ws, w.pager, w.mail} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return w
}

// bot is the handler of the fake bot. It verifies Slack's signatures and calls the functions command and interaction.
func (w *fixture) bot() http.Handler {
	mux := http.NewServeMux()
	signed := func(next func(r *http.Request) any) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("X-Slack-Signature") != chat.Sign(signing, r.Header.Get("X-Slack-Request-Timestamp"), body) {
				w.Errorf("%s: invalid signature", r.URL.Path)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			out := next(r)
			if out == nil {
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(rw).Encode(out)
		}
	}
	mux.HandleFunc("/commands", signed(func(r *http.Request) any {
		form := map[string]string{}
		_ = r.ParseForm()
		for k := range r.PostForm {
			form[k] = r.PostForm.Get(k)
		}
		if w.command == nil {
			return nil
		}
		return w.command(form)
	}))
	mux.HandleFunc("/interactions", signed(func(r *http.Request) any {
		var in map[string]any
		if err := json.Unmarshal([]byte(r.FormValue("payload")), &in); err != nil {
			w.Errorf("decode interaction: %v", err)
		}
		w.mu.Lock()
		w.interactions = append(w.interactions, in)
		w.mu.Unlock()
		if w.interaction == nil {
			return nil
		}
		return w.interaction(in)
	}))
	mux.HandleFunc("/events", signed(func(*http.Request) any { return nil }))
	mux.HandleFunc("/hooks/", func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.hooks = append(w.hooks, hook{r.URL.Path, r.Header, body})
		w.mu.Unlock()
		if r.URL.Path == "/hooks/sentry" && r.Header.Get("Sentry-Hook-Signature") != feed.SignSentry(clientSecret, body) {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func (w *fixture) receivedInteractions() []map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]map[string]any(nil), w.interactions...)
}

// api calls a Slack method as the bot.
func (w *fixture) api(method string, args map[string]any) map[string]any {
	w.Helper()
	raw, _ := json.Marshal(args)
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.slack+"/api/"+method, bytes.NewReader(raw))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Authorization", "Bearer "+w.ws.Config().BotToken)
	_, body := w.do(req)
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil || out["ok"] != true {
		w.Fatalf("%s: %s", method, body)
	}
	return out
}

func (w *fixture) do(req *http.Request) (*http.Response, []byte) {
	w.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return res, body
}

// tree is decoded JSON with access by path.
type tree struct{ v any }

func (t tree) at(path ...any) tree {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := t.v.(map[string]any)
			t.v = m[p]
		case int:
			l, _ := t.v.([]any)
			if p >= len(l) {
				return tree{}
			}
			t.v = l[p]
		}
	}
	return t
}

func (t tree) str(path ...any) string {
	v := t.at(path...).v
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (t tree) list(path ...any) []tree {
	l, _ := t.at(path...).v.([]any)
	out := make([]tree, len(l))
	for i, v := range l {
		out[i] = tree{v}
	}
	return out
}

// names returns one field of each element of a list, separated by spaces.
func names(list []tree, field string) string {
	var out []string
	for _, t := range list {
		out = append(out, t.str(field))
	}
	return strings.Join(out, " ")
}

func (w *fixture) request(method, path string, body any, want int) tree {
	w.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			w.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, in)
	if err != nil {
		w.Fatal(err)
	}
	res, raw := w.do(req)
	if res.StatusCode != want {
		w.Fatalf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, want, raw)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		w.Fatalf("%s %s: %v: %s", method, path, err, raw)
	}
	return tree{out}
}

func (w *fixture) get(path string) tree {
	w.Helper()
	return w.request(http.MethodGet, path, nil, http.StatusOK)
}

type m = map[string]any

func (w *fixture) post(path string, body m) tree {
	w.Helper()
	return w.request(http.MethodPost, path, body, http.StatusOK)
}

func (w *fixture) postError(path string, body m, status int) string {
	w.Helper()
	return w.request(http.MethodPost, path, body, status).str("error", "code")
}
