package mail_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/mailbox"
)

func TestNotice_SentToSecurity(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := incident.Brief{Directory: brief().Directory, Now: at, Attempt: 1, Mark: "notice/fault/vulnerability mailbox/2026-11-03/mail"}
	e := incident.Effect{Kind: incident.EffectMailNotice, After: at, Args: map[string]string{"about": "fault", "part": "vulnerability mailbox", "since": "2026-11-03T02:31:00Z", "cause": "The mail server does not answer", "fix": "Start it", "effect": "Reports stay unread"}}
	for range 2 {
		if _, err := m.Notice(t.Context(), b, e); err != nil {
			t.Fatal(err)
		}
	}
	if c := server.Counts(); len(c) != 1 {
		t.Errorf("got messages by id %v, want one id", c)
	}
	msg := server.Messages()[0]
	if strings.Join(msg.Recipients, " ") != "ben@example.com" || msg.Subject != "Tocsin: Degraded since 2026-11-03 02:31 UTC: vulnerability mailbox" ||
		!strings.Contains(msg.Text, "The mail server does not answer. Reports stay unread. Start it.") || msg.Header["Auto-Submitted"][0] != "auto-generated" {
		t.Errorf("%+v\n%s", msg, msg.Text)
	}
}

// TestNotice_RestoreReachesAdministrators mails the notice about a restore to security, and to the administrators with a
// mail address.
func TestNotice_RestoreReachesAdministrators(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	d := brief().Directory
	d.People = append(slices.Clone(d.People),
		incident.Person{ID: "op", Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: "root"}, {Provider: incident.ProviderMail, ID: "op@example.com"}}},
		incident.Person{ID: "none", Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: "admin"}}})
	e := incident.Effect{Kind: incident.EffectMailNotice, After: at, Args: map[string]string{"about": incident.AboutRestore, "backup": "2026-11-03T02:00:00Z", "administrators": "root,admin,stranger",
		"effects": "12", "deliveries": "3", "incidents": "2"}}
	if _, err := m.Notice(t.Context(), incident.Brief{Directory: d, Now: at, Attempt: 1, Mark: "notice/restore/1/0"}, e); err != nil {
		t.Fatal(err)
	}
	msg := server.Messages()[0]
	if got := strings.Join(slices.Sorted(slices.Values(msg.Recipients)), " "); got != "ben@example.com op@example.com" {
		t.Errorf("got recipients %s, want security and the administrator", got)
	}
	for _, want := range []string{"Restored from the backup of 2026-11-03 02:00 UTC, and paused", "12 messages", "3 deliveries", "tocsin backup release"} {
		if !strings.Contains(msg.Subject+msg.Text, want) {
			t.Errorf("got %q and %q, want %q in it", msg.Subject, msg.Text, want)
		}
	}
}

func TestAcknowledge_DeletedReport(t *testing.T) {
	_, m := relay(t, mailbox.Config{}, nil)
	if _, err := m.AcknowledgeReport(t.Context(), incident.Brief{Mark: "ack/VR-1"}, incident.Effect{}); !errors.As(err, new(*incident.Permanent)) {
		t.Errorf("got error %v, want a permanent one", err)
	}
}

func TestAcknowledge_InvalidAddress(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	for _, r := range []incident.Reply{{To: ""}, {To: "ann"}, {To: "ann\r\nb@example.org"}, {To: "ann@exa mple.org"},
		{To: "ann@example.org", ReplyTo: "security"}, {To: "ann@example.org", ReplyTo: "a@example.com, b@example.com"}} {
		if _, err := m.AcknowledgeReport(t.Context(), incident.Brief{Mark: "ack/VR-1", Reply: &r}, incident.Effect{}); !errors.As(err, new(*incident.Permanent)) {
			t.Errorf("%+v: got error %v, want a permanent one", r, err)
		}
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("got %d mails, want none", n)
	}
	quoted := incident.Reply{To: `a..b@example.org`, At: at} // valid only as a quoted local part
	if _, err := m.AcknowledgeReport(t.Context(), incident.Brief{Mark: "ack/VR-1", Reply: &quoted}, incident.Effect{}); err != nil {
		t.Error(err)
	}
}

func TestAcknowledge_FormReport(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := incident.Brief{Mark: "ack/VR-00000-00000", Reply: &incident.Reply{Reference: "VR-00000-00000", To: "ann@example.org", At: at}}
	cmd, err := m.AcknowledgeReport(t.Context(), b, incident.Effect{})
	if err != nil || cmd.Verb != "" {
		t.Fatalf("got command %+v, error %v; want neither", cmd, err)
	}
	msg := onlyMessage(t, server)
	if msg.MessageID != "ack.VR-00000-00000@example.com" || strings.Contains(msg.Text, "reply to this mail") || !strings.Contains(msg.Text, "Please quote it when you write") ||
		len(msg.Header["In-Reply-To"])+len(msg.Header["Reply-To"])+len(msg.Header["References"]) != 0 || msg.HTML != "" {
		t.Errorf("%+v\n%s", msg, msg.Text)
	}
}

func TestHandover_SentToTheSuccessors(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	dir := brief().Directory
	ben, known := dir.Resolve(incident.Identity{Provider: incident.ProviderMail, ID: "ben@example.com"})
	if !known {
		t.Fatal("ben is not in the directory")
	}
	dir.Former = []incident.FormerPerson{{ID: "p-gone", Name: "Cleo Former"}}
	b := incident.Brief{Directory: dir, Now: at, Attempt: 1, Mark: "handover/p-gone/1/mail"}
	e := incident.Effect{Kind: incident.EffectMailHandover, After: at, Args: map[string]string{"person": "p-gone", "successors": string(ben.ID), "held": "INC-4 role commander"}}
	for range 2 {
		if _, err := m.Handover(t.Context(), b, e); err != nil {
			t.Fatal(err)
		}
	}
	if c := server.Counts(); len(c) != 1 {
		t.Errorf("got messages by id %v, want one id", c)
	}
	msg := server.Messages()[0]
	if strings.Join(msg.Recipients, " ") != "ben@example.com" || !strings.Contains(msg.Subject, "Cleo Former left the configuration") || !strings.Contains(msg.Text, "INC-4: the role commander") {
		t.Errorf("%+v\n%s", msg, msg.Text)
	}
}
