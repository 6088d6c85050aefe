package vulnreport_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/vulnreport"
)

// TestDecode_BrokenMails reads mails that break the rules. The words that a person wrote
// are in the alert, and the alert names the content that could not be read.
func TestDecode_BrokenMails(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	from, subject := "From: Ann <ann@example.org>", "Subject: Leak"
	multi := func(kind, boundary string, lines ...string) string {
		return mail(append([]string{from, subject, "Content-Type: " + kind + boundary, ""}, lines...)...)
	}
	tests := []struct {
		name, raw string
		want      []string // in the title or detail
		absent    string
	}{
		// Forwarded messages.
		{"forwarded", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: message/rfc822", "", "From: deep@x.example", "Subject: inner subject", "Content-Type: text/plain", "", "the inner story", "--q--"),
			[]string{"the inner story", "inner subject", "deep@x.example"}, ""},
		{"forwarded as an attachment", multi("multipart/mixed", "; boundary=q", "--q", "", "see below", "--q", "Content-Type: message/rfc822; name=x.eml", "Content-Disposition: attachment; filename=x.eml", "", "Subject: =?utf-8?q?L=C3=BCcke?=", "Content-Transfer-Encoding: base64", "", b64("the inner story"), "--q--"),
			[]string{"see below", "the inner story", "Subject: Lücke"}, ""},
		{"forwarded twice", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: message/rfc822", "", "Subject: one", "", "first story", "--q", "Content-Type: message/rfc822", "", "Subject: two", "Content-Type: message/rfc822", "", "Subject: three", "", "third story", "--q--"),
			[]string{"first story", "third story", "Subject: three"}, ""},
		{"forwarded in base64", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", "", b64("Subject: inner\r\n\r\nthe inner story"), "--q--"), []string{"the inner story"}, ""},
		{"attached .eml file", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: application/octet-stream; name=\"fwd.eml\"", "Content-Disposition: attachment", "", "From: x@example.org", "Subject: inner", "", "the inner story", "--q--"), []string{"the inner story"}, ""},
		{"digest", multi("multipart/digest", "; boundary=q", "--q", "", "Subject: one", "", "first story", "--q", "", "Subject: two", "", "second story", "--q--"), []string{"first story", "second story"}, ""},
		{"only a message", mail(from, "Content-Type: message/rfc822", "", "Subject: inner subject", "", "the inner story"), []string{"inner subject", "the inner story"}, ""},
		// Content types.
		{"no boundary", multi("multipart/mixed", "", "just text here"), []string{"just text here"}, ""},
		{"boundary not declared", multi("multipart/mixed", "", "--zz", "Content-Type: text/plain", "", "just text here", "--zz--"), []string{"just text here"}, "--zz"},
		{"wrong boundary", multi("multipart/mixed", "; boundary=aa", "--zz", "Content-Type: text/plain", "Content-Transfer-Encoding: base64", "", b64("just text here"), "--zz--"), []string{"just text here", "wrong boundary"}, ""},
		{"boundary with spaces and without quotes", multi("multipart/mixed", "; boundary=a b c", "--a b c", "", "just text here", "--a b c--"), []string{"just text here"}, "--a b"},
		{"boundary with an open quote", multi("multipart/mixed", `; boundary="abc`, "--abc", "", "just text here", "--abc--"), []string{"just text here"}, "--abc"},
		{"no semicolon", mail(from, "Content-Type: text/plain charset=iso-8859-1", "", "caf\xe9"), []string{"café"}, ""},
		{"no end", multi("multipart/mixed", "; boundary=q", "--q", "", "just text here"), []string{"just text here", "no end"}, ""},
		{"part without a header", multi("multipart/mixed", "; boundary=q", "--q", "just text here", "Note: more words", "--q--"), []string{"just text here", "Note: more words"}, ""},
		{"part without an empty line", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: text/plain", "just text here", "--q--"), []string{"just text here"}, ""},
		{"preamble", multi("multipart/mixed", "; boundary=q", "urgent words", "--q", "", "just text here", "--q--"), []string{"urgent words", "just text here"}, ""},
		{"encoded multipart", mail(from, "Content-Type: multipart/mixed; boundary=q", "Content-Transfer-Encoding: base64", "", b64("--q\r\n\r\njust text here\r\n--q--\r\n")), []string{"just text here"}, ""},
		{"unknown type", mail(from, "Content-Type: garbage", "", "just text here"), []string{"just text here"}, ""},
		{"type text", mail(from, "Content-Type: text", "", "just text here"), []string{"just text here"}, ""},
		{"only a text attachment", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: text/plain", "Content-Disposition: attachment; filename=report.txt", "", "the whole story", "--q--"), []string{"the whole story", "report.txt"}, ""},
		// Transfer encodings.
		{"plain text declared as base64", mail(from, "Content-Transfer-Encoding: base64", "", "just text here", "and more words"), []string{"just text here", "and more words", "damaged"}, ""},
		{"base64 with a footer", mail(from, "Content-Transfer-Encoding: base64", "", b64("the story of the leak, as it was found"), "_______________", "Security mailing list"), []string{"the story of the leak, as it was found", "Security mailing list"}, ""},
		{"base64 without padding", mail(from, "Content-Transfer-Encoding: base64", "", strings.TrimRight(b64("the story"), "=")), []string{"the story"}, ""},
		{"base64 with a damaged line", mail(from, "Content-Transfer-Encoding: base64", "", b64(strings.Repeat("the first line ", 4))[:76], b64(strings.Repeat("the second line ", 3))[:55]+"*", b64("the last words")), []string{"the first line", "the second line", "the last words"}, ""},
		{"damaged quoted-printable", mail(from, "Content-Transfer-Encoding: quoted-printable", "", "a=b caf=C3=A9 100=% so=", "ft 5=5 end="), []string{"a=b café 100=% soft 5=5 end"}, ""},
		{"unknown encoding", mail(from, "Content-Transfer-Encoding: rot13", "", "just text here"), []string{"just text here", `"rot13" is unknown`}, ""},
		{"misspelled encoding", mail(from, "Content-Transfer-Encoding: Quoted_Printable", "", "caf=C3=A9"), []string{"café"}, ""},
		// Charsets.
		{"Latin-1 without a charset", mail("From: c@ext.example", "Subject: caf\xe9 r\xe9sum\xe9", "", "d\xe9j\xe0 vu"), []string{"café résumé", "déjà vu"}, "\uFFFD"},
		{"UTF-8 without a charset", mail(from, "Subject: café", "", "déjà vu"), []string{"café", "déjà vu"}, ""},
		{"Latin-1 declared as UTF-8", mail(from, "Content-Type: text/plain; charset=utf-8", "", "d\xe9j\xe0 vu"), []string{"déjà vu"}, ""},
		{"UTF-8 declared as Latin-1", mail(from, "Content-Type: text/plain; charset=iso-8859-1", "", "déjà vu"), []string{"déjà vu"}, ""},
		{"Windows-1252", mail(from, "Content-Type: text/plain; charset=cp1252", "", "\x93quoted\x94 \x96 5\x80"), []string{"“quoted” – 5€"}, ""},
		{"unknown charset", mail(from, "Content-Type: text/plain; charset=klingon", "", "d\xe9j\xe0 vu"), []string{"déjà vu", `charset "klingon" is unknown`}, ""},
		{"UTF-16", mail(from, "Content-Type: text/plain; charset=utf-16", "Content-Transfer-Encoding: base64", "", b64("d\x00\xe9\x00j\x00\xe0\x00 \x00v\x00u\x00")), []string{"déjà vu"}, ""},
		{"UTF-16 without a charset", mail(from, "Content-Transfer-Encoding: base64", "", b64("\xff\xfed\x00\xe9\x00j\x00\xe0\x00")), []string{"déjà"}, ""},
		{"ISO-2022-JP", mail(from, "Content-Type: text/plain; charset=ISO-2022-JP", "", "\x1b$B@H<e@-\x1b(B found"), []string{"脆弱性 found"}, ""},
		{"ISO-2022-JP without a charset", mail(from, "", "\x1b$B@H<e@-\x1b(B found"), []string{"脆弱性 found"}, ""},
		{"Shift-JIS", mail(from, "Content-Type: text/plain; charset=Shift_JIS", "", "\x90\xc6\x8e\xe3\x90\xab"), []string{"脆弱性"}, ""},
		{"GB18030", mail(from, "Content-Type: text/plain; charset=gb2312", "", "\xc2\xa9\xb6\xb4"), []string{"漏洞"}, ""},
		{"KOI8-R", mail(from, "Content-Type: text/plain; charset=koi8-r", "", "\xf5\xd4\xc5\xde\xcb\xc1"), []string{"Утечка"}, ""},
		{"UTF-7", mail(from, "Content-Type: text/plain; charset=utf-7", "", "plain words +AOk-"), []string{"plain words +AOk-", "UTF-7"}, "é"},
		// Headers.
		{"encoded words split inside a character", mail(from, "Subject: =?utf-8?Q?L=C3?=", " =?utf-8?Q?=BCcke?= =?utf-8?B?w?= =?utf-8?B?7xlag==?=", "", "x"), []string{"Lücke"}, ""},
		{"encoded word with spaces", mail(from, "Subject: =?iso-8859-1?Q?L=FCcke im Login?=", "", "x"), []string{"Lücke im Login"}, ""},
		{"encoded word in quotes", mail(`From: "=?utf-8?q?J=C3=B6rg?= M" <j@example.org>`, "", "x"), []string{"Reporter: Jörg M <j@example.org>"}, ""},
		{"Latin-1 name", mail("From: J\xf6rg M\xfcller <j@example.org>", "", "x"), []string{"Reporter: Jörg Müller <j@example.org>"}, ""},
		{"name with a comma", mail("From: M\xfcller, J\xf6rg <j@example.org>", "", "x"), []string{"Müller, Jörg <j@example.org>"}, ""},
		{"file names", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: image/png", "Content-Disposition: attachment; filename=my proof.png", "", "a", "--q", "Content-Type: image/png",
			"Content-Disposition: attachment; filename*0*=iso-8859-1''%FCber; filename*1=sicht.png", "", "b", "--q", `Content-Type: image/png; name="=?utf-8?q?=C3=BC?=.png"`, "", "c", "--q", "Content-Disposition: attachment; filename=\"\xfcml.bin\"", "", "d", "--q--"),
			[]string{"Attachment: my proof.png", "Attachment: übersicht.png", "Attachment: ü.png", "Attachment: üml.bin"}, ""},
		{"line that is no field", mail(from, "garbage here", subject, "", "the story"), []string{"the story", "Leak", "garbage here"}, ""},
		{"no empty line", mail(from, subject, "the story begins", "and goes on: here"), []string{"the story begins", "and goes on: here"}, ""},
		{"line feeds", from + "\n" + subject + "\n\nthe story\n", []string{"the story", "Leak"}, ""},
		{"carriage returns", from + "\r" + subject + "\r\rthe story\r", []string{"the story", "Leak"}, ""},
		{"NUL bytes", mail(from, "Subject: Le\x00ak", "", "the st\x00ory"), []string{"Leak", "the story"}, "\x00"},
		{"large To field", mail(from, "To: "+strings.Repeat("a@example.org, ", 20_000), subject, "Content-Transfer-Encoding: base64", "", b64("the story")), []string{"Leak", "the story", "bytes of the headers were not read"}, ""},
		{"large To field before parts", mail(from, "To: "+strings.Repeat("a@example.org, ", 20_000), "Content-Type: multipart/mixed; boundary=q", "", "--q", "", "the story", "--q--"), []string{"the story"}, ""},
		{"empty lines before the header", "\r\n\r\n" + mail(from, subject, "", "the story"), []string{"the story", "Leak"}, "Subject: Leak"},
		{"line of an mbox file", mail("From ann@example.org Mon Nov 30 09:00:00 2026", from, subject, "", "the story"), []string{"the story", "Leak"}, ""},
		{"no header fields that are known", mail("hello: world", "this is a text", ""), []string{"hello: world", "this is a text"}, ""},
		// HTML.
		{"HTML only", mail(from, "Content-Type: text/html; charset=utf-8", "", `<style>p{}</style><p>See <a href="https://x.example/a">the proof</a></p><table><tr><td>host</td><td>db1</td></tr><tr><td>user</td><td>root</td></tr></table><ul><li>one<li>two</ul><div style="display:none">secret words</div><script>evil()</script>`),
			[]string{"See the proof (https://x.example/a)", "host | db1\nuser | root", "- one\n- two", "hides a text"}, "secret words"},
		{"HTML with a charset of its own", mail(from, "Content-Type: text/html", "", `<meta charset="koi8-r"><p>`+"\xf5\xd4\xc5\xde\xcb\xc1"), []string{"Утечка"}, ""},
		{"HTML beside a stub", multi("multipart/alternative", "; boundary=q", "--q", "", "Your program cannot show HTML.", "--q", "Content-Type: text/html", "", "<p>the database is open</p>", "--q--"), []string{"the database is open"}, ""},
		{"HTML with the same words", multi("multipart/alternative", "; boundary=q", "--q", "", "the database is open to all", "--q", "Content-Type: text/html", "", "<p>the <b>database</b> is open to all</p>", "--q--"), []string{"the database is open to all"}, "all\n\nthe"},
		{"HTML within a forwarded message", multi("multipart/mixed", "; boundary=q", "--q", "", "see below", "--q", "Content-Type: message/rfc822", "", "Content-Type: text/html", "", "<p>the inner story</p>", "--q--"), []string{"see below", "the inner story"}, ""},
		// Other texts.
		{"flowed", mail(from, "Content-Type: text/plain; format=flowed", "", "the story ", "goes on", "> quoted ", "> words"), []string{"the story goes on", "> quoted words"}, ""},
		{"calendar", mail(from, "Content-Type: text/calendar; method=REQUEST", "", "BEGIN:VCALENDAR", "METHOD:REQUEST", "BEGIN:VEVENT", "SUMMARY:Leak call", "DTSTART;TZID=Europe/Berlin:20261130T100000", "DESCRIPTION:Dial in\\, now\\nplea", " se", "END:VEVENT", "END:VCALENDAR"),
			[]string{"Summary: Leak call", "20261130T100000 Europe/Berlin", "Dial in, now\nplease"}, ""},
		{"S/MIME", mail(from, "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", "Content-Transfer-Encoding: base64", "", "MIAGCSqGSIb3"), []string{"signed with S/MIME. Tocsin cannot read it"}, ""},
		{"S/MIME signature", multi("multipart/signed", "; boundary=q", "--q", "", "just text here", "--q", "Content-Type: application/pkcs7-signature; name=smime.p7s", "", "x", "--q--"), []string{"just text here", "S/MIME signature was not verified"}, ""},
		{"message of Outlook", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: application/vnd.ms-outlook; name=fwd.msg", "", "x", "--q--"), []string{"fwd.msg is a message of Outlook"}, ""},
		{"winmail.dat", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: application/ms-tnef; name=winmail.dat", "Content-Transfer-Encoding: base64", "", b64(tnef(tnefAttribute(1, 0x800c, "the story of \xfc\x00"), tnefAttribute(2, 0x9002, ""), tnefAttribute(2, 0x8010, "proof.xls\x00"))), "--q--"),
			[]string{"the story of ü", "Attachment: proof.xls (in winmail.dat)"}, ""},
		{"damaged winmail.dat", multi("multipart/mixed", "; boundary=q", "--q", "Content-Type: application/ms-tnef; name=winmail.dat", "", "xx", "--q--"), []string{"winmail.dat file cannot be read"}, ""},
	}
	s := source(t, vulnreport.Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, s, tt.raw)
			shown := got.Title + "\n" + got.Detail
			for _, want := range tt.want {
				if !strings.Contains(shown, want) {
					t.Errorf("got alert\n%s\nwant it to contain %q", shown, want)
				}
			}
			if tt.absent != "" && strings.Contains(shown, tt.absent) {
				t.Errorf("got alert\n%s\nwant it without %q", shown, tt.absent)
			}
		})
	}
}

