// Package pager is a PagerDuty account that lives in the process and speaks
// PagerDuty's real protocols on loopback: the Events API v2, the part of the
// REST API that a client of it needs, and signed v3 webhooks.
//
// A bot is pointed at it by nothing but its base URL; go-pagerduty cannot tell
// the difference. The sandbox's people act through methods (Acknowledge,
// Resolve, Raise, Annotate) or, like any other client, through the REST API
// with a From header. Time, waiting and ids are parameters: the same calls at
// the same times give the same ids.
//
// What the real service is known to do under stress can be switched on with
// SetFaults. Everything that arrived is kept in a log of requests which says
// when it came, what it asked, and whether it took effect, so that a test can
// count pages by what the pager saw rather than by what a sender believes.
package pager

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// User is a person of the account.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Service is something that can be paged about. Each service has one Events
// API v2 integration, known by its routing key, and one escalation policy.
type Service struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	RoutingKey string   `json:"routing_key"`
	OnCall     []string `json:"on_call"` // ids of the users on call now; new incidents are assigned to all of them
}

// Webhook is a v3 webhook subscription.
type Webhook struct {
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	Secrets []string `json:"-"`                // one signature each; two while a secret is rotated
	Events  []string `json:"events,omitempty"` // event types to send; empty sends all
}

// Config describes the account. Only Services is needed to be paged; every
// other field has a working default.
type Config struct {
	Users    []User
	Services []Service
	Webhooks []Webhook

	APIToken        string // REST token; empty means that REST calls are refused
	Site            string // base of html_url, default https://tocsin-sandbox.pagerduty.com
	EventsPerMinute int    // 429 above this per routing key in 60 s (the real limit is about 120); 0 means no limit
	Seed            string // changes every generated id

	Now            func() time.Time                           // the sandbox's clock, default time.Now
	Wait           func(context.Context, time.Duration) error // waits on that clock, default a timer
	Backoff        func(attempt int) time.Duration            // pause after the attempt-th failed webhook attempt, from 1
	WebhookTimeout time.Duration                              // default 5 s, as the real one
	HTTP           *http.Client                               // sends webhooks; its Timeout is left alone
}

// Account is the running sandbox. All methods may be used at the same time.
type Account struct {
	cfg     Config
	handler http.Handler
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu        sync.Mutex
	changed   chan struct{}
	revision  int
	ids       map[string]int
	incidents []*Incident
	open      map[alertKey]*Incident
	pages     []Page
	requests  []*Request
	recent    map[string][]time.Time // accepted events per routing key in the last minute
	rules     []Rule
	hooks     []*subscription
	sent      []*Delivery
	sendSlots chan struct{}
	server    *http.Server
}

// New makes an account. It serves through Handler or after Start, and must be
// closed in the end.
func New(cfg Config) *Account {
	cfg.Users = slices.Clone(cfg.Users)
	cfg.Services = slices.Clone(cfg.Services)
	cfg.Site = cmp.Or(cfg.Site, "https://tocsin-sandbox.pagerduty.com")
	cfg.WebhookTimeout = cmp.Or(cfg.WebhookTimeout, 5*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	if cfg.Backoff == nil {
		cfg.Backoff = func(attempt int) time.Duration { return min(time.Second<<min(attempt-1, 6), time.Minute) }
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: sendAtOnce}}
	}
	a := &Account{
		cfg: cfg, changed: make(chan struct{}), ids: map[string]int{},
		open: map[alertKey]*Incident{}, recent: map[string][]time.Time{},
		sendSlots: make(chan struct{}, sendAtOnce),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	for _, w := range cfg.Webhooks {
		a.AddWebhook(w)
	}
	a.handler = a.routes()
	return a
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler serves both the Events API and the REST API, which on the real
// service live on two hosts and share no path.
func (a *Account) Handler() http.Handler { return a.handler }

// Start listens on addr (127.0.0.1:0 picks a port) and returns the base URL.
func (a *Account) Start(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start pager: %w", err)
	}
	a.mu.Lock()
	a.server = &http.Server{Handler: a.handler, ReadHeaderTimeout: 10 * time.Second}
	srv := a.server
	a.mu.Unlock()
	a.work.Go(func() { _ = srv.Serve(l) }) // always ErrServerClosed, from Close
	return "http://" + l.Addr().String(), nil
}

// Close stops serving and sending, releases hanging requests and waits until
// nothing of the account runs any more.
func (a *Account) Close() error {
	a.cancel()
	a.mu.Lock()
	srv := a.server
	a.mu.Unlock()
	var err error
	if srv != nil {
		if e := srv.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = fmt.Errorf("close pager: %w", e)
		}
	}
	a.work.Wait()
	return err
}

// Changed returns a channel that is closed at the next change of anything a
// Snapshot shows. Take it before looking, then wait on it.
func (a *Account) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Until waits until the condition holds, looking again at every change.
func (a *Account) Until(ctx context.Context, holds func() bool) error {
	for {
		next := a.Changed()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for the pager: %w", ctx.Err())
		}
	}
}

// touch announces a change; the lock is held.
func (a *Account) touch() {
	a.revision++
	close(a.changed)
	a.changed = make(chan struct{})
}

// SetOnCall says who is on call for a service from now on. Nobody is a state
// that happens: incidents are then assigned to no one and page no one.
func (a *Account) SetOnCall(service string, users ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.cfg.Services {
		if a.cfg.Services[i].ID == service {
			a.cfg.Services[i].OnCall = slices.Clone(users)
		}
	}
	a.touch()
}

// Snapshot is the whole account at one moment, for pages and tests.
type Snapshot struct {
	Revision   int        `json:"revision"`
	Users      []User     `json:"users"`
	Services   []Service  `json:"services"`
	Incidents  []Incident `json:"incidents"`
	Pages      []Page     `json:"pages"`
	Webhooks   []Webhook  `json:"webhooks"`
	Deliveries []Delivery `json:"deliveries"`
	Faults     []Rule     `json:"faults"`
}

// Snapshot returns a copy of the account's state; nothing in it is shared.
func (a *Account) Snapshot() Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Snapshot{
		Revision: a.revision, Users: slices.Clone(a.cfg.Users), Services: slices.Clone(a.cfg.Services),
		Pages: slices.Clone(a.pages), Faults: slices.Clone(a.rules),
	}
	for _, in := range a.incidents {
		s.Incidents = append(s.Incidents, in.copy())
	}
	for _, h := range a.hooks {
		s.Webhooks = append(s.Webhooks, h.Webhook)
	}
	for _, d := range a.sent {
		s.Deliveries = append(s.Deliveries, d.copy())
	}
	return s
}

// nextID gives the n-th id of a kind: a prefix and as many letters and digits
// as asked. The lock is held.
func (a *Account) nextID(kind, prefix string, length int) string {
	a.ids[kind]++
	n := binary.BigEndian.AppendUint64(nil, uint64(a.ids[kind]))
	sum := sha256.Sum256(append([]byte(a.cfg.Seed+"\x00"+kind+"\x00"), n...))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:length]
}

func (a *Account) user(id string) (User, bool) {
	i := slices.IndexFunc(a.cfg.Users, func(u User) bool { return u.ID == id })
	if i < 0 {
		return User{}, false
	}
	return a.cfg.Users[i], true
}

func (a *Account) service(id string) (Service, bool) {
	i := slices.IndexFunc(a.cfg.Services, func(s Service) bool { return s.ID == id })
	if i < 0 {
		return Service{}, false
	}
	return a.cfg.Services[i], true
}
