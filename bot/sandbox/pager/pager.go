// Package pager is an in-process PagerDuty account for tests and demos. It
// implements the Events API v2, the parts of the REST API that Tocsin and its
// tests need, and signed v3 webhooks.
//
// Clients such as go-pagerduty need only its base URL. Simulated people act
// through [Account.Acknowledge], [Account.Resolve], [Account.Raise] and
// [Account.Annotate], or through the REST API with a From header. The clock,
// the waiting and the seed of IDs are configurable. Equal calls at equal times
// produce equal IDs.
//
// [Account.SetFaults] injects the failures that the real service shows under
// load. [Account.Requests] returns a log of all calls with their time, content
// and effect. A test can count the pages that the account received instead of
// those that a sender believes it sent.
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

	"tocsin/bot/sandbox/answer"
)

// User is a user of the account.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Service is a PagerDuty service. It has one Events API v2 integration,
// identified by its routing key, and one escalation policy.
type Service struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	RoutingKey string   `json:"routing_key"`
	OnCall     []string `json:"on_call"` // user IDs, a new incident is assigned to all of them
}

// Webhook is a v3 webhook subscription.
type Webhook struct {
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	Secrets []string `json:"-"`                // one signature each (two while a secret is rotated)
	Events  []string `json:"events,omitempty"` // event types to send, empty for all
}

// Config configures an account. Every field except Services has a default.
type Config struct {
	Users    []User
	Services []Service
	Webhooks []Webhook

	APIToken        string      // REST token, empty rejects all REST calls
	Site            string      // base of html_url, default https://tocsin-sandbox.pagerduty.com
	EventsPerMinute int         // limit per routing key in 60 s, above it the reply is 429 (0 for no limit, the real limit is about 120)
	Seed            string      // determines all generated IDs
	Answers         *answer.Set // replace the responses of single methods

	Now            func() time.Time                           // clock, default time.Now
	Wait           func(context.Context, time.Duration) error // waits on that clock, default a timer
	Backoff        func(attempt int) time.Duration            // wait after the attempt-th failed webhook attempt, counted from 1
	WebhookTimeout time.Duration                              // default 5 s as in PagerDuty
	HTTP           *http.Client                               // client for webhooks, whose Timeout is not changed
}

// Account is a running PagerDuty sandbox. It is safe for concurrent use.
type Account struct {
	cfg     Config
	handler http.Handler
	ctx     context.Context // canceled by Close
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

// New returns an account that serves [Account.Handler]. The caller must call
// [Account.Close].
func New(cfg Config) *Account {
	cfg.Users = slices.Clone(cfg.Users)
	cfg.Services = slices.Clone(cfg.Services)
	cfg.Site = cmp.Or(cfg.Site, "https://tocsin-sandbox.pagerduty.com")
	cfg.WebhookTimeout = cmp.Or(cfg.WebhookTimeout, 5*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = sleep
	}
	if cfg.Backoff == nil {
		cfg.Backoff = func(attempt int) time.Duration { return min(time.Second<<min(attempt-1, 6), time.Minute) }
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxConcurrentSends}}
	}
	a := &Account{
		cfg: cfg, changed: make(chan struct{}), ids: map[string]int{},
		open: map[alertKey]*Incident{}, recent: map[string][]time.Time{},
		sendSlots: make(chan struct{}, maxConcurrentSends),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	for _, w := range cfg.Webhooks {
		a.AddWebhook(w)
	}
	a.handler = a.routes()
	return a
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handler serves the Events API and the REST API. PagerDuty serves them on two
// hosts, but they have no path in common.
func (a *Account) Handler() http.Handler { return a.handler }

// Start listens on addr and returns the base URL. Use 127.0.0.1:0 to pick a
// free port.
func (a *Account) Start(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start pager: %w", err)
	}
	a.mu.Lock()
	a.server = &http.Server{Handler: a.handler, ReadHeaderTimeout: 10 * time.Second}
	srv := a.server
	a.mu.Unlock()
	a.work.Go(func() { _ = srv.Serve(l) }) // always ErrServerClosed, after Close
	return "http://" + l.Addr().String(), nil
}

// Close stops serving and sending, ends pending requests and waits for the
// account's goroutines.
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

// Changed returns a channel that is closed at the next change of the data in a
// [Snapshot] or of the request log. Call it before you read the state, then
// wait on the channel.
func (a *Account) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

// Until waits until condition returns true and evaluates it after every change.
// It returns an error if ctx ends first.
func (a *Account) Until(ctx context.Context, condition func() bool) error {
	for {
		next := a.Changed()
		if condition() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for pager: %w", ctx.Err())
		}
	}
}

// notifyChange wakes everyone who waits on Changed. The caller holds a.mu.
func (a *Account) notifyChange() {
	a.revision++
	close(a.changed)
	a.changed = make(chan struct{})
}

// SetOnCall replaces the users on call for a service. Without users, new
// incidents are assigned to no one and page no one.
func (a *Account) SetOnCall(service string, users ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.cfg.Services {
		if a.cfg.Services[i].ID == service {
			a.cfg.Services[i].OnCall = slices.Clone(users)
		}
	}
	a.notifyChange()
}

// Snapshot is the state of an account at one moment.
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

// Snapshot returns a copy of the current state.
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

// nextID returns prefix and length letters or digits. They are a function of
// the seed, the kind and a counter per kind. The caller holds a.mu.
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
