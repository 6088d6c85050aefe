package vulnreport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"

	"tocsin/bot/health"
	"tocsin/bot/secret"
	"tocsin/bot/setting"
	"tocsin/bot/text"
)

// MailboxConfig configures the mailbox of the vulnerability alias. Only Tocsin may read
// this mailbox: it skips mails that another client has marked as seen.
type MailboxConfig struct {
	Address  string        `yaml:"address"` // host:port
	TLS      string        `yaml:"tls"`     // "implicit" (default), "starttls", or "none" for a server on this machine
	Username string        `yaml:"username"`
	Password secret.String `yaml:"password"`
	Folder   string        `yaml:"folder"` // default "INBOX"
	Poll     time.Duration `yaml:"poll"`   // interval between checks without an update from the server (default 1m)
	// MaxMessage is the maximum number of bytes stored of a mail (default 5 MiB). A
	// larger mail is truncated, and its alert reports that.
	MaxMessage int64 `yaml:"max_message"`
	// Aliases are the mail addresses of the mailbox. The first one is the Reply-To of
	// acknowledgements.
	Aliases []string `yaml:"aliases"`
	// Acknowledge confirms receipt by mail.
	Acknowledge bool `yaml:"acknowledge"`
}

// Validate returns the problems of the configuration.
func (c MailboxConfig) Validate() setting.Problems {
	var p setting.Problems
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		p.Add("address", "%q is not host:port. Write one such as imap.example.com:993", c.Address)
	}
	if !slices.Contains([]string{"", "implicit", "starttls", "none"}, c.TLS) {
		p.Add("tls", "unknown mode %q. Write implicit, starttls or none", c.TLS)
	}
	if c.Username == "" {
		p.Add("username", "is missing. Write the name of the user who reads the mailbox")
	}
	if c.Password.IsZero() {
		p.Add("password", "is missing. Write the password of the user")
	}
	if c.Poll < 0 {
		p.Add("poll", "is negative. Write a duration such as 1m")
	}
	if c.MaxMessage != 0 && c.MaxMessage < 1024 {
		p.Add("max_message", "is too small. Write a number of bytes of at least 1024")
	}
	for n, alias := range c.Aliases {
		if a, err := mail.ParseAddress(alias); err != nil || a.Address != alias {
			p.Add(setting.Index("aliases", n), "is not a plain mail address. Write one such as security@example.com, without a name")
		}
	}
	return p
}

// Warnings returns what is valid, but not safe.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	if c.Mailbox == nil {
		return nil
	}
	if host, _, err := net.SplitHostPort(c.Mailbox.Address); err == nil && c.Mailbox.TLS == "none" && !setting.IsLoopback(host) {
		p.Add("mailbox.tls", "is none, so the password passes the network without encryption. Write implicit or starttls")
	}
	return p
}

const (
	commandTimeout = time.Minute
	maxBackoff     = 5 * time.Minute // between connection attempts
)

// Mailbox reads the alias over IMAP. It stores no state itself. A mail stays unseen on
// the server until it is delivered. [Source.Decode] decides later whether the reporter
// gets an acknowledgement.
type Mailbox struct {
	cfg  MailboxConfig
	deps Deps
	log  *slog.Logger

	mu    sync.Mutex
	err   error
	since time.Time
}

// NewMailbox returns a Mailbox without connecting it. The error joins all problems of
// the configuration.
func NewMailbox(c MailboxConfig, d Deps) (*Mailbox, error) {
	err := c.Validate().Err()
	if d.Deliver == nil {
		err = errors.Join(err, errors.New("deliver function is missing"))
	}
	if err != nil {
		return nil, err
	}
	c.Folder, c.TLS, c.Poll, c.MaxMessage = cmp.Or(c.Folder, "INBOX"), cmp.Or(c.TLS, "implicit"), cmp.Or(c.Poll, time.Minute), cmp.Or(c.MaxMessage, 5<<20)
	d = d.withDefaults()
	if d.TLSConfig == nil {
		d.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if d.TLSConfig.ServerName == "" {
		host, _, _ := net.SplitHostPort(c.Address)
		d.TLSConfig = d.TLSConfig.Clone()
		d.TLSConfig.ServerName = host
	}
	return &Mailbox{cfg: c, deps: d, log: d.Logger}, nil
}

// Probe signs in and opens the folder. It reads no mail.
func (m *Mailbox) Probe(ctx context.Context) error {
	c, closeConn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	_ = c.Logout() // the connection is closed anyway
	return nil
}

// Run reads mails until ctx ends and then returns nil. After an error it reconnects
// with exponential backoff. [Mailbox.Err] returns the current error.
func (m *Mailbox) Run(ctx context.Context) error {
	backoff := time.Second
	for {
		err := m.session(ctx, func() { backoff = time.Second })
		if ctx.Err() != nil {
			return nil
		}
		m.setErr(err)
		m.log.Warn("read vulnerability mailbox failed", "err", err, "retry_in", backoff)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// Err returns the error of the last session and the time since which the mailbox has
// been failing. The error is nil while the mailbox works.
func (m *Mailbox) Err() (since time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since, m.err
}

func (m *Mailbox) setErr(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if (err == nil) != (m.err == nil) {
		m.since = m.deps.Clock()
	}
	m.err = err
}

// session runs one connection: it reads new mails and waits for more, until an error.
// It calls onSuccess after each successful read.
func (m *Mailbox) session(ctx context.Context, onSuccess func()) error {
	c, closeConn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	changed := watchUpdates(c)
	for {
		if err := m.readNew(ctx, c); err != nil {
			return err
		}
		m.setErr(nil)
		onSuccess()
		if err := m.idle(ctx, c, changed); err != nil {
			return err
		}
	}
}

// readNew delivers every unseen mail. A mail that fails stays unseen for the next check
// and does not stop the others. readNew returns the first error.
func (m *Mailbox) readNew(ctx context.Context, c *client.Client) error {
	unseen := imap.NewSearchCriteria()
	unseen.WithoutFlags = []string{imap.SeenFlag, imap.DeletedFlag}
	uids, err := c.UidSearch(unseen)
	if err != nil {
		return fmt.Errorf("search mailbox: %w", err)
	}
	slices.Sort(uids)
	var first error
	failed := 0
	for _, uid := range uids {
		if err := m.readOne(ctx, c, uid); err != nil {
			m.log.Debug("read mail failed", "uid", uid, "err", err)
			first = cmp.Or(first, err)
			failed++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		logged := first
		if p := new(health.Problem); errors.As(first, &p) && p.Err != nil {
			logged = p.Err // the cause without its details does not help an administrator
		}
		m.log.Error("read mails failed", "mails", failed, "of", len(uids), "err", logged)
	}
	return first
}

// readOne delivers a mail and then marks it as seen.
func (m *Mailbox) readOne(ctx context.Context, c *client.Client, uid uint32) error {
	f, err := m.fetch(c, uid)
	if err != nil || f == nil {
		return err
	}
	header := map[string]string{headerVia: viaMail, headerAt: f.date.UTC().Format(time.RFC3339)}
	if int64(f.size) > int64(len(f.raw)) {
		header[headerFullSize] = strconv.FormatUint(uint64(f.size), 10)
	}
	id := viaMail + ":" + text.SHA256(f.raw)
	if err := m.deps.Deliver(ctx, id, header, f.raw, "mailbox "+m.cfg.Username); err != nil {
		return fmt.Errorf("%w: store mail: %w", &health.Problem{Cause: "Tocsin cannot store the mails of the vulnerability mailbox", Fix: "Check the database"}, err)
	}
	return markSeen(c, uid)
}
