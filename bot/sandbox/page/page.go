// Package page serves the web page of the sandbox. On the page you can act as any
// person of the Slack workspace. It also shows the pager, the mailbox, buttons to
// send alerts, fault switches and the request log.
//
// The page does not depend on the app in the workspace. It renders the state of
// the sandbox and performs the actions of people. The alerts it sends are real,
// signed deliveries to the configured URLs.
//
//	p := page.New(page.Config{Workspace: ws, Pager: account, Mailbox: mail})
//	defer p.Close()
//	http.ListenAndServe("127.0.0.1:8000", p.Handler())
//
// The page uses a JSON API that is also available to scripts. Requests contain
// the user id of the person who acts. There is no authentication. The page
// therefore serves only loopback host names and rejects writes from other
// origins.
//
//	GET  /api/state?user=            people, channels, open forms, alerts and switches for a person
//	GET  /api/channel?id=&user=      messages including ephemeral ones, pins, bookmarks
//	GET  /api/thread?channel=&ts=&user=
//	GET  /api/threads?user=          followed threads with the first message and the last replies
//	GET  /api/home?user=             → {"view": the published App Home or null}
//	GET  /api/pager   /api/mail   /api/log?limit=
//	GET  /api/events                 server-sent events: "change" after each change of the above
//	GET  /files/{id}?user=           content of a file; also /mail/{seq}/html, /mail/{seq}/raw, /mail/{seq}/part/{n}
//
//	POST /api/command    {user, channel, text}                   → {"message": the answer or null}
//	POST /api/message    {user, channel, text, thread_ts}        → {"message"}
//	POST /api/click      {user, channel, ts | view, action_id, block_id, value, values, typing}
//	POST /api/submit     {user, view, values}                    values by block id and action id → {outcome, errors, view}
//	POST /api/close      {user, view, all}                       cancel a form; all closes all open forms
//	POST /api/home       {user}   POST /api/dm {user}            open a tab of the app → {"view"}, {"channel"}
//	POST /api/join       {user, channel}                         also /api/leave
//	POST /api/invite     {user, channel, users}
//	POST /api/react      {user, channel, ts, name}               also /api/unreact, and /api/pin without a name
//	POST /api/edit       {user, channel, ts, text}               also /api/delete, without a text
//	POST /api/shortcut   {user, callback_id, channel, ts}        of a message, or global without a channel and ts
//	POST /api/read       {user, channel, thread_ts, ts}          mark a channel or a thread as read
//	POST /api/follow     {user, channel, ts, on}                 follow a thread, or stop
//	POST /api/upload     {user, channel, name, content (base64), comment, thread_ts}
//	POST /api/file/edit  {user, file, title, content (base64)}   also /api/file/delete {user, file}
//	POST /api/pager/ack  {user, incident}                        also /api/pager/resolve; user is an id of the pager or the workspace
//	POST /api/pager/note {user, incident, text}
//	POST /api/alert      {alert, copies, seed}                   → {seed, sent, answers by status, lost, last, outcome}
//	POST /api/faults     {name, on} or {clear: true}             → {"faults": the switches}; clear also removes all answers
//	POST /api/answers    {method, status, header, body, left} or {clear: true}
//	                     the response of one method → {"answers"}. GET returns them too
//	GET  /api/setup      addresses and credentials for the configuration of the app
//
// As in Slack's client, @name and #channel in a text become mentions. A mention
// such as <@U1> of an existing person is not changed.
//
// Errors are {"error": {"code", "message"}} with one of these statuses:
//
//   - 400: the request is malformed
//   - 404: the object does not exist or is not visible to the person
//   - 409: the page is already resolved
//   - 421: the host name is not allowed
//   - 422: Slack's client would not allow the action
//   - 502: the app did not answer correctly
//   - 503: the workspace is offline
package page

