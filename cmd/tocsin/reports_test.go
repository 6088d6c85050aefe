//go:build !race

package main_test

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/backend"
	"github.com/emersion/go-imap/backend/memory"
	"github.com/emersion/go-imap/client"
	"github.com/emersion/go-imap/server"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/store/storetest"
)

// imapServer is an IMAP server with the mailbox for vulnerability reports.
type imapServer struct {
	*memory.Backend
	mu   sync.Mutex
	addr string
}

func newIMAPServer(t *testing.T) *imapServer {
	t.Helper()
	a := &imapServer{Backend: memory.New()}
	s := server.New(a)
	s.AllowInsecureAuth, s.ErrorLog = true, log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.addr = l.Addr().String()
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return a
}

func (a *imapServer) Login(c *imap.ConnInfo, user, password string) (backend.User, error) {
	u, err := a.Backend.Login(c, user, password)
	return imapUser{u, a}, err
}

type imapUser struct {
	backend.User
	server *imapServer
}

func (u imapUser) GetMailbox(name string) (backend.Mailbox, error) {
	m, err := u.User.GetMailbox(name)
	return lockedMailbox{m, u.server}, err
}

// lockedMailbox makes a mailbox in memory safe for concurrent connections.
type lockedMailbox struct {
	backend.Mailbox
	server *imapServer
}

func (b lockedMailbox) Status(items []imap.StatusItem) (*imap.MailboxStatus, error) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.Mailbox.Status(items)
}

func (b lockedMailbox) ListMessages(uid bool, set *imap.SeqSet, items []imap.FetchItem, ch chan<- *imap.Message) error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.Mailbox.ListMessages(uid, set, items, ch)
}

func (b lockedMailbox) SearchMessages(uid bool, c *imap.SearchCriteria) ([]uint32, error) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.Mailbox.SearchMessages(uid, c)
}

func (b lockedMailbox) UpdateMessagesFlags(uid bool, set *imap.SeqSet, op imap.FlagsOp, flags []string) error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.Mailbox.UpdateMessagesFlags(uid, set, op, flags)
}

func (b lockedMailbox) CreateMessage(flags []string, date time.Time, body imap.Literal) error {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.Mailbox.CreateMessage(flags, date, body)
}

// appendMail appends an unseen mail to the mailbox.
func (a *imapServer) appendMail(t *testing.T, lines ...string) {
	t.Helper()
	c, err := client.Dial(a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Logout() }()
	if err := c.Login("username", "password"); err != nil {
		t.Fatal(err)
	}
	if err := c.Append("INBOX", nil, time.Now(), strings.NewReader(strings.Join(lines, "\r\n"))); err != nil {
		t.Fatal(err)
	}
}

// reportTest is a bot that receives vulnerability reports by form and mail, and
// acknowledges them. Its security.txt expires in five days.
type reportTest struct {
	*botProcess
	imap      *imapServer
	imapProxy *tcpProxy // between the bot and imap
	expires   string
}

// runReportTest runs a test on both databases, and then requires a valid database.
func runReportTest(t *testing.T, test func(t *testing.T, s *reportTest)) {
	t.Parallel()
	storetest.Databases(t, func(t *testing.T, url string) {
		t.Parallel()
		box, expires := newIMAPServer(t), time.Now().AddDate(0, 0, 5).Format(time.DateOnly)
		proxy := newTCPProxy(t, box.addr)
		s := startBot(t, url, company.Options{Seed: 51, HTTP: true, Limits: chat.Limits{Off: true}}, func(c map[string]any) {
			c["sources"].(map[string]any)["report"] = map[string]any{
				"form": map[string]any{"company": "Payroll", "acknowledge": true},
				"mailbox": map[string]any{"address": proxy.addr, "tls": "none", "username": "username", "password": "password", "poll": "1s",
					"aliases": []string{"security@payroll.example"}, "acknowledge": true},
				"security_txt": map[string]any{"contacts": []string{"mailto:security@payroll.example"}, "expires": expires},
			}
			c["routing"] = []any{map[string]any{"when": `source == "report"`, "open": "sev4"}}
		})
		test(t, &reportTest{s, box, proxy, expires})
		s.stop()
		s.checkVerify()
	})
}

// mailsTo returns the mails to an address.
func (s *reportTest) mailsTo(to string) []mailbox.Message { return s.company.Mail.For(to) }

