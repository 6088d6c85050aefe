package vulnreport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"

	"tocsin/bot/health"
)

// watchUpdates returns a channel that receives a value after an update from the server.
// Several updates may share one value. It reads updates until the connection ends,
// because the client blocks until each update is read.
func watchUpdates(c *client.Client) <-chan struct{} {
	updates, changed := make(chan client.Update), make(chan struct{}, 1)
	c.Updates = updates
	go func() {
		for {
			select {
			case <-updates:
			case <-c.LoggedOut():
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// connect logs in and selects the folder. The connection is closed when ctx ends or
// when the caller calls closeConn.
func (m *Mailbox) connect(ctx context.Context) (_ *client.Client, closeConn func(), err error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	var conn net.Conn
	if m.cfg.TLS == "implicit" {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: m.deps.TLSConfig}).DialContext(ctx, "tcp", m.cfg.Address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", m.cfg.Address)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to IMAP server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	closeConn = func() { stop(); _ = conn.Close() }
	defer func() {
		if err != nil {
			stop()
			_ = conn.Close()
		}
	}()
	if err = conn.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		return nil, nil, fmt.Errorf("connect to IMAP server: %w", err)
	}
	c, err := client.New(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("read IMAP greeting: %w", err)
	}
	c.Timeout = commandTimeout
	c.ErrorLog = slog.NewLogLogger(m.log.Handler(), slog.LevelWarn)
	if m.cfg.TLS == "starttls" {
		if err = c.StartTLS(m.deps.TLSConfig); err != nil {
			return nil, nil, fmt.Errorf("start TLS: %w", err)
		}
	}
	if err = c.Login(m.cfg.Username, m.cfg.Password.Reveal()); err != nil {
		return nil, nil, refusal(c, fmt.Errorf("log in to IMAP server: %w", err),
			"The mail server of the vulnerability mailbox rejects the user name or the password", "Correct sources.report.mailbox.username and password, and restart Tocsin")
	}
	if _, err = c.Select(m.cfg.Folder, false); err != nil {
		return nil, nil, refusal(c, fmt.Errorf("select folder %s: %w", m.cfg.Folder, err),
			"The folder "+m.cfg.Folder+" of the vulnerability mailbox cannot be opened", "Create it, or correct sources.report.mailbox.folder and restart Tocsin")
	}
	return c, closeConn, nil
}

// refusal returns the problem of a command that the server refused. If the connection
// was lost, it returns err.
func refusal(c *client.Client, err error, cause, fix string) error {
	select {
	case <-c.LoggedOut():
		return err
	default:
		return &health.Problem{Cause: cause, Fix: fix, Err: err}
	}
}

// idle waits until the mailbox changes or the poll interval has passed.
func (m *Mailbox) idle(ctx context.Context, c *client.Client, changed <-chan struct{}) error {
	c.Timeout = m.cfg.Poll + commandTimeout // detects a dead connection
	defer func() { c.Timeout = commandTimeout }()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Idle(stop, &client.IdleOptions{LogoutTimeout: -1, PollInterval: m.cfg.Poll}) }()
	timer := time.NewTimer(m.cfg.Poll)
	defer timer.Stop()
	select {
	case err := <-done:
		return cmp.Or(err, errors.New("wait for mail: the server ended the IDLE command"))
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	}
	close(stop)
	if err := <-done; err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	return ctx.Err()
}

// fetched is a mail read from the server.
type fetched struct {
	raw  []byte
	size uint32    // size of the full mail in bytes, may exceed len(raw)
	date time.Time // arrival time
}

// fetch returns up to MaxMessage bytes of a mail, or nil if the mail no longer exists.
func (m *Mailbox) fetch(c *client.Client, uid uint32) (*fetched, error) {
	section := &imap.BodySectionName{Peek: true, Partial: []int{0, int(m.cfg.MaxMessage)}}
	messages, done := make(chan *imap.Message), make(chan error, 1)
	go func() {
		done <- c.UidFetch(uidSet(uid), []imap.FetchItem{imap.FetchUid, imap.FetchInternalDate, imap.FetchRFC822Size, section.FetchItem()}, messages)
	}()
	var found *imap.Message
	for msg := range messages {
		if msg.Uid == uid && msg.GetBody(section) != nil {
			found = msg
		}
	}
	if err := <-done; err != nil {
		return nil, fmt.Errorf("fetch mail: %w", err)
	}
	if found == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(found.GetBody(section), m.cfg.MaxMessage))
	if err != nil {
		return nil, fmt.Errorf("fetch mail: %w", err)
	}
	f := &fetched{raw: raw, size: found.Size, date: found.InternalDate}
	if now := m.deps.Clock(); f.date.IsZero() || f.date.After(now) {
		f.date = now
	}
	return f, nil
}

func markSeen(c *client.Client, uid uint32) error {
	if err := c.UidStore(uidSet(uid), imap.FormatFlagsOp(imap.AddFlags, true), []any{imap.SeenFlag}, nil); err != nil {
		return fmt.Errorf("flag mail: %w", err)
	}
	return nil
}

func uidSet(uid uint32) *imap.SeqSet {
	s := new(imap.SeqSet)
	s.AddNum(uid)
	return s
}