// tnef returns a winmail.dat file with attributes.
func tnef(attributes ...string) string {
	return "\x78\x9f\x3e\x22\x01\x00" + strings.Join(attributes, "")
}

func tnefAttribute(level byte, id uint16, value string) string {
	n := len(value)
	return string([]byte{level, byte(id), byte(id >> 8), 0, 0, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}) + value + "\x00\x00"
}

// TestDecode_RepeatedMessageID sends the Message-ID of a report from another sender. It is
// another report, whichever arrives first. A redelivered mail is the same report.
func TestDecode_RepeatedMessageID(t *testing.T) {
	s := source(t, vulnreport.Config{})
	letter := func(from, id, body string, more ...string) incident.Alert {
		return decode(t, s, mail(append(more, "From: "+from, "Message-ID: "+id, "Subject: Leak", "", body)...))
	}
	first := letter("Ann <ann@example.org>", "<1@example.org>", "the story")
	for _, tt := range []struct {
		name  string
		other incident.Alert
		same  bool // the same alert
		joins bool // the same incident
	}{
		{"redelivered", letter("Ann <Ann@Example.org>", "<1@example.org>", "the story", "Received: from elsewhere"), true, true},
		{"other sender", letter("eve@example.net", "<1@example.org>", "the story"), false, false},
		{"other sender with the same name", letter("Ann <eve@example.net>", "<1@example.org>", "the story"), false, false},
		{"other text of the same sender", letter("ann@example.org", "<1@example.org>", "another story"), false, true},
		{"later mail of the same sender", letter("ann@example.org", "<2@example.org>", "more", "References: <1@example.org>"), false, true},
	} {
		if same := tt.other.Fingerprint == first.Fingerprint; same != tt.same {
			t.Errorf("%s: got the same fingerprint: %v, want %v", tt.name, same, tt.same)
		}
		if joins := tt.other.Correlation == first.Correlation; joins != tt.joins {
			t.Errorf("%s: got the same correlation key: %v, want %v", tt.name, joins, tt.joins)
		}
		if tt.other.Report.Thread != first.Report.Thread {
			t.Errorf("%s: got another thread", tt.name)
		}
		if answers := strings.HasPrefix(tt.name, "later"); tt.other.Report.Answers != answers {
			t.Errorf("%s: got answers %v, want %v", tt.name, tt.other.Report.Answers, answers)
		}
	}
	without := func(from, received string) incident.Alert {
		return decode(t, s, mail(fmt.Sprintf("Received: %s", received), "From: "+from, "", "the story"))
	}
	if a, b := without("a@example.org", "x"), without("a@example.org", "y"); a.Fingerprint != b.Fingerprint {
		t.Errorf("redelivered without a Message-ID: got fingerprints %q and %q, want the same", a.Fingerprint, b.Fingerprint)
	}
	if a, b := without("a@example.org", "x"), without("b@example.org", "x"); a.Correlation == b.Correlation {
		t.Error("other sender without a Message-ID: got the same correlation key")
	}
}
