package response

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/sandbox/mailbox"
)

// reportAlert is the alert of a vulnerability report.
func reportAlert(n int, to string, keys ...incident.DuplicateKey) incident.Alert {
	reference := fmt.Sprintf("VR-%05d-00000", n)
	a := incident.Alert{Source: "report", Kind: "report.mail", Level: incident.LevelHigh, Title: "a hole", Fingerprint: fmt.Sprint(reference, "/", len(to)), Correlation: "report:" + reference, At: startTime,
		Report: &incident.VulnReport{DuplicateKeys: keys}}
	if to != "" {
		a.Report.Reply = &incident.Reply{Reference: reference, To: to}
	}
	return a
}

// acknowledgements returns the effects that acknowledge reports.
func (fx *fixture) acknowledgements() (out []incident.Effect) {
	for _, e := range fx.store.effects {
		if e.Kind == incident.EffectAcknowledgeReport {
			out = append(out, e.Effect)
		}
	}
	return out
}

// sourceNotes returns the source notes of an incident.
func (fx *fixture) sourceNotes(id incident.ID) (out []string) {
	for _, e := range fx.store.events[id] {
		if e.Kind == incident.EventSourceNoted {
			out = append(out, e.Text("text"))
		}
	}
	return out
}

func TestAcknowledge_OncePerReport(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	first, next := reportAlert(1, "ann@example.org"), reportAlert(1, "ann@example.org")
	next.Fingerprint = "the next mail of the thread"
	watched := reportAlert(2, "bob@example.org")
	watched.Level = incident.LevelInformational
	dropped := reportAlert(3, "cy@example.org")
	dropped.Level = incident.LevelLow
	fx.ingest(t, delivery(1, first), delivery(2, first))
	fx.ingest(t, delivery(3, next), delivery(4, watched), delivery(5, dropped), delivery(6, reportAlert(4, "")))
	fx.ingest(t, delivery(7, watched))
	acks := fx.acknowledgements()
	if len(acks) != 2 || acks[0].Key != "ack/VR-00001-00000" || acks[0].Incident != 1 || acks[1].Key != "ack/VR-00002-00000" || acks[1].Incident != 0 {
		t.Errorf("got acknowledgements %+v, outcomes %v", acks, fx.outcomes(1, 2, 3, 4, 5, 6, 7))
	}
	for _, e := range acks {
		if len(e.Args) != 1 || strings.Contains(fmt.Sprint(e), "@") {
			t.Errorf("effect contains more than ids: %+v", e)
		}
	}
}

func TestAcknowledge_SkipsOldReport(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.now = startTime.Add(maxReportAge + time.Minute)
	fx.ingest(t, delivery(1, reportAlert(1, "ann@example.org")))
	if len(fx.acknowledgements()) != 0 || fx.outcomes(1)[0] != outcomeOpened {
		t.Errorf("got acknowledgements %+v, outcomes %v", fx.acknowledgements(), fx.outcomes(1))
	}
}

// A forged sender address must not flood its owner. An incident without an
// acknowledgement has a note about it.
func TestAcknowledge_HonoursLimits(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	for n := range 5 {
		fx.ingest(t, delivery(int64(n+1), reportAlert(n, fmt.Sprintf("Victim+%d@example.org", n))))
	}
	if n := len(fx.acknowledgements()); n != maxAcksPerAddress {
		t.Errorf("got %d acknowledgements for one address", n)
	}
	if notes := fx.sourceNotes(5); len(notes) != 1 || !strings.Contains(notes[0], "no acknowledgement") {
		t.Errorf("got notes %q", notes)
	}
	fx.now = startTime.Add(acksPerAddressWindow)
	fx.ingest(t, delivery(100, reportAlert(100, "victim@example.org")))
	if n := len(fx.acknowledgements()); n != maxAcksPerAddress+1 {
		t.Errorf("a day later: got %d acknowledgements", n)
	}
	var batch []incident.DecodedDelivery
	for n := range 2 * maxAcks {
		batch = append(batch, delivery(int64(1000+n), reportAlert(1000+n, fmt.Sprintf("v%d@example.org", n))))
	}
	fx.ingest(t, batch...)
	if n := len(fx.acknowledgements()); n != maxAcksPerAddress+maxAcks {
		t.Errorf("got %d acknowledgements in an hour", n)
	}
	fx.now = fx.now.Add(acksWindow)
	fx.ingest(t, delivery(5000, reportAlert(5000, "new@example.org")))
	if n := len(fx.acknowledgements()); n != maxAcksPerAddress+maxAcks+1 {
		t.Errorf("an hour later: got %d acknowledgements", n)
	}
}

