package vulnreport_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
	"tocsin/bot/vulnreport"
)

// acknowledging enables all acknowledgements.
var acknowledging = vulnreport.Config{Form: &vulnreport.FormConfig{Acknowledge: true}, AuthServID: "mx.example.com",
	Mailbox: &vulnreport.MailboxConfig{Acknowledge: true, Aliases: []string{"security@example.com", "tocsin@example.com"}}}

func TestDecode_MailReply(t *testing.T) {
	got := decode(t, source(t, acknowledging), mail("From: Ann <Ann@example.org>", "To: security@example.com", "Subject: A vulnerability", "Message-ID: <2@example.org>",
		"References: <0@example.org> <1@example.org>", "Authentication-Results: mx.example.com; spf=fail; dmarc=pass", "", "It is open."))
	want := &incident.Reply{Reference: got.EventID, To: "Ann@example.org", ReplyTo: "security@example.com", InReplyTo: "2@example.org",
		References: []string{"0@example.org", "1@example.org", "2@example.org"}}
	if d := cmp.Diff(want, got.Report.Reply); d != "" {
		t.Error(d)
	}
	if got := decode(t, source(t, vulnreport.Config{}), mail("From: ann@example.org", "", "x")); got.Report.Reply != nil {
		t.Errorf("acknowledgements disabled: got reply %+v, want none", got.Report.Reply)
	}
}

func TestDecode_MailWithoutReply(t *testing.T) {
	s := source(t, acknowledging)
	ann := "From: ann@example.org"
	from := func(a string) []string { return []string{"From: " + a} }
	for name, header := range map[string][]string{
		"out-of-office reply":         {ann, "Auto-Submitted: auto-replied (vacation)"},
		"auto-generated":              {ann, "Auto-Submitted: auto-generated"},
		"precedence list":             {ann, "Precedence: List"},
		"precedence bulk":             {ann, "Precedence: bulk"},
		"list id":                     {ann, "List-Id: <x.example.org>"},
		"null return path":            {ann, "Return-Path: <>"},
		"suppress header":             {ann, "X-Auto-Response-Suppress: All"},
		"alias address":               from("Security@Example.com"),
		"tocsin address":              from("tocsin@example.com"),
		"acknowledgement":             {ann, "Message-ID: <ack.VR-00000-00000@example.com>"},
		"reply to an acknowledgement": {ann, "Message-ID: <2@example.org>", "In-Reply-To: <ack.VR-00000-00000@example.com>"},
		"no sender":                   {"Message-ID: <2@example.org>"},
		"two senders":                 from("ann@example.org, bob@example.org"),
		"no-reply":                    from("no-reply@example.org"),
		"noreply":                     from("NoReply@example.org"),
		"noreply with prefix":         from("notifications-noreply@example.org"),
		"do not reply":                from("do_not_reply@example.org"),
		"mailer daemon":               from("MAILER-DAEMON@example.org"),
		"postmaster":                  from("postmaster@example.org"),
		"verp bounce":                 from("bounces+ann=example.com@example.org"),
		"list owner":                  from("list-owner@example.org"),
		"dmarc failure":               {ann, "Authentication-Results: mx.example.com; dmarc=fail"},
	} {
		got, err := s.Decode(byMail, []byte(mail(append(header, "Subject: x", "", "text")...)))
		if err != nil {
			t.Errorf("%s: got error %v", name, err)
		}
		for _, signal := range got {
			if r := signal.Alert.Report.Reply; r != nil {
				t.Errorf("%s: got reply %+v, want none", name, r)
			}
		}
	}
}

// The Message-ID of an acknowledgement is derived from its key.
func TestDecode_ReplyToAcknowledgement(t *testing.T) {
	s := source(t, acknowledging)
	first := decode(t, s, mail("From: ann@example.org", "Message-ID: <1@example.org>", "", "x"))
	id := strings.ReplaceAll(first.Report.Reply.AckKey(), "/", ".") + "@example.com"
	next := decode(t, s, mail("From: ann@example.org", "Message-ID: <9@example.org>", "In-Reply-To: <"+id+">", "", "more"))
	if next.Correlation != first.Correlation || next.Report.Reply != nil {
		t.Errorf("got %+v, want correlation key %s and no reply", next, first.Correlation)
	}
}