import (
	"context"
	"embed"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

//go:embed static
var static embed.FS

// Person contains details of a person that the workspace does not store.
type Person struct {
	User       string // user id in the workspace
	Department string
	Note       string // such as "on call"
}

// Hint is a slash command that the composer suggests. Text ends with a space if
// arguments follow.
type Hint struct {
	Text string `json:"text"`
	Help string `json:"help"`
}

// Config contains the settings of a [Page]. Workspace, Pager and Mailbox are
// required.
type Config struct {
	Workspace  *chat.Workspace
	Pager      *pager.Account
	Mailbox    *mailbox.Mailbox
	Sentry     feed.Sentry     // sender of Sentry alerts, which are hidden without a URL
	CloudTrail feed.CloudTrail // sender of CloudTrail alerts, which are hidden without a URL

	Answers *answer.Set // replace the responses of single methods, set by /api/answers
	Setup   any         // body of /api/setup

	// Outcome returns what the app did with the delivery of an alert, as a phrase. It
	// waits until the app has decided or ctx ends. Without it, the page shows only the
	// responses to its deliveries.
	Outcome func(ctx context.Context, body []byte) (string, error)

	Title    string           // default is the name of the workspace
	People   []Person         // in the order of the person menu
	Commands []Hint           // suggested commands
	Seed     uint64           // seed of the first alert, incremented for each new alert
	Hosts    []string         // allowed host names in addition to loopback names
	Now      func() time.Time // default time.Now
}

// Page serves the web page. It is safe for concurrent use.
type Page struct {
	cfg    Config
	done   chan struct{}
	closer sync.Once

	deeds *deeds
	unsub func()

	mu         sync.Mutex
	changed    chan struct{} // closed at the next change of copiesSent, sendLogs or a switch
	seed       uint64
	copiesSent map[alertKey]int
	sendLogs   []sendLog
}

// New returns a page. The caller must call [Page.Close] before it shuts down the
// server.
func New(cfg Config) *Page {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Title == "" {
		cfg.Title = cfg.Workspace.Config().Team.Name
	}
	if cfg.Answers == nil {
		cfg.Answers = answer.NewSet()
	}
	p := &Page{cfg: cfg, done: make(chan struct{}), changed: make(chan struct{}), seed: cfg.Seed, copiesSent: map[alertKey]int{}, deeds: newDeeds()}
	p.unsub = cfg.Workspace.Subscribe(p.deeds.note)
	return p
}

// Close ends every event stream, which otherwise prevents the server from
// shutting down. Other requests still work. It returns nil.
func (p *Page) Close() error {
	p.closer.Do(func() {
		p.unsub()
		close(p.done)
	})
	return nil
}

// touch signals a change of the page's own state. The caller holds mu.
func (p *Page) touch() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Page) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Handler serves the page and its API.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("page: " + err.Error()) // cannot happen: the name is a constant
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(files)))
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) { http.ServeFileFS(rw, r, files, "index.html") })
	mux.HandleFunc("GET /api/events", p.events)
	mux.HandleFunc("GET /files/{id}", p.file)
	mux.HandleFunc("GET /mail/{seq}/{what}", p.mailPart)
	mux.HandleFunc("GET /mail/{seq}/part/{n}", p.mailPart)
	p.addReads(mux)
	p.addWrites(mux)
	return p.guard(http.NewCrossOriginProtection().Handler(mux))
}

// pageCSP is the Content-Security-Policy of the page. It allows scripts, styles
// and images only from the page's server and none from posted messages.
const pageCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard rejects requests for other host names than the allowed ones. This
// prevents DNS rebinding, where another site reaches the page through a host name
// that resolves to loopback. It also sets the security headers.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !p.isAllowedHost(r.Host) {
			writeError(rw, &apiError{http.StatusMisdirectedRequest, "unknown_host", "host name not allowed, use localhost"})
			return
		}
		h := rw.Header()
		h.Set("Content-Security-Policy", pageCSP)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(rw, r)
	})
}

func (p *Page) isAllowedHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if addr, err := netip.ParseAddr(name); err == nil && addr.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.Contains(p.cfg.Hosts, name)
}
