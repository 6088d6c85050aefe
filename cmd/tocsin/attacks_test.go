//go:build !race

package main_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/chat"
	"tocsin/store"
)

// longExpression is a condition that never ends.
const longExpression = `let a = 1..900000; all(a, {let x = #; all(a, {# + x > 0})})`

// attacks returns every attack.
func attacks() []attack {
	return []attack{
		{name: "none", run: func(context.Context, *arena) {}},
		{name: "stalled bodies on every webhook", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 400, 1, webhooks, bodyHead(1<<20), []byte("{"))
		}},
		{name: "large stalled bodies", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 400, 20, webhooks, bodyHead(1<<20), bytes.Repeat([]byte("a"), 1<<20-2))
		}},
		{name: "large bodies to Slack endpoints", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 500, 1, []string{"/slack/commands", "/slack/interactions", "/slack/events"}, bodyHead(1<<20), bytes.Repeat([]byte("a"), 1<<20-2))
		}},
		{name: "large bodies to the report form", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 500, 1, []string{"/report"}, bodyHead(128<<10), bytes.Repeat([]byte("a"), 128<<10-2))
		}},
		{name: "slow headers", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 1500, 50, webhooks, func(path string) string { return "POST " + path + " HTTP/1.1\r\nHost: x\r\nX-Padding: " }, bytes.Repeat([]byte("a"), 12<<10))
		}},
		{name: "2,000 stalled connections", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 2000, 50, webhooks, func(string) string { return "" }, nil)
		}},
		{name: "2,000 stalled bodies", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 2000, 50, webhooks, bodyHead(1<<20), bytes.Repeat([]byte("a"), 10<<10))
		}},
		{name: "responses that nobody reads", run: func(ctx context.Context, a *arena) {
			a.connect(ctx, 1000, 50, []string{"/report"}, func(path string) string {
				return strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", 20)
			}, nil)
		}},
		{name: "wrong secrets of the same address", run: func(ctx context.Context, a *arena) { sendWrongSecrets(ctx, a, `{"a":1}`) }},
		{name: "wrong secrets of large bodies", run: func(ctx context.Context, a *arena) {
			sendWrongSecrets(ctx, a, `{"a":"`+strings.Repeat("a", 1<<20-20)+`"}`)
		}},
		{name: "PGP bomb by mail", run: mailBomb},
		{name: "endless expression by command", run: func(_ context.Context, a *arena) {
			_, _ = a.slash(a.company.People[0], "C0GENERAL", "maintenance add 2h "+longExpression+" because tests")
		}},
		{name: "endless expression in the database", prepare: (*arena).storeExpression, run: func(context.Context, *arena) {}},
		{name: "log without a reader", prepare: func(a *arena) {
			_ = a.restartWithLog().Close()
		}, run: makeLogLines},
		{name: "log with a stalled reader", prepare: func(a *arena) {
			log := a.restartWithLog() // its 64 KiB fill up
			a.t.Cleanup(func() { _ = log.Close() })
		}, run: makeLogLines},
		{name: "SIGUSR1", run: func(ctx context.Context, a *arena) { a.signal(ctx, syscall.SIGUSR1) }},
		{name: "SIGHUP", run: func(ctx context.Context, a *arena) { a.signal(ctx, syscall.SIGHUP) }},
		{name: "huge Retry-After", run: askForLongWait},
	}
}

// webhooks are the paths of the sources in [startArena].
var webhooks = []string{"/hooks/sentry", "/hooks/cloudtrail", "/hooks/pagerduty", "/hooks/alertmanager", "/hooks/siem", "/hooks/hackerone", "/hooks/sns"}

// bodyHead returns a function that writes the head of a POST with a body of size
// bytes.
func bodyHead(size int) func(path string) string {
	return func(path string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", path, size)
	}
}

// connect opens count connections from addresses of the loopback network, sends the
// head of a request and some of its body on each, and then nothing until ctx ends.
func (a *arena) connect(ctx context.Context, count, addresses int, paths []string, head func(path string) string, body []byte) {
	var all sync.WaitGroup
	slots := make(chan struct{}, 64) // connections that are being opened
	for n := range count {
		all.Go(func() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%addresses))}}
			c, err := d.DialContext(ctx, "tcp", a.address)
			<-slots
			if err != nil {
				return // the bot refused it
			}
			defer func() { _ = c.Close() }()
			ended := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
			defer ended()
			_, _ = io.WriteString(c, head(paths[n%len(paths)]))
			_, _ = c.Write(body)
			<-ctx.Done()
		})
	}
	all.Wait()
}

// sendWrongSecrets posts a body with a wrong signature repeatedly, from the address of the
// genuine sender.
func sendWrongSecrets(ctx context.Context, a *arena, body string) {
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/hooks/sentry", strings.NewReader(body))
				if err != nil {
					return
				}
				req.Header.Set("Sentry-Hook-Resource", "event_alert")
				req.Header.Set("Sentry-Hook-Signature", strings.Repeat("0", 64))
				if res, err := http.DefaultClient.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}
		})
	}
	all.Wait()
}

