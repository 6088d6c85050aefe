package bot

import (
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/chat"
	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/notary"
	"tocsin/bot/publication"
	"tocsin/bot/response"
	workspace "tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/secret"
	"tocsin/bot/slack"
	"tocsin/store"
	"tocsin/store/storetest"
)

// publicationTest is a bot with every way to publish checkpoints, in sandboxes.
type publicationTest struct {
	*testing.T
	*Bot
	g        *generation
	now      time.Time
	verifier notary.Verifier
	ws       *workspace.Workspace
	box      *mailbox.Mailbox
	syslog   net.PacketConn
	folder   string
	channel  string
}

func newPublicationTest(t *testing.T) *publicationTest {
	t.Helper()
	p := &publicationTest{T: t, now: time.Now(), folder: t.TempDir()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	clock := func() time.Time { return p.now }
	keys, err := store.Ephemeral()
	must(err)
	key, err := keys.Notary()
	must(err)
	p.verifier = key.Verifier()
	s, err := store.Open(t.Context(), store.Config{URL: storetest.SQLite(t)}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: clock})
	must(err)
	t.Cleanup(func() { _ = s.Close() })

	cfg := workspace.Config{People: []workspace.Person{{ID: "U0ADA", Name: "ada"}}}
	cfg.Limits.Off = true
	p.ws = workspace.New(cfg)
	base, err := p.ws.Start("")
	must(err)
	t.Cleanup(func() { _ = p.ws.Close() })
	set := p.ws.Config()
	p.channel, err = p.ws.Act("U0ADA").CreateChannel("announcements", false)
	must(err)
	chatSystem, err := slack.New(slack.Config{BotToken: secret.New(set.BotToken), SigningSecret: secret.New(set.SigningSecret), APIURL: base + "/api/", AnnounceChannel: "announcements"},
		slack.Deps{Redact: func(s string) string { return s }, Clock: clock, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	t.Cleanup(chatSystem.Wait)

	p.box = mailbox.New(mailbox.Config{})
	at, err := p.box.Start("127.0.0.1:0")
	must(err)
	t.Cleanup(func() { _ = p.box.Close() })
	host, port, err := net.SplitHostPort(at)
	must(err)
	number, _ := strconv.Atoi(port)
	mailer, err := mail.New(mail.Config{Host: host, Port: number, TLS: mail.TLSNone, From: "tocsin@example.com"}, mail.Deps{Clock: clock, Logger: slog.New(slog.DiscardHandler)})
	must(err)

	p.syslog, err = net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { _ = p.syslog.Close() })

	c := config.Config{Backup: backup.Defaults(), Notary: publication.Config{Channel: true, Mail: []string{"audit@example.com"}, Syslog: "udp://" + p.syslog.LocalAddr().String()}}
	c.Backup.To = []string{"dir:" + p.folder}
	destinations, err := c.Backup.Destinations(backup.DestinationDeps{Logger: slog.New(slog.DiscardHandler)})
	must(err)
	p.g = &generation{config: c, mail: mailer, backup: backup.NewRunner(c.Backup, destinations, backup.Deps{Logger: slog.New(slog.DiscardHandler)})}
	p.Bot = &Bot{clock: clock, log: slog.New(slog.DiscardHandler), store: s, chatEffects: chat.New(chatSystem, slog.New(slog.DiscardHandler)), publisher: publication.New(s, clock, slog.New(slog.DiscardHandler))}
	return p
}

// publish changes the log and publishes its checkpoint after a duration.
func (p *publicationTest) publish(after time.Duration) notary.Checkpoint {
	p.Helper()
	err := p.store.Tx(p.Context(), func(tx response.Tx) error {
		return tx.Audit(response.Access{At: p.now, Handle: incident.System, Action: "show", Allowed: true})
	})
	var c notary.Checkpoint
	if err == nil {
		c, err = p.store.RecordChanges(p.Context())
	}
	p.now = p.now.Add(after)
	if err == nil {
		err = p.publisher.Run(p.Context(), p.publicationWays(p.g))
	}
	if err != nil {
		p.Fatal(err)
	}
	return c
}

// open requires a copy of a published text to be the checkpoint.
func (p *publicationTest) open(what, text string, want notary.Checkpoint) {
	p.Helper()
	if got, err := p.verifier.OpenAll(text); err != nil || len(got) != 1 || got[0].Note != want.Note {
		p.Errorf("%s: got checkpoints %+v, %v, want %+v\n%s", what, got, err, want, text)
	}
}

// shownText returns the text that people see and copy from a message in Slack.
func (p *publicationTest) shownText(m workspace.Message) string {
	p.Helper()
	var blocks any
	if err := json.Unmarshal(m.Blocks, &blocks); err != nil {
		p.Fatal(err)
	}
	var out strings.Builder
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if s, ok := v["text"].(string); ok {
				out.WriteString(s + "\n")
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(blocks)
	return out.String()
}

// TestPublication_CopiesOpen publishes checkpoints by every way. A copy of each must open
// again.
func TestPublication_CopiesOpen(t *testing.T) {
	p := newPublicationTest(t)
	p.publish(0)
	first := p.publish(time.Hour)
	second := p.publish(time.Hour)
	if roots := p.ws.Messages(p.channel); len(roots) > 3 {
		t.Errorf("got %d messages in the channel, want one a day", len(roots))
	}
	found := 0
	for _, root := range p.ws.Messages(p.channel) {
		for _, m := range p.ws.Thread(p.channel, root.TS) {
			if m.TS == root.TS {
				continue
			}
			if len(m.Notified) > 0 || m.Broadcast {
				t.Errorf("got %v notified by %s", m.Notified, m.Text)
			}
			p.open("Slack", p.shownText(m), []notary.Checkpoint{first, second}[found])
			if found++; !strings.Contains(p.shownText(m), "tocsin verify --checkpoint FILE") {
				t.Errorf("got %q, want the use of the checkpoint", p.shownText(m))
			}
		}
	}
	if found != 2 {
		t.Errorf("got %d checkpoints in Slack, want 2", found)
	}
	mails := p.box.For("audit@example.com")
	if len(mails) != 2 {
		t.Fatalf("got %d mails, want 2", len(mails))
	}
	for n, m := range mails {
		if !strings.Contains(m.Text, "Public key: "+p.verifier.String()) {
			t.Errorf("got %q, want the public key", m.Text)
		}
		p.open("whole mail", string(m.Raw), []notary.Checkpoint{first, second}[n])
		p.open("mail", m.Text, []notary.Checkpoint{first, second}[n])
		p.open("attachment", string(m.Attachments[0].Content), []notary.Checkpoint{first, second}[n])
	}
	message := make([]byte, 1<<16)
	n, _, err := p.syslog.ReadFrom(message)
	if err != nil {
		t.Fatal(err)
	}
	p.open("syslog", string(message[:n]), first)
	files, err := filepath.Glob(filepath.Join(p.folder, "checkpoints", "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("got files %v, %v, want 2", files, err)
	}
	file, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	p.open("backup destination", string(file), first)
	if last, _, err := p.store.LastPublished(t.Context()); err != nil || last.Note != second.Note {
		t.Errorf("got %+v, %v published last, want %+v", last, err, second)
	}
	if err := p.publisher.Check(p.now); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestPublication_SlackAway publishes while Slack does not work. The checkpoint is posted
// once, later.
func TestPublication_SlackAway(t *testing.T) {
	p := newPublicationTest(t)
	p.publish(0)
	p.ws.SetOffline(true)
	c := p.publish(time.Hour)
	if err := p.publisher.Check(p.now); err == nil || !strings.Contains(err.Error(), "Slack") {
		t.Errorf("got %v, want the outage", err)
	}
	if len(p.box.For("audit@example.com")) != 1 {
		t.Error("got no mail while Slack is away")
	}
	p.ws.SetOffline(false)
	for range 2 {
		if err := p.publisher.Run(t.Context(), p.publicationWays(p.g)); err != nil {
			t.Fatal(err)
		}
	}
	roots := p.ws.Messages(p.channel)
	replies := p.ws.Thread(p.channel, roots[len(roots)-1].TS)
	if len(replies) != 2 || len(p.box.For("audit@example.com")) != 1 {
		t.Fatalf("got %d messages and %d mails, want the root, one reply and one mail", len(replies), len(p.box.For("audit@example.com")))
	}
	p.open("Slack", p.shownText(replies[1]), c)
}