// reportNotes returns the notes about reports in the timeline of an incident.
func (s *reportTest) reportNotes(id incident.ID) (out []string) {
	for _, e := range s.view(id).Timeline {
		if e.Kind == incident.EventSourceNoted {
			out = append(out, e.Text("text"))
		}
	}
	return out
}

// annReport is a report by mail, from Ann.
var annReport = []string{"From: Ann <ann@example.org>", "To: security@payroll.example", "Subject: Payslips of others can be read", "Message-ID: <1@example.org>", "",
	"URL: https://api.payroll.example/v1/payslips/123", "CVE-2026-12345 is not fixed."}

// TestAcknowledgement_SameMailAfterKill kills the bot after the relay accepted an
// acknowledgement and before the bot recorded that. The repeated mail must be
// identical.
func TestAcknowledgement_SameMailAfterKill(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		// The relay withholds its response until the bot is killed.
		s.company.Mail.SetFaults(mailbox.Rule{Fault: mailbox.FaultLate, To: "ann@example.org", Delay: time.Minute, Times: 1})
		s.imap.appendMail(t, annReport...)
		s.waitFor(30*time.Second, "the acknowledgement at the relay", func() bool { return len(s.mailsTo("ann@example.org")) == 1 })
		s.kill()
		s.start()
		s.waitFor(time.Minute, "the repeated acknowledgement", func() bool { return len(s.mailsTo("ann@example.org")) == 2 })
		s.waitIdle(time.Minute)
		all := s.mailsTo("ann@example.org")
		first := all[0]
		if len(all) != 2 || all[0].MessageID != all[1].MessageID || all[0].Text != all[1].Text || all[0].Header["Date"][0] != all[1].Header["Date"][0] {
			t.Errorf("got mails %+v, want two identical ones", all)
		}
		if first.Problem != "" || !strings.HasPrefix(first.MessageID, "ack.VR-") || first.Header["In-Reply-To"][0] != "<1@example.org>" ||
			!strings.Contains(first.Header["Reply-To"][0], "security@payroll.example") || strings.Contains(string(first.Raw), "INC-") || strings.Contains(string(first.Raw), "ayslips") {
			t.Errorf("got acknowledgement:\n%s", first.Raw)
		}
		t.Logf("acknowledgement:\n%s", first.Text)
		if notes := s.reportNotes(1); len(notes) != 1 || !strings.Contains(notes[0], "sent an acknowledgement") {
			t.Errorf("INC-1: got notes %q, want one about the acknowledgement", notes)
		}
		if n := s.queryInt("SELECT count(*) FROM ledger WHERE key LIKE 'ack/%'"); n != 1 {
			t.Errorf("got %d acknowledgements in the ledger, want 1", n)
		}
	})
}

// TestReports_ReplyAttached attaches a reporter's reply to the incident. Mail from a
// no-reply address gets no acknowledgement.
func TestReports_ReplyAttached(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		s.imap.appendMail(t, annReport...)
		s.waitFor(30*time.Second, "the acknowledgement to Ann", func() bool { return len(s.mailsTo("ann@example.org")) == 1 })
		s.imap.appendMail(t, "From: ann@example.org", "Subject: Re: Your vulnerability report", "Message-ID: <2@example.org>",
			"In-Reply-To: <"+s.mailsTo("ann@example.org")[0].MessageID+">", "", "More.")
		s.waitFor(30*time.Second, "the attached reply", func() bool { return len(s.view(1).Alerts) == 2 })
		s.imap.appendMail(t, "From: no-reply@example.org", "Subject: A scan", "Message-ID: <4@example.org>", "", "See the attachment.")
		s.waitFor(30*time.Second, "an incident for the scan", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 2 })
		s.waitIdle(time.Minute)
		if n, machine := len(s.mailsTo("ann@example.org")), len(s.mailsTo("no-reply@example.org")); n != 1 || machine != 0 {
			t.Errorf("got %d mails to Ann and %d to a no-reply address, want 1 and 0", n, machine)
		}
	})
}

