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

// vulnerability is a report by a person.
func vulnerability(n int, to string, traits ...incident.DuplicateKey) incident.Alert {
	reference := fmt.Sprintf("VR-%05d-00000", n)
	a := incident.Alert{Source: "report", Kind: "report.mail", Level: incident.LevelHigh, Title: "a hole", Fingerprint: fmt.Sprint(reference, "/", len(to)), Correlation: "report:" + reference, At: at,
		Report: &incident.VulnReport{DuplicateKeys: traits}}
	if to != "" {
		a.Report.Reply = &incident.Reply{Reference: reference, To: to}
	}
	return a
}

// owed lists the acknowledgements that are to be sent, or were.
func (w *world) owed() (out []incident.Effect) {
	for _, e := range w.store.effects {
		if e.Kind == incident.EffectAcknowledge {
			out = append(out, e.Effect)
		}
	}
	return out
}

// remarks lists what was noted in an incident.
func (w *world) remarks(id incident.ID) (out []string) {
	for _, e := range w.store.events[id] {
		if e.Kind == incident.EventSourceNoted {
			out = append(out, e.Text("text"))
		}
	}
	return out
}

func TestEachReportIsAcknowledgedOnce(t *testing.T) {
	w := routed(t, nil)
	first, next := vulnerability(1, "ann@example.org"), vulnerability(1, "ann@example.org")
	next.Fingerprint = "the next mail of the thread"
	watched := vulnerability(2, "bob@example.org")
	watched.Level = incident.LevelInformational
	dropped := vulnerability(3, "cy@example.org")
	dropped.Level = incident.LevelLow
	w.report(t, reported(1, first), reported(2, first))
	w.report(t, reported(3, next), reported(4, watched), reported(5, dropped), reported(6, vulnerability(4, "")))
	w.report(t, reported(7, watched))
	owed := w.owed()
	if len(owed) != 2 || owed[0].Key != "ack/VR-00001-00000" || owed[0].Incident != 1 || owed[1].Key != "ack/VR-00002-00000" || owed[1].Incident != 0 {
		t.Errorf("owed %+v, outcomes %v", owed, w.outcomes(1, 2, 3, 4, 5, 6, 7))
	}
	for _, e := range owed {
		if len(e.Args) != 1 || strings.Contains(fmt.Sprint(e), "@") {
			t.Errorf("an effect carries more than ids: %+v", e)
		}
	}
}

func TestAnOldReportIsNotAcknowledged(t *testing.T) {
	w := routed(t, nil)
	w.now = at.Add(maxReportAge + time.Minute)
	w.report(t, reported(1, vulnerability(1, "ann@example.org")))
	if len(w.owed()) != 0 || w.outcomes(1)[0] != outcomeOpened {
		t.Errorf("owed %+v, %v", w.owed(), w.outcomes(1))
	}
}

// Whoever forges a sender cannot have a stranger flooded, nor the world; and
// those who get nothing are named in their incidents.
func TestAcknowledgementsAreBounded(t *testing.T) {
	w := routed(t, nil)
	for n := range 5 {
		w.report(t, reported(int64(n+1), vulnerability(n, fmt.Sprintf("Victim+%d@example.org", n))))
	}
	if n := len(w.owed()); n != maxAcksPerAddress {
		t.Errorf("%d to one person", n)
	}
	if said := w.remarks(5); len(said) != 1 || !strings.Contains(said[0], "no acknowledgement") {
		t.Errorf("said %q", said)
	}
	w.now = at.Add(acksPerAddressWindow)
	w.report(t, reported(100, vulnerability(100, "victim@example.org")))
	if n := len(w.owed()); n != maxAcksPerAddress+1 {
		t.Errorf("a day later: %d", n)
	}
	var batch []incident.DecodedDelivery
	for n := range 2 * maxAcks {
		batch = append(batch, reported(int64(1000+n), vulnerability(1000+n, fmt.Sprintf("v%d@example.org", n))))
	}
	w.report(t, batch...)
	if n := len(w.owed()); n != maxAcksPerAddress+maxAcks {
		t.Errorf("%d in all", n)
	}
	w.now = w.now.Add(acksWindow)
	w.report(t, reported(5000, vulnerability(5000, "new@example.org")))
	if n := len(w.owed()); n != maxAcksPerAddress+maxAcks+1 {
		t.Errorf("an hour later: %d", n)
	}
}