func TestDecode_FormReply(t *testing.T) {
	s := source(t, acknowledging)
	byForm := http.Header{"X-Report-Via": {"form"}, "X-Report-At": {"2026-11-03T02:30:00Z"}}
	for contact, to := range map[string]string{"ann@example.org": "ann@example.org", "Ann <ann@example.org>": "ann@example.org", "": "", "@ann on Signal": "", "no-reply@example.org": "",
		"security@example.com": "", "a@b.example, c@d.example": ""} {
		got, err := s.Decode(byForm, []byte(`{"reference":"VR-00000-00000","title":"A vulnerability","contact":"`+contact+`","description":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		a := got[0].Alert
		switch r := a.Report.Reply; {
		case (r == nil) != (to == ""):
			t.Errorf("contact %q: got reply %+v, want one to %q", contact, r, to)
		case r != nil && (r.To != to || r.Reference != "VR-00000-00000" || r.InReplyTo != ""):
			t.Errorf("contact %q: got reply %+v, want one to %q", contact, r, to)
		}
		if !a.At.Equal(time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC)) {
			t.Errorf("got arrival time %s", a.At)
		}
	}
}

func TestDecode_NoReplyInDrillOrRecording(t *testing.T) {
	s := source(t, acknowledging)
	for via, body := range map[string]string{"form": `{"reference":"VR-00000-00000","title":"A vulnerability","contact":"ann@example.org","description":"x"}`,
		"mail": mail("From: ann@example.org", "Message-ID: <1@example.org>", "", "x")} {
		for name, c := range map[string]struct {
			at       string
			origin   incident.Origin
			hasReply bool
		}{
			"report": {"2026-11-03T02:30:00Z", incident.OriginLive, true}, "drill": {"2026-11-03T02:30:00Z", incident.OriginDrill, false},
			"replay":    {"2026-11-03T02:30:00Z", incident.OriginReplay, false},
			"recording": {"2026-11-03T02:30:00Z", incident.OriginRecording, false}, "unknown arrival time": {"", incident.OriginLive, false},
		} {
			got, err := s.Decode(http.Header{"X-Report-Via": {via}, "X-Report-At": {c.at}}, []byte(body))
			if err != nil || len(got) != 1 {
				t.Fatalf("%s: got %d signals, error %v; want 1 signal", via, len(got), err)
			}
			if reply := got[0].WithOrigin(c.origin).Alert.Report.Reply; (reply != nil) != c.hasReply {
				t.Errorf("%s by %s: got reply %+v", name, via, reply)
			}
		}
	}
}

func TestDecode_LongThread(t *testing.T) {
	long := strings.Repeat("<"+strings.Repeat("x", 40)+"@example.org> ", 200)
	got := decode(t, source(t, acknowledging), mail("From: ann@example.org", "Message-ID: <1@example.org>", "References: "+long, "", "x"))
	if n := len(got.Report.Reply.References); n > 20 || got.Report.Reply.References[n-1] != "1@example.org" {
		t.Errorf("got %d references, want at most 20", n)
	}
	huge := strings.Repeat("x", 5000) + "@example.org"
	got = decode(t, source(t, acknowledging), mail("From: ann@example.org", "Message-ID: <"+huge+">", "References: <0@example.org>", "", "x"))
	if r := got.Report.Reply; r == nil || r.InReplyTo != "" || len(r.References) != 1 {
		t.Errorf("id of 5 KB: got reply %.100v", r)
	}
}

func TestSecurityFile_ExpiryReminders(t *testing.T) {
	expires := time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	clock := expires.AddDate(0, -3, 0)
	f, err := vulnreport.NewSecurityFile(vulnreport.SecurityTxt{Contacts: []string{"mailto:a@example.com"}, Expires: setting.Day{Time: expires}}, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	for before, want := range map[time.Duration]string{31 * 24 * time.Hour: "", 30 * 24 * time.Hour: "30", 8 * 24 * time.Hour: "30", 7 * 24 * time.Hour: "7",
		25 * time.Hour: "7", 24 * time.Hour: "1", time.Second: "1", 0: "expired", -1000 * time.Hour: "expired"} {
		if got := f.Reminder(expires.Add(-before)); got != want {
			t.Errorf("%s before expiry: got %q, want %q", before, got, want)
		}
	}
	get := func() (string, string) {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/security.txt", nil))
		return w.Body.String(), w.Header().Get("Cache-Control")
	}
	if text, cache := get(); strings.Contains(text, "#") || cache != "max-age=3600" {
		t.Errorf("three months before expiry: got %s %s", text, cache)
	}
	clock = expires.Add(-time.Minute)
	if _, cache := get(); cache != "max-age=60" {
		t.Errorf("a minute before expiry: got %s", cache)
	}
	clock = expires.Add(time.Hour)
	if text, cache := get(); !strings.HasPrefix(text, "# This file expired on 2027-06-01") || !strings.Contains(text, "\nContact: mailto:a@example.com\n") || cache != "max-age=0" {
		t.Errorf("expired: got %s %s", text, cache)
	}
}

func TestSource_ErrExpiredKeys(t *testing.T) {
	short, err := openpgp.NewEntity("recipient", "", "recipient@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 3600, Time: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	clock := now.Add(time.Minute)
	c := vulnreport.Config{Keys: []vulnreport.Key{privateKey(t, short, "")}}
	s := sourceAt(t, c, func() time.Time { return clock })
	if err := s.Err(); err != nil {
		t.Errorf("valid key: got error %v", err)
	}
	clock = now.Add(2 * time.Hour)
	if err := s.Err(); err == nil {
		t.Error("expired key: got no error, want one")
	}
	c.Keys = append(c.Keys, privateKey(t, entity(t, "new"), ""))
	if err := sourceAt(t, c, func() time.Time { return clock }).Err(); err != nil {
		t.Errorf("new key: got error %v", err)
	}
	if err := source(t, vulnreport.Config{}).Err(); err != nil {
		t.Errorf("no keys: got error %v", err)
	}
}
