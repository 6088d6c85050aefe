// Package chat implements a Slack workspace that runs inside the process. It speaks Slack's real protocols on loopback:
// the Web API, signed HTTP deliveries, Socket Mode over a WebSocket, response URLs and file uploads. An unmodified Slack
// client works with it if it uses the base URL of the workspace.
//
// A [Workspace] stores people, channels, messages, threads, pins, bookmarks, reactions, files, modals and App Homes. It
// rejects invalid requests with Slack's error codes. It has three groups of methods:
//
//   - [Workspace.Start] and [Workspace.Handler] serve requests of the app.
//   - [Workspace.Act] returns an [Actor] that acts as a person and returns the messages and views shown to that person.
//   - Snapshots such as [Workspace.Messages], the request log and the faults are for tests and pages.
//
// Example:
//
//	ws := chat.New(chat.Config{People: people, Channels: channels})
//	url, err := ws.Start("127.0.0.1:0") // the Web API is at url + "/api/"
//	defer ws.Close()
//	msg, err := ws.Act("U0ADA").Post("C0GENERAL", "hello", "")
//
// Message timestamps and expiry times are taken from Config.Clock and are deterministic with a fixed clock. The timeout
// of acknowledgements uses real time, because the app runs in real time.
package chat

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"tocsin/bot/sandbox/answer"
)

// Mode is the transport of deliveries to the app.
type Mode string

// Transports of deliveries.
const (
	ModeHTTP   Mode = "http"
	ModeSocket Mode = "socket"
)

// Team describes the workspace.
type Team struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain string `json:"domain"`
}

// Bot describes the installed app.
type Bot struct {
	UserID string `json:"user_id"`
	BotID  string `json:"bot_id"`
	AppID  string `json:"app_id"`
	Name   string `json:"name"`
}

// Values of [Person.Guest].
const (
	GuestMulti  = "multi"  // is_restricted
	GuestSingle = "single" // is_ultra_restricted: member of one channel only
)

// Person is a human member of the workspace.
type Person struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	RealName    string `json:"real_name"`
	Email       string `json:"email"`
	TZ          string `json:"tz"`
	Title       string `json:"title,omitempty"`
	Deactivated bool   `json:"deactivated,omitempty"`
	Guest       string `json:"guest,omitempty"`
}

// Group is a user group, mentioned as <!subteam^ID>.
type Group struct {
	ID       string   `json:"id"`
	Handle   string   `json:"handle"`
	Name     string   `json:"name"`
	Members  []string `json:"members"`
	Disabled bool     `json:"disabled,omitempty"`
}

// Types of a [Shortcut].
const (
	ShortcutGlobal  = "global"
	ShortcutMessage = "message"
)