func TestReports_PossibleDuplicateNoted(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		s.imap.appendMail(t, annReport...)
		s.waitFor(30*time.Second, "an incident for the first report", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 1 })
		s.imap.appendMail(t, "From: bob@example.org", "Subject: An old library", "Message-ID: <3@example.org>", "", "It still has cve-2026-12345.",
			"Affected URL: http://api.payroll.example/v1/payslips/7")
		s.waitFor(30*time.Second, "the acknowledgement to Bob", func() bool { return len(s.mailsTo("bob@example.org")) == 1 })
		s.waitIdle(time.Minute)
		const note = "Possible duplicate of INC-1: both name CVE-2026-12345"
		if notes := s.reportNotes(2); !slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, note+"; the same affected address. ") }) {
			t.Errorf("INC-2: got notes %q, want a possible duplicate of INC-1", notes)
		}
		if !slices.ContainsFunc(everyMessage(s.company.Chat, s.channelOf(2).ID), func(m chat.Message) bool { return strings.Contains(string(m.Blocks), note) }) {
			t.Error("got no message about the possible duplicate in the channel of INC-2")
		}
	})
}

// TestSecurityTxt_ExpiryMailedOnce requires one mail about the expiry of security.txt,
// even if the bot is killed and restarted.
func TestSecurityTxt_ExpiryMailedOnce(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		security := s.company.In("security")[0].Email
		s.waitFor(30*time.Second, "a mail to security", func() bool { return len(s.mailsTo(security)) > 0 })
		s.kill() // possibly before the mail is recorded
		s.start()
		s.waitIdle(time.Minute)
		for _, m := range s.mailsTo(security) {
			if m.MessageID != s.mailsTo(security)[0].MessageID || !strings.Contains(m.Subject, "security.txt expires on "+s.expires+", in 7 days or less") {
				t.Errorf("got mail to security %+v", m)
			}
		}
		s.waitFor(30*time.Second, "only security.txt degraded in /readyz", func() bool {
			status, body := s.httpGet("/readyz")
			return status == 200 && strings.Contains(body, `"degraded":[{"part":"security.txt"`) && strings.Count(body, `"part"`) == 1
		})
		if _, body := s.httpGet("/metrics"); !strings.Contains(body, "tocsin_security_txt_expires_timestamp_seconds 1.") || !strings.Contains(body, `tocsin_degraded{part="vulnerability mailbox"} 0`) {
			t.Error("got /metrics without the expiry of security.txt or the state of the mailbox")
		}
	})
}

func TestReadyz_MailboxDegraded(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		// The IMAP server's own Close races with a command in flight.
		s.imapProxy.setMode(proxyCut)
		s.waitFor(30*time.Second, "the mailbox degraded in /readyz", func() bool {
			status, body := s.httpGet("/readyz")
			return status == 200 && strings.Contains(body, "vulnerability mailbox")
		})
	})
}

// TestReplay_ReportNotAcknowledged replays recorded reports. They open incidents, but
// their reporters get no acknowledgement.
func TestReplay_ReportNotAcknowledged(t *testing.T) {
	runReportTest(t, func(t *testing.T, s *reportTest) {
		at := time.Now().UTC().Format(time.RFC3339)
		var recording strings.Builder
		for _, r := range []control.Recorded{
			{Source: "report", ID: "mail:1", Header: map[string]string{"X-Report-Via": "mail", "X-Report-At": at}, Body: []byte(strings.Join(annReport, "\r\n"))},
			{Source: "report", ID: "form:1", Header: map[string]string{"X-Report-Via": "form", "X-Report-At": at},
				Body: []byte(`{"reference":"VR-00000-00000","title":"A hole","contact":"cora@example.org","description":"It is open."}`)},
		} {
			if err := json.NewEncoder(&recording).Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		s.mustRun("replay", s.writeFile("all.ndjson", recording.String()))
		s.waitFor(30*time.Second, "an incident for each report", func() bool { return s.queryInt("SELECT count(*) FROM incidents") == 2 })
		s.imap.appendMail(t, "From: bob@example.org", "Subject: A second report", "Message-ID: <3@example.org>", "", "The port is open.")
		s.waitFor(30*time.Second, "the acknowledgement to Bob", func() bool { return len(s.mailsTo("bob@example.org")) == 1 })
		s.waitIdle(time.Minute)
		if n := len(s.mailsTo("ann@example.org")) + len(s.mailsTo("cora@example.org")); n != 0 {
			t.Errorf("got %d mails to the reporters of replayed reports, want 0", n)
		}
	})
}
