// Package page is the browser page of the sandbox: one address at which to be
// any person of its Slack workspace, with the pager, the mailbox, the buttons
// that raise alerts, the fault switches and the request log beside the chat.
//
// The page knows nothing about the app in the workspace. It renders what stands
// in the sandbox and does what people do; the alerts it sends are real, signed
// deliveries to the configured addresses.
//
// Behind it is a JSON API that scripts may use as well. Whoever acts is named by
// a user id of the workspace; nothing here authenticates anybody, so the page
// serves loopback names only and refuses writes from other origins.
//
//	GET  /api/state?user=            who there is, the person's channels, open forms, alerts, switches
//	GET  /api/channel?id=&user=      messages, the person's ephemerals among them; pins, bookmarks
//	GET  /api/thread?channel=&ts=&user=
//	GET  /api/home?user=             {"view": the published App Home or null}
//	GET  /api/pager   /api/mail   /api/log?limit=
//	GET  /api/events                 server-sent events: "change" whenever anything above may differ
//	GET  /files/{id}?user=           a file's bytes; /mail/{seq}/html, /mail/{seq}/raw, /mail/{seq}/part/{n}
//
//	POST /api/command    {user, channel, text}                   "/incident list"; → {"message": what was shown or null}
//	POST /api/message    {user, channel, text, thread_ts}        → {"message"}
//	POST /api/click      {user, channel, ts | view, action_id, block_id, value, values}
//	POST /api/submit     {user, view, values}                    values by block id and action id; → {outcome, errors, view}
//	POST /api/close      {user, view, all}                       a form's cancel button; all is its cross
//	POST /api/home       {user}   POST /api/dm {user}            open the app's tabs; → {"view"}, {"channel"}
//	POST /api/join       {user, channel}                         also /api/leave
//	POST /api/invite     {user, channel, users}
//	POST /api/react      {user, channel, ts, name}               also /api/pin, without a name
//	POST /api/upload     {user, channel, name, content (base64), comment, thread_ts}
//	POST /api/pager/ack  {user, incident}                        also /api/pager/resolve; user is a pager's or a workspace's
//	POST /api/pager/note {user, incident, text}
//	POST /api/alert      {alert, copies, seed}                   → {seed, sent, answers by status, lost, last}
//	POST /api/faults     {name, on} or {clear: true}             → {"faults": the switches}
//
// What is typed may hold @name and #channel, which become mentions as they do in
// Slack's client; <@U…> of an existing person stays as it is.
//
// Errors are {"error": {"code", "message"}}: 400 for a request that cannot be
// read, 404 for what the person cannot see, 422 for what the client would not
// let them do, 502 where the app failed them, 503 while the workspace is offline.
package page

import (
	"embed"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

//go:embed static
var static embed.FS

// Person is what the page says about somebody, beside what the workspace knows.
type Person struct {
	User       string // id in the workspace
	Department string
	Note       string // such as "on call"
}

// Hint is a slash command that the composer offers. Text may end in a space,
// where something has to follow.
type Hint struct {
	Text string `json:"text"`
	Help string `json:"help"`
}

// Config says what the page shows. Workspace, Pager and Mailbox are required.
type Config struct {
	Workspace  *chat.Workspace
	Pager      *pager.Account
	Mailbox    *mailbox.Mailbox
	Sentry     feed.Sentry     // where its alerts go; left out of the choices without a URL
	CloudTrail feed.CloudTrail // likewise

	Title    string           // default the team's name
	People   []Person         // in the order in which the picker shows departments
	Commands []Hint           // default: the typical ones of /incident
	Seed     uint64           // of the first alert; each further one takes the next
	Hosts    []string         // names beside loopback under which the page may be reached
	Now      func() time.Time // default time.Now
}

// Page serves the browser page. All methods may be used at the same time.
type Page struct {
	cfg    Config
	done   chan struct{}
	closer sync.Once

	mu      sync.Mutex
	changed chan struct{} // of what the page itself keeps: sendings and switches
	seed    uint64
	told    map[alertKey]int
	sent    []sendLog
}

// New makes a page. Close ends the streams of its viewers.
func New(cfg Config) *Page {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Title == "" {
		cfg.Title = cfg.Workspace.Config().Team.Name
	}
	if cfg.Commands == nil {
		cfg.Commands = typical
	}
	return &Page{cfg: cfg, done: make(chan struct{}), changed: make(chan struct{}), seed: cfg.Seed, told: map[alertKey]int{}}
}

// Close ends every stream, so that a server can shut down. What is asked
// afterwards is still answered.
func (p *Page) Close() error {
	p.closer.Do(func() { close(p.done) })
	return nil
}

// touch announces a change of what the page itself keeps. The caller holds mu.
func (p *Page) touch() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Page) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Handler serves the page and its API.
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic("page: " + err.Error()) // the name is a constant
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(files)))
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) { http.ServeFileFS(rw, r, files, "index.html") })
	mux.HandleFunc("GET /api/events", p.events)
	mux.HandleFunc("GET /files/{id}", p.file)
	mux.HandleFunc("GET /mail/{seq}/{what}", p.mailPart)
	mux.HandleFunc("GET /mail/{seq}/part/{n}", p.mailPart)
	p.reads(mux)
	p.writes(mux)
	return p.guard(http.NewCrossOriginProtection().Handler(mux))
}

// policy keeps the page to itself: no script, style or picture from elsewhere,
// and none from what the app posted.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard refuses names that are not this machine's, so that no foreign site can
// reach the page through a name of its own that resolves to loopback.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !p.known(r.Host) {
			fail(rw, &refusal{http.StatusMisdirectedRequest, "unknown_host", "the sandbox serves this machine only"})
			return
		}
		h := rw.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(rw, r)
	})
}

func (p *Page) known(host string) bool {
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

// typical are commands of an incident bot that a newcomer may want.
var typical = []Hint{
	{"/incident open ", "open an incident: [sev1…sev4] [--public] TITLE"},
	{"/incident list", "the incidents that are not over"},
	{"/incident status", "how this one stands"},
	{"/incident ack", "say that you have it"},
	{"/incident severity ", "sev1…sev4 [because REASON]"},
	{"/incident role ", "ROLE PERSON, such as: role scribe me"},
	{"/incident fact ", "NAME VALUE, such as: fact personal_data suspected because …"},
	{"/incident step done ", "STEP [OUTCOME]"},
	{"/incident note ", "write into the timeline"},
	{"/incident evidence ", "NAME in PLACE"},
	{"/incident update ", "tell the stakeholders how it stands"},
	{"/incident contain ", "HOW: the harm no longer spreads"},
	{"/incident resolve ", "HOW: service and security are restored"},
	{"/incident record", "read or write the closing record"},
	{"/incident submit", "freeze the record; four departments sign it"},
	{"/incident sign", "sign for your department"},
	{"/incident object ", "[DEPARTMENT] REASON"},
	{"/incident amend ", "WHY: take the record back to change it"},
	{"/incident withdraw ", "O1 or DEPARTMENT"},
	{"/incident consult ", "TEAM [blocking]"},
	{"/incident delegate ", "DEPARTMENT PERSON until DATE"},
	{"/incident review ", "TIME: set the review meeting"},
	{"/incident review conclude", "attendance, decisions, action items"},
	{"/incident action add ", "KIND TITLE owner PERSON due DATE"},
	{"/incident revise ", "WHY: a new revision of an approved record"},
	{"/incident reopen ", "WHY: it is not over"},
	{"/incident dismiss ", "WHY: a false alarm"},
	{"/incident merge into ", "INC-41 [WHY]"},
	{"/incident help", "everything you can type"},
}
