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
)

// listen turns whatever the server announces into one signal. It takes
// announcements until the connection ends: the client waits for its reader.
func listen(c *client.Client) <-chan struct{} {
	updates, news := make(chan client.Update), make(chan struct{}, 1)
	c.Updates = updates
	go func() {
		for {
			select {
			case <-updates:
			case <-c.LoggedOut():
				return
			}
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}()
	return news
}

// connect logs in and opens the folder. The connection ends with ctx.
func (m *Mailbox) connect(ctx context.Context) (_ *client.Client, hangUp func(), err error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	var conn net.Conn
	if m.cfg.TLS == "implicit" {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: m.cfg.TLSConfig}).DialContext(ctx, "tcp", m.cfg.Address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", m.cfg.Address)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to mailbox: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	end := func() { stop(); _ = conn.Close() }
	defer func() {
		if err != nil {
			end()
		}
	}()
	if err = conn.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		return nil, nil, fmt.Errorf("connect to mailbox: %w", err)
	}
	c, err := client.New(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("greet mailbox: %w", err)
	}
	c.Timeout = commandTimeout
	c.ErrorLog = slog.NewLogLogger(m.log.Handler(), slog.LevelWarn)
	if m.cfg.TLS == "starttls" {
		if err = c.StartTLS(m.cfg.TLSConfig); err != nil {
			return nil, nil, fmt.Errorf("start tls with mailbox: %w", err)
		}
	}
	if err = c.Login(m.cfg.Username, m.cfg.Password.Reveal()); err != nil {
		return nil, nil, fmt.Errorf("log in to mailbox: %w", err)
	}
	if _, err = c.Select(m.cfg.Folder, false); err != nil {
		return nil, nil, fmt.Errorf("open folder %s: %w", m.cfg.Folder, err)
	}
	return c, end, nil
}

// idle waits for the server to say that something changed, or for the next look.
func (m *Mailbox) idle(ctx context.Context, c *client.Client, news <-chan struct{}) error {
	c.Timeout = m.cfg.Poll + commandTimeout // a connection that died in silence is noticed
	defer func() { c.Timeout = commandTimeout }()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Idle(stop, &client.IdleOptions{LogoutTimeout: -1, PollInterval: m.cfg.Poll}) }()
	timer := time.NewTimer(m.cfg.Poll)
	defer timer.Stop()
	select {
	case err := <-done:
		return cmp.Or(err, errors.New("wait for mail: the server ended it"))
	case <-ctx.Done():
	case <-timer.C:
	case <-news:
	}
	close(stop)
	if err := <-done; err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	return ctx.Err()
}

// fetched is a mail as the server has it.
type fetched struct {
	raw   []byte
	whole uint32    // bytes of all of it
	date  time.Time // when it arrived
}

// fetch gives nothing for a mail that is gone meanwhile.
func (m *Mailbox) fetch(c *client.Client, uid uint32) (*fetched, error) {
	section := &imap.BodySectionName{Peek: true, Partial: []int{0, int(m.cfg.MaxMessage)}}
	messages, done := make(chan *imap.Message), make(chan error, 1)
	go func() {
		done <- c.UidFetch(only(uid), []imap.FetchItem{imap.FetchUid, imap.FetchInternalDate, imap.FetchRFC822Size, section.FetchItem()}, messages)
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
	f := &fetched{raw: raw, whole: found.Size, date: found.InternalDate}
	if now := m.cfg.Clock(); f.date.IsZero() || f.date.After(now) {
		f.date = now
	}
	return f, nil
}

func seen(c *client.Client, uid uint32) error {
	if err := c.UidStore(only(uid), imap.FormatFlagsOp(imap.AddFlags, true), []any{imap.SeenFlag}, nil); err != nil {
		return fmt.Errorf("flag mail: %w", err)
	}
	return nil
}

func only(uid uint32) *imap.SeqSet {
	s := new(imap.SeqSet)
	s.AddNum(uid)
	return s
}
