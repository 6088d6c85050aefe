// Package chat is a Slack workspace that runs inside the process and speaks Slack's real protocols on loopback: the Web
// API, signed HTTP deliveries, Socket Mode over a WebSocket, response URLs and file uploads. A client that is given its
// base URL cannot tell the difference, and neither can a test.
//
// The workspace keeps real state (people, channels, membership, messages, threads, pins, bookmarks, reactions, files,
// modal stacks, App Homes) and refuses what Slack refuses, with Slack's codes. Three groups of methods stand around it:
//
//   - Handler and Start serve the app's side of the wire;
//   - Act makes a person of the workspace do something, and returns what that person would see;
//   - the snapshots (Channels, Messages, OpenViews…), the request log and the fault switches belong to tests and pages.
//
// Time comes from Config.Clock, so message timestamps and expiries are deterministic under a fixed clock. Waiting for an
// acknowledgement is real time, because the other side is real.
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
)

// Mode says by which door the workspace delivers to the app.
type Mode string

// The two doors.
const (
	ModeHTTP   Mode = "http"
	ModeSocket Mode = "socket"
)

// Team is the workspace itself.
type Team struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain string `json:"domain"`
}

// Bot is the installed app as the workspace knows it.
type Bot struct {
	UserID string `json:"user_id"`
	BotID  string `json:"bot_id"`
	AppID  string `json:"app_id"`
	Name   string `json:"name"`
}

// Guest kinds of a Person.
const (
	GuestMulti  = "multi"  // is_restricted
	GuestSingle = "single" // is_ultra_restricted: member of one channel only
)

// Person is one human member.
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

// SeedChannel is a channel that exists from the start. Members are user ids; the bot is a member if its user id is listed.
type SeedChannel struct {
	ID      string
	Name    string
	Topic   string
	Purpose string
	Private bool
	Members []string
}

// ExpiredShape chooses how an expired trigger_id is refused; Slack is known to use both shapes.
type ExpiredShape int

// The shapes of an expired trigger.
const (
	ExpiredAlternating ExpiredShape = iota // code, arguments, code, …
	ExpiredCode                            // error expired_trigger_id
	ExpiredArguments                       // error invalid_arguments with a message
)

// Config is the seed and the settings of a Workspace. The zero value of every field is usable.
type Config struct {
	Team          Team
	Bot           Bot
	People        []Person
	Groups        []Group
	Channels      []SeedChannel
	BotToken      string
	AppToken      string
	SigningSecret string
	Scopes        []string // of the bot token; nil grants DefaultScopes
	Commands      []string // declared slash commands; nil accepts every one
	Events        []string // subscribed event types (message counts for all message.*); nil subscribes to all

	Mode            Mode // default ModeHTTP
	CommandsURL     string
	InteractionsURL string
	EventsURL       string
	AckWithin       time.Duration   // default 3 s
	EventRetries    []time.Duration // delays before deliveries 2, 3, 4; default 0, 1 min, 5 min

	Clock          func() time.Time // default time.Now
	Seed           uint64           // of everything random
	ExpiredTrigger ExpiredShape
	Limits         Limits
	LogLimit       int           // entries kept of calls and of deliveries; default 20,000
	ShareDelay     time.Duration // how much later than files.completeUploadExternal the file message appears
}

// DefaultScopes is what an incident bot asks for: enough for every method here, without chat:write.public.
var DefaultScopes = strings.Split("app_mentions:read chat:write commands channels:read channels:history channels:manage channels:join "+
	"groups:read groups:history groups:write im:write im:read im:history mpim:write mpim:read mpim:history users:read users:read.email "+
	"usergroups:read pins:read pins:write bookmarks:read bookmarks:write reactions:read reactions:write files:read files:write "+
	"metadata.message:read team:read", " ")

// Workspace is one running Slack workspace. Everything exported is safe for concurrent use.
type Workspace struct {
	cfg    Config
	clock  func() time.Time
	scopes map[string]bool
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	server *http.Server
	client *http.Client

	mu        sync.Mutex
	baseURL   string
	closed    bool
	changed   chan struct{}
	version   uint64
	lastTS    int64
	serial    map[string]int
	random    *mathrand.Rand
	people    map[string]*Person
	peopleIDs []string
	byEmail   map[string]string
	groups    []*Group
	channels  map[string]*channel
	ordered   []string // channel ids in order of creation
	byName    map[string]*channel
	direct    map[string]*channel // DM and group DM by their sorted members
	files     map[string]*file
	uploads   map[string]string // upload path -> file id
	views     map[string]*view
	external  map[string]*view
	stacks    map[string][]*view
	homes     map[string]*view
	triggers  map[string]*trigger
	expiries  int // expired triggers refused so far
	responses map[string]*responseURL
	private   map[string][]*message // ephemeral messages by user

	limits   limiter
	faults   faultBoard
	journal  journal
	events   dispatcher
	sockets  socketHub
	handlers map[string]method
}