func TestAReportIsSaidToBeLikeAnEarlierOne(t *testing.T) {
	w := routed(t, nil)
	cve, title := incident.DuplicateKey{Kind: "both name CVE-2026-1", Value: "c"}, incident.DuplicateKey{Kind: "the same title", Value: "t"}
	w.report(t, reported(1, vulnerability(1, "", cve)))
	w.report(t, reported(2, vulnerability(2, "", title)))
	w.report(t, reported(3, vulnerability(3, "", title, cve)), reported(4, vulnerability(4, "", incident.DuplicateKey{Kind: "the same", Value: "other"})))
	w.report(t, reported(5, vulnerability(5, "", title, cve, incident.DuplicateKey{Value: "new"})))
	again := vulnerability(5, "", title, cve)
	again.Fingerprint = "the next mail of the thread"
	w.report(t, reported(6, again))
	for id, want := range map[incident.ID][]string{1: nil, 2: nil, 4: nil,
		3: {"Possible duplicate of INC-1: both name CVE-2026-1. ", "Possible duplicate of INC-2: the same title. "},
		5: {"Possible duplicate of INC-1: both name CVE-2026-1. ", "Possible duplicate of INC-2: the same title. "}} {
		said := w.remarks(id)
		if len(said) != len(want) {
			t.Errorf("%s says %q", id, said)
			continue
		}
		for n := range want {
			if !strings.HasPrefix(said[n], want[n]) || !strings.HasSuffix(said[n], fmt.Sprintf("/incident merge %s into INC-%d", id, n+1)) {
				t.Errorf("%s says %q", id, said[n])
			}
		}
	}
	if n := len(w.store.incidents); n != 5 {
		t.Errorf("%d incidents: something was merged", n)
	}
}

// The relay took the mail, and the process died before that was written down.
// The repeat is the same message, and the timeline knows of one.
func TestAnAcknowledgementThatIsRepeatedIsTheSameMail(t *testing.T) {
	box := mailbox.New(mailbox.Config{})
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	mailer, err := mail.New(mail.Config{Host: host, Port: n, TLS: mail.TLSNone, From: "Tocsin <tocsin@example.com>", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := routed(t, func(o *Options) {
		o.Redact = blots{} // the address reaches the mail and nothing else
		o.Handlers[incident.EffectAcknowledge] = mailer.Acknowledge
	})
	a := vulnerability(1, "ann@example.org")
	a.Title, a.Detail, a.Report.Reply.InReplyTo, a.Report.Reply.ReplyTo = "a secret title", "a secret text", "1@example.org", "security@example.com"
	w.report(t, reported(1, a))
	w.now = w.now.Add(time.Minute)
	w.store.crash = 2 // what begins the attempt commits, what ends it does not
	if err := w.attemptOn(t, incident.EffectAcknowledge); err == nil {
		t.Fatal("a crash was taken for success")
	}
	w.now = w.now.Add(time.Hour)
	if err := w.attemptOn(t, incident.EffectAcknowledge); err != nil {
		t.Fatal(err)
	}
	if c := box.Counts(); len(c) != 1 || c["ack.VR-00001-00000@example.com"] != 2 {
		t.Errorf("messages by id: %v", c)
	}
	all := box.Messages()
	if len(all) != 2 || all[0].Header["Date"][0] != all[1].Header["Date"][0] || all[0].Text != all[1].Text {
		t.Fatalf("%d messages", len(all))
	}
	m := all[0]
	if m.Problem != "" || m.Recipients[0] != "ann@example.org" || m.Header["Auto-Submitted"][0] != "auto-replied" || m.Header["In-Reply-To"][0] != "<1@example.org>" ||
		!strings.Contains(m.Header["Reply-To"][0], "security@example.com") || !strings.Contains(m.Text, "VR-00001-00000") {
		t.Errorf("%+v", m)
	}
	for _, inside := range []string{"secret", "INC-1", "SEV", "X-Tocsin"} {
		if strings.Contains(string(m.Raw), inside) {
			t.Errorf("the mail tells %q:\n%s", inside, m.Raw)
		}
	}
	if said := w.remarks(1); len(said) != 1 || !strings.Contains(said[0], "VR-00001-00000") {
		t.Errorf("the timeline says %q", said)
	}
}