// Shortcut is an entry of the app in Slack's menu, or in the menu of every message.
type Shortcut struct {
	Type        string `json:"type"`
	CallbackID  string `json:"callback_id"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// SeedChannel is a channel that exists from the start. Members are user ids and may include the bot.
type SeedChannel struct {
	ID      string
	Name    string
	Topic   string
	Purpose string
	Private bool
	Members []string
}

// ExpiredShape is the form of the error for an expired trigger_id. Slack uses both forms.
type ExpiredShape int

// Forms of the error for an expired trigger_id.
const (
	ExpiredAlternating ExpiredShape = iota // alternates, beginning with ExpiredCode
	ExpiredCode                            // the error expired_trigger_id
	ExpiredArguments                       // the error invalid_arguments with a message
)

// Config contains the initial state and the settings of a [Workspace]. All fields are optional.
type Config struct {
	Team          Team
	Bot           Bot
	People        []Person
	Groups        []Group
	Channels      []SeedChannel
	BotToken      string
	AppToken      string
	SigningSecret string
	Scopes        []string   // scopes of the bot token (default DefaultScopes)
	Commands      []string   // declared slash commands (default all)
	Events        []string   // subscribed event types (default all); message.im selects all messages
	Shortcuts     []Shortcut // declared shortcuts (default all callback ids)

	Mode            Mode // transport of deliveries (default ModeHTTP)
	CommandsURL     string
	InteractionsURL string
	EventsURL       string
	AckTimeout      time.Duration   // time to wait for an acknowledgement (default 3 s)
	EventRetries    []time.Duration // delays before the retries (default 0, 1 min, 5 min)

	Clock          func() time.Time // default time.Now
	Seed           uint64           // seed of random ids and choices
	ExpiredTrigger ExpiredShape
	Limits         Limits
	Answers        *answer.Set   // replace the responses of single methods
	LogLimit       int           // minimum number of calls and of deliveries in the log (default 20,000)
	ShareDelay     time.Duration // delay between files.completeUploadExternal and the message with the file
}

// DefaultScopes are the scopes that an incident bot requests. They allow every method of the workspace and do not include
// chat:write.public.
var DefaultScopes = strings.Split("app_mentions:read chat:write commands channels:read channels:history channels:manage channels:join "+
	"groups:read groups:history groups:write im:write im:read im:history mpim:write mpim:read mpim:history users:read users:read.email "+
	"usergroups:read pins:read pins:write bookmarks:read bookmarks:write reactions:read reactions:write files:read files:write "+
	"metadata.message:read team:read", " ")

// Workspace is a running Slack workspace. It is safe for concurrent use.
type Workspace struct {
	cfg    Config
	clock  func() time.Time
	scopes map[string]bool
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	server *http.Server
	client *http.Client

	mu                sync.Mutex
	baseURL           string
	closed            bool
	changed           chan struct{}
	version           uint64
	lastTS            int64
	lastSerial        map[string]int
	random            *mathrand.Rand
	people            map[string]*Person
	peopleIDs         []string
	byEmail           map[string]string
	groups            []*Group
	channels          map[string]*channel
	channelIDs        []string // channel ids in order of creation
	byName            map[string]*channel
	direct            map[string]*channel // DMs and group DMs by sorted members
	files             map[string]*file
	uploads           map[string]string // file ids by upload ticket
	views             map[string]*view
	viewsByExternalID map[string]*view
	stacks            map[string][]*view
	homes             map[string]*view
	triggers          map[string]*trigger
	expiredTriggers   int // number of expired triggers rejected so far
	responses         map[string]*responseURL
	ephemerals        map[string][]*message        // ephemeral messages by user
	read              map[string]map[string]string // timestamps up to which users have read, by readKey

	limits   limiter
	faults   faultSet
	journal  journal
	events   dispatcher
	sockets  socketHub
	handlers map[string]method
}

// New returns a workspace. It does not listen. Call [Workspace.Start], or serve [Workspace.Handler]. The caller must call
// [Workspace.Close].
func New(cfg Config) *Workspace {
	cfg = withDefaults(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workspace{
		cfg: cfg, clock: cfg.Clock, scopes: map[string]bool{}, ctx: ctx, cancel: cancel,
		changed: make(chan struct{}), lastSerial: map[string]int{}, random: mathrand.New(mathrand.NewPCG(cfg.Seed, 0x746f6373696e)),
		people: map[string]*Person{}, byEmail: map[string]string{}, channels: map[string]*channel{}, byName: map[string]*channel{},
		direct: map[string]*channel{}, files: map[string]*file{}, uploads: map[string]string{}, views: map[string]*view{},
		viewsByExternalID: map[string]*view{}, stacks: map[string][]*view{}, homes: map[string]*view{}, triggers: map[string]*trigger{},
		responses: map[string]*responseURL{}, ephemerals: map[string][]*message{}, read: map[string]map[string]string{},
	}
	w.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: limitRedirects,
	}
	for _, s := range cfg.Scopes {
		w.scopes[s] = true
	}
	for _, p := range cfg.People {
		w.addPerson(p)
	}
	for i := range cfg.Groups {
		g := cfg.Groups[i]
		w.groups = append(w.groups, &g)
	}
	for _, s := range cfg.Channels {
		w.seedChannel(s)
	}
	w.limits.init(cfg.Limits)
	w.journal.init(cfg.LogLimit)
	w.sockets.init(cfg.Seed)
	w.handlers = w.methods()
	w.events.start(w)
	return w
}

// Start listens on addr and returns the base URL. The Web API is at url+"/api/". An empty addr or host means 127.0.0.1,
// and port 0 means any free port.
func (w *Workspace) Start(addr string) (string, error) {
	if addr == "" || strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + cmpOr(addr, ":0")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for chat sandbox: %w", err)
	}
	w.SetBaseURL("http://" + l.Addr().String())
	w.server = &http.Server{Handler: w.Handler(), ReadHeaderTimeout: 10 * time.Second}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		_ = w.server.Serve(l) // returns ErrServerClosed after Close
	}()
	return w.BaseURL(), nil
}

// Close stops listening, closes every connection and waits for all goroutines. It is safe to call more than once.
func (w *Workspace) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.events.stop()
	w.sockets.closeAll()
	var err error
	if w.server != nil {
		err = w.server.Close()
	}
	w.wg.Wait()
	w.client.CloseIdleConnections()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// SetBaseURL sets the URL of the workspace for file and response URLs. It is only needed if Start is not used.
func (w *Workspace) SetBaseURL(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.baseURL = strings.TrimSuffix(url, "/")
}

// BaseURL returns the URL of the workspace without a trailing slash.
func (w *Workspace) BaseURL() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.baseURL
}

// SetDelivery sets the transport and the URLs of the app, for an app that starts after the workspace. Empty URLs do not
// change the current ones.
func (w *Workspace) SetDelivery(mode Mode, commands, interactions, events string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg.Mode = mode
	w.cfg.CommandsURL = cmpOr(commands, w.cfg.CommandsURL)
	w.cfg.InteractionsURL = cmpOr(interactions, w.cfg.InteractionsURL)
	w.cfg.EventsURL = cmpOr(events, w.cfg.EventsURL)
}

// Config returns the current settings, including defaults. It contains the tokens and secrets that the app needs.
func (w *Workspace) Config() Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg
}

// Handler serves requests of the app: /api/METHOD, upload and download URLs, response URLs and Socket Mode.
func (w *Workspace) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", w.serveAPI)
	mux.HandleFunc("POST /upload/{ticket}", w.serveUpload)
	mux.HandleFunc("GET /files/{id}/{name}", w.serveDownload)
	mux.HandleFunc("GET /{$}", serveSignIn)
	mux.HandleFunc("POST /respond/{ticket}", w.serveResponse)
	mux.HandleFunc("GET /socket", w.serveSocket)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", w.clock().UTC().Format(http.TimeFormat))
		mux.ServeHTTP(rw, r)
	})
}

// Changed returns a channel that is closed at the next change of visible state. Call it before reading the state, to not
// miss a change.
func (w *Workspace) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Version returns a number that increases with every change of visible state.
func (w *Workspace) Version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// WaitFor blocks until ready returns true. It calls ready again after every change of visible state. It returns an error
// if ctx ends first.
func (w *Workspace) WaitFor(ctx context.Context, ready func() bool) error {
	for {
		changed := w.Changed()
		if ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for workspace: %w", ctx.Err())
		}
	}
}

// touch signals a change of visible state. The caller holds mu.
func (w *Workspace) touch() {
	w.version++
	close(w.changed)
	w.changed = make(chan struct{})
}
