// Package mailbox is an in-process SMTP server for tests and demos. It stores
// every message it accepts and parses the MIME structure. Pages can show
// messages and tests can count them by Message-ID.
//
// AUTH and STARTTLS are off unless configured. [Mailbox.SetFaults] injects the
// failures of real mail servers. [Mailbox.Attempts] returns the reply to each
// sender and whether the message was stored, because a sender can time out
// after its message was stored.
package mailbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"tocsin/bot/sandbox/answer"
)

// Config configures a mailbox. The zero value accepts every message, without
// AUTH or TLS.
type Config struct {
	Domain   string      // name in the greeting, default mailbox.sandbox
	Username string      // if set, AUTH PLAIN is offered and required
	Password string      // for Username
	TLS      *tls.Config // if set, STARTTLS is offered
	MaxBytes int64       // of a message, default 25 MB
	Answers  *answer.Set // replace the responses of single methods

	Now  func() time.Time                           // clock, default time.Now
	Wait func(context.Context, time.Duration) error // waits on that clock, default a timer
}

// Mailbox is a mail server. It is safe for concurrent use.
type Mailbox struct {
	cfg    Config
	server *smtp.Server
	ctx    context.Context // canceled by Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	changed  chan struct{}
	revision int
	messages []Message
	attempts []*Attempt
	rules    []Rule
}

// New returns a mailbox that receives after [Mailbox.Start]. The caller must
// call [Mailbox.Close].
func New(cfg Config) *Mailbox {
	cfg.Domain = cmp.Or(cfg.Domain, "mailbox.sandbox")
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 25<<20)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = sleep
	}
	m := &Mailbox{cfg: cfg, changed: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.server = smtp.NewServer(smtp.BackendFunc(m.session))
	m.server.Domain = cfg.Domain
	m.server.MaxMessageBytes = cfg.MaxBytes
	m.server.MaxRecipients = 100
	m.server.AllowInsecureAuth = cfg.TLS == nil
	m.server.EnableSMTPUTF8 = true
	m.server.TLSConfig = cfg.TLS
	m.server.ErrorLog = log.New(io.Discard, "", 0) // injected faults break connections, and Attempts logs them
	return m
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

// Start listens on addr and returns host:port. Use 127.0.0.1:0 to pick a free
// port.
func (m *Mailbox) Start(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start mailbox: %w", err)
	}
	m.mu.Lock()
	m.listener = l
	m.mu.Unlock()
	m.work.Go(func() { _ = m.server.Serve(l) }) // ends with Close
	return l.Addr().String(), nil
}

// Close stops listening, breaks all connections and waits for the listener's
// goroutine. Connections held by [FaultSilence] end too.
func (m *Mailbox) Close() error {
	m.cancel()
	err := m.server.Close()
	m.mu.Lock()
	if m.listener != nil {
		_ = m.listener.Close() // the server closes only listeners that it already serves
	}
	m.mu.Unlock()
	m.work.Wait()
	if err != nil {
		return fmt.Errorf("close mailbox: %w", err)
	}
	return nil
}

// Changed returns a channel that is closed at the next change of the data in a
// [Snapshot] or of the attempts. Call it before you read the state, then wait
// on the channel.
func (m *Mailbox) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Until waits until condition returns true and evaluates it after every change.
// It returns an error if ctx ends first.
func (m *Mailbox) Until(ctx context.Context, condition func() bool) error {
	for {
		next := m.Changed()
		if condition() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for mailbox: %w", ctx.Err())
		}
	}
}

// notifyChange wakes everyone who waits on Changed. The caller holds m.mu.
func (m *Mailbox) notifyChange() {
	m.revision++
	close(m.changed)
	m.changed = make(chan struct{})
}

// Messages returns all stored messages, oldest first.
func (m *Mailbox) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// For returns the messages with this envelope recipient, oldest first. It
// ignores case.
func (m *Mailbox) For(address string) []Message {
	return slices.DeleteFunc(m.Messages(), func(msg Message) bool { return !msg.sentTo(address) })
}

func (m Message) sentTo(address string) bool {
	return slices.ContainsFunc(m.Recipients, func(to string) bool { return strings.EqualFold(to, address) })
}

// Counts returns the number of stored messages per Message-ID. Messages without
// one are counted under "".
func (m *Mailbox) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]int{}
	for _, msg := range m.messages {
		counts[msg.MessageID]++
	}
	return counts
}

// Attempts returns a copy of the log of transactions, oldest first.
func (m *Mailbox) Attempts() []Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Attempt, len(m.attempts))
	for i, a := range m.attempts {
		all[i] = *a
		all[i].To = slices.Clone(a.To)
	}
	return all
}

// Snapshot is the state of a mailbox at one moment.
type Snapshot struct {
	Revision int       `json:"revision"`
	Messages []Message `json:"messages"`
	Faults   []Rule    `json:"faults"`
}

// Snapshot returns a copy of the current state.
func (m *Mailbox) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Snapshot{Revision: m.revision, Messages: slices.Clone(m.messages), Faults: slices.Clone(m.rules)}
}