// storeExpression stores a maintenance window that an older version accepted.
func (a *arena) storeExpression() {
	a.stop()
	keys, err := store.LoadKeyset(a.keyset)
	if err != nil {
		a.t.Fatal(err)
	}
	s, err := store.Open(a.t.Context(), store.Config{URL: a.database, ReplicaID: "test"}, store.Deps{Keyset: keys})
	if err != nil {
		a.t.Fatal(err)
	}
	err = s.Tx(a.t.Context(), func(tx response.Tx) error {
		_, err := tx.PutMaintenance(incident.MaintenanceWindow{When: longExpression, Reason: "tests", Owner: "p-1", From: time.Now().Add(-time.Minute), To: time.Now().Add(time.Hour)})
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		a.t.Fatal(err)
	}
	a.start()
}

// makeLogLines causes warnings and errors in the log until ctx ends.
func makeLogLines(ctx context.Context, a *arena) {
	defer a.company.Chat.ClearFaults()
	a.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	for n := 0; ctx.Err() == nil; n++ {
		_, _ = a.sendCommand(fmt.Sprintf("open sev4 log lines %d", n))
	}
}

// signal sends a signal to the bot every 200 ms.
func (a *arena) signal(ctx context.Context, s syscall.Signal) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		_ = a.current().cmd.Process.Signal(s)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// askForLongWait lets Slack answer every call with an absurd Retry-After. Then no
// effect may wait for more than some minutes.
func askForLongWait(ctx context.Context, a *arena) {
	defer a.company.Chat.ClearFaults()
	a.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultRateLimit, RetryAfter: 99_999_999_999})
	_, _ = a.sendCommand("open sev4 Slack asks for a long wait")
	<-ctx.Done()
	waiting := "FROM effects WHERE waiting_since IS NOT NULL"
	late := a.queryInt("SELECT count(*) " + waiting + " AND julianday(next_at) > julianday('now', '+6 minutes')")
	if late > 0 {
		a.t.Errorf("got %d effects that wait for more than six minutes, want none", late)
	}
	if n := a.queryInt("SELECT count(*) " + waiting); n == 0 {
		a.t.Error("got no effect that waits, want some")
	}
}

// pgpEntity is the key of the bot.
var pgpEntity = sync.OnceValues(func() (*openpgp.Entity, error) {
	return openpgp.NewEntity("Security", "", "security@payroll.example", nil)
})

// pgpKey returns the armored private key of the bot.
func pgpKey(t *testing.T) string {
	t.Helper()
	return armored(t, openpgp.PrivateKeyType, func(w io.Writer) error {
		e, err := pgpEntity()
		if err != nil {
			return err
		}
		return e.SerializePrivate(w, nil)
	})
}

func armored(t *testing.T, kind string, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

// compressed8MiB is a literal packet of 8 MiB, compressed by bzip2.
const compressed8MiB = "425a683931415926535981815493010106c584e00020001004000080080108a00050801805494c8cf54d64b940401bf6404804b9be7da01005bf8bb9229c284840c0aa4980"

// pgpBomb returns a small message to the bot's key that decrypts to 8 MiB.
func pgpBomb(t *testing.T) string {
	t.Helper()
	raw, err := hex.DecodeString(compressed8MiB)
	if err != nil {
		t.Fatal(err)
	}
	return armored(t, "PGP MESSAGE", func(w io.Writer) error {
		e, err := pgpEntity()
		if err != nil {
			return err
		}
		key, ok := e.EncryptionKey(time.Now())
		if !ok {
			return fmt.Errorf("key cannot encrypt")
		}
		session := bytes.Repeat([]byte{7}, 16)
		if err := packet.SerializeEncryptedKey(w, key.PublicKey, packet.CipherAES128, session, nil); err != nil {
			return err
		}
		body, err := packet.SerializeSymmetricallyEncrypted(w, packet.CipherAES128, false, packet.CipherSuite{}, session, nil)
		if err != nil {
			return err
		}
		_, _ = body.Write(append([]byte{0xC8, 0xFF, 0, 0, 0, byte(len(raw) + 1), 3}, raw...))
		return body.Close()
	})
}

// mailBomb mails 64 KiB of messages that each decrypt to 8 MiB.
func mailBomb(_ context.Context, a *arena) {
	one := pgpBomb(a.t)
	a.imap.appendMail(a.t, "From: Ann <ann@example.org>", "To: security@payroll.example", "Message-ID: <bomb@example.org>", "Subject: Report",
		"Content-Type: text/plain", "", strings.ReplaceAll(strings.Repeat(one, (64<<10)/len(one)), "\n", "\r\n"))
}