func TestNoteDuplicates(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	cve, title := incident.DuplicateKey{Kind: "both name CVE-2026-1", Value: "c"}, incident.DuplicateKey{Kind: "the same title", Value: "t"}
	fx.ingest(t, delivery(1, reportAlert(1, "", cve)))
	fx.ingest(t, delivery(2, reportAlert(2, "", title)))
	fx.ingest(t, delivery(3, reportAlert(3, "", title, cve)), delivery(4, reportAlert(4, "", incident.DuplicateKey{Kind: "the same", Value: "other"})))
	fx.ingest(t, delivery(5, reportAlert(5, "", title, cve, incident.DuplicateKey{Value: "new"})))
	again := reportAlert(5, "", title, cve)
	again.Fingerprint = "the next mail of the thread"
	fx.ingest(t, delivery(6, again))
	for id, want := range map[incident.ID][]string{1: nil, 2: nil, 4: nil,
		3: {"Possible duplicate of INC-1: both name CVE-2026-1. ", "Possible duplicate of INC-2: the same title. "},
		5: {"Possible duplicate of INC-1: both name CVE-2026-1. ", "Possible duplicate of INC-2: the same title. "}} {
		notes := fx.sourceNotes(id)
		if len(notes) != len(want) {
			t.Errorf("%s: got notes %q, want %d", id, notes, len(want))
			continue
		}
		for n := range want {
			if !strings.HasPrefix(notes[n], want[n]) || !strings.HasSuffix(notes[n], fmt.Sprintf("/incident merge %s into INC-%d", id, n+1)) {
				t.Errorf("%s: got note %q", id, notes[n])
			}
		}
	}
	if n := len(fx.store.incidents); n != 5 {
		t.Errorf("got %d incidents, want 5: nothing is merged", n)
	}
}

// A repeat after a crash between sending and commit sends an identical mail, and
// the timeline has one entry.
func TestAcknowledge_RepeatSendsIdenticalMail(t *testing.T) {
	box := mailbox.New(mailbox.Config{})
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	mailer, err := mail.New(mail.Config{Host: host, Port: n, TLS: mail.TLSNone, From: "Tocsin <tocsin@example.com>"}, mail.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	fx := newRoutedFixture(t, func(o *Options) {
		o.Redact = redactEverything{} // only the mail has the address
		o.Handlers[incident.EffectAcknowledgeReport] = mailer.AcknowledgeReport
	})
	a := reportAlert(1, "ann@example.org")
	a.Title, a.Detail, a.Report.Reply.InReplyTo, a.Report.Reply.ReplyTo = "a secret title", "a secret text", "1@example.org", "security@example.com"
	fx.ingest(t, delivery(1, a))
	fx.now = fx.now.Add(time.Minute)
	fx.store.crash = 2 // the commit after the call
	if err := fx.performFirst(t, incident.EffectAcknowledgeReport); err == nil {
		t.Fatal("got no error after a crash")
	}
	fx.now = fx.now.Add(time.Hour)
	if err := fx.performFirst(t, incident.EffectAcknowledgeReport); err != nil {
		t.Fatal(err)
	}
	if c := box.Counts(); len(c) != 1 || c["ack.VR-00001-00000@example.com"] != 2 {
		t.Errorf("got messages by id %v", c)
	}
	all := box.Messages()
	if len(all) != 2 || all[0].Header["Date"][0] != all[1].Header["Date"][0] || all[0].Text != all[1].Text {
		t.Fatalf("got %d messages, want 2 identical ones", len(all))
	}
	m := all[0]
	if m.Problem != "" || m.Recipients[0] != "ann@example.org" || m.Header["Auto-Submitted"][0] != "auto-replied" || m.Header["In-Reply-To"][0] != "<1@example.org>" ||
		!strings.Contains(m.Header["Reply-To"][0], "security@example.com") || !strings.Contains(m.Text, "VR-00001-00000") {
		t.Errorf("got message %+v", m)
	}
	for _, internal := range []string{"secret", "INC-1", "SEV", "X-Tocsin"} {
		if strings.Contains(string(m.Raw), internal) {
			t.Errorf("mail contains %q:\n%s", internal, m.Raw)
		}
	}
	if notes := fx.sourceNotes(1); len(notes) != 1 || !strings.Contains(notes[0], "VR-00001-00000") {
		t.Errorf("got notes %q", notes)
	}
}

// threadMail is the alert of a mail in a thread.
func threadMail(author, thread string, answers bool) incident.Alert {
	return incident.Alert{Source: "report", Kind: "report.mail", Level: incident.LevelHigh, Title: "mail of " + author, Fingerprint: author + thread, Correlation: "report:" + author + thread,
		At: startTime, Report: &incident.VulnReport{Thread: "thread:" + thread, Answers: answers}}
}

// A reply of a colleague joins the report of its thread. A mail that only repeats the
// Message-ID of a report opens an incident, whichever of the two arrives first.
func TestVulnReport_Threads(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, threadMail("ann", "1", false)))
	fx.ingest(t, delivery(2, threadMail("bob", "1", true)))
	fx.ingest(t, delivery(3, threadMail("eve", "1", false)))
	fx.ingest(t, delivery(4, threadMail("ann", "1", false)), delivery(5, threadMail("cy", "2", false)), delivery(6, threadMail("di", "2", true)))
	fx.ingest(t, delivery(7, threadMail("bob", "unknown", true)))
	want := []string{outcomeOpened, outcomeAttached, outcomeOpened, outcomeCounted, outcomeOpened, outcomeAttached, outcomeOpened}
	if got := fx.outcomes(1, 2, 3, 4, 5, 6, 7); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got outcomes %v, want %v", got, want)
	}
}