// New builds a workspace from its seed. It does not listen before Start; Handler may be mounted elsewhere instead.
func New(cfg Config) *Workspace {
	cfg = withDefaults(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	w := &Workspace{
		cfg: cfg, clock: cfg.Clock, scopes: map[string]bool{}, ctx: ctx, cancel: cancel,
		changed: make(chan struct{}), serial: map[string]int{}, random: mathrand.New(mathrand.NewPCG(cfg.Seed, 0x746f6373696e)),
		people: map[string]*Person{}, byEmail: map[string]string{}, channels: map[string]*channel{}, byName: map[string]*channel{},
		direct: map[string]*channel{}, files: map[string]*file{}, uploads: map[string]string{}, views: map[string]*view{},
		external: map[string]*view{}, stacks: map[string][]*view{}, homes: map[string]*view{}, triggers: map[string]*trigger{},
		responses: map[string]*responseURL{}, private: map[string][]*message{},
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

func withDefaults(cfg Config) Config {
	str := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	str(&cfg.Team.ID, "T0SANDBOX")
	str(&cfg.Team.Name, "Sandbox")
	str(&cfg.Team.Domain, "sandbox")
	str(&cfg.Bot.UserID, "U0BOT")
	str(&cfg.Bot.BotID, "B0BOT")
	str(&cfg.Bot.AppID, "A0BOT")
	str(&cfg.Bot.Name, "tocsin")
	str(&cfg.BotToken, "xoxb-sandbox")
	str(&cfg.AppToken, "xapp-sandbox")
	str(&cfg.SigningSecret, "sandbox-signing-secret")
	if cfg.Mode == "" {
		cfg.Mode = ModeHTTP
	}
	if cfg.Scopes == nil {
		cfg.Scopes = DefaultScopes
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.AckWithin == 0 {
		cfg.AckWithin = 3 * time.Second
	}
	if cfg.EventRetries == nil {
		cfg.EventRetries = []time.Duration{0, time.Minute, 5 * time.Minute}
	}
	if cfg.LogLimit == 0 {
		cfg.LogLimit = 20_000
	}
	return cfg
}

// Start listens on addr (":0" and "127.0.0.1:0" pick a port) and returns the base URL. The Web API stands at url+"/api/".
func (w *Workspace) Start(addr string) (string, error) {
	if addr == "" || strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + cmpOr(addr, ":0")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for the chat sandbox: %w", err)
	}
	w.SetBaseURL("http://" + l.Addr().String())
	w.server = &http.Server{Handler: w.Handler(), ReadHeaderTimeout: 10 * time.Second}
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		_ = w.server.Serve(l) // returns ErrServerClosed on Close
	}()
	return w.BaseURL(), nil
}

// Close stops listening, drops every connection and waits for all goroutines.
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

// SetBaseURL tells the workspace under which URL its Handler is reachable, for upload, socket and response URLs.
func (w *Workspace) SetBaseURL(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.baseURL = strings.TrimSuffix(url, "/")
}

// BaseURL is where the workspace is reachable, without a trailing slash.
func (w *Workspace) BaseURL() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.baseURL
}

// SetDelivery changes the door and the app's URLs, for an app whose address is known only after the workspace's.
// URLs that are empty stay as they are.
func (w *Workspace) SetDelivery(mode Mode, commands, interactions, events string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg.Mode = mode
	w.cfg.CommandsURL = cmpOr(commands, w.cfg.CommandsURL)
	w.cfg.InteractionsURL = cmpOr(interactions, w.cfg.InteractionsURL)
	w.cfg.EventsURL = cmpOr(events, w.cfg.EventsURL)
}

// Config returns the settings in force, with defaults filled in: tokens and secrets for the app that connects.
func (w *Workspace) Config() Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg
}

// Handler serves the app's side: /api/<method>, upload and download URLs, response URLs and the Socket Mode endpoint.
func (w *Workspace) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/{method}", w.serveAPI)
	mux.HandleFunc("POST /upload/{ticket}", w.serveUpload)
	mux.HandleFunc("GET /files/{id}/{name}", w.serveDownload)
	mux.HandleFunc("POST /respond/{ticket}", w.serveResponse)
	mux.HandleFunc("GET /socket", w.serveSocket)
	return mux
}

// Changed returns a channel that is closed at the next change of any visible state. Take it before looking.
func (w *Workspace) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Version rises with every change of visible state.
func (w *Workspace) Version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// WaitFor blocks until ready returns true, looking again at every change. It returns the context's error otherwise.
func (w *Workspace) WaitFor(ctx context.Context, ready func() bool) error {
	for {
		changed := w.Changed()
		if ready() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the workspace: %w", ctx.Err())
		}
	}
}

// touch announces a change. The caller holds mu.
func (w *Workspace) touch() {
	w.version++
	close(w.changed)
	w.changed = make(chan struct{})
}
