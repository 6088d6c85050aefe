package mail_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	"pgregory.net/rapid"

	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/sandbox/mailbox"
)

// hostileLine draws texts that try to add headers, calendar properties or parts.
func hostileLine() *rapid.Generator[string] {
	nasty := rapid.SampledFrom([]string{"\r\n", "\n", "\r", "\r\n\r\n", "\u2028", "\u0085", "\v", "\x00", "\x1b[31m", "\u202e", "Bcc: evil@example.com", "ATTENDEE:mailto:evil@example.com", "END:VEVENT", "BEGIN:VALARM",
		"ATTACH:https://evil.example", ";", ",", ":", "\"", "\\", "\\n", "=?utf-8?q?x?=", "<evil@example.com>", "Content-Type: text/html", "--", "ü", "🔥", strings.Repeat("x", 90)})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.OneOf(nasty, rapid.String()), 0, 8).Draw(t, "parts"), "")
	})
}

// mailShape is the structure of a mail that no text may change.
type mailShape struct {
	headers    string
	recipients string
	parts      string
	calendar   string // the names of its lines, in order
}

func shapeOf(m mailbox.Message) mailShape {
	s := mailShape{headers: fmt.Sprint(slices.Sorted(maps.Keys(m.Header))), recipients: fmt.Sprint(m.Recipients)}
	for _, a := range m.Attachments {
		s.parts += a.Name + " " + a.Type + "\n"
		if a.Type != "text/calendar" {
			continue
		}
		unfolded := strings.NewReplacer("\r\n ", "", "\r\n\t", "").Replace(string(a.Content))
		for _, line := range strings.Split(strings.TrimSuffix(unfolded, "\r\n"), "\r\n") {
			s.calendar += line[:min(strings.IndexAny(line+":", ":;"), len(line))] + "\n"
		}
	}
	return s
}

// sendAll sends one mail of each kind with text in every field that people, sources and
// reporters write.
func sendAll(ctx context.Context, m *mail.Mailer, mark string, text func() string) error {
	b := brief()
	b.Incident.Title = "Leak " + text()
	b.Incident.Alerts[0].Title, b.Incident.Alerts[0].Source = "a"+text(), "s"+text()
	b.Mark, b.Event.Seq = mark, 7
	b.Event.Kind, b.Event.Fields = incident.EventReviewScheduled, map[string]string{"when": at.Add(24 * time.Hour).Format(time.RFC3339)}
	b.Incident.Review.At = at.Add(24 * time.Hour)
	b.Event.Texts = map[string]incident.Text{"text": {Value: "Room " + text(), Commitment: "c"}}
	b.Incident.Record.Summary = "x" + text()
	b.Document = &incident.Document{Revision: 1, Digest: "sha256:abc", Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "m" + text()}, {Name: "x.html", MediaType: "text/html", Content: "h" + text()}}}
	b.Directory.People = slices.Clone(b.Directory.People)
	for n := range b.Directory.People {
		b.Directory.People[n].Name += text()
	}
	b.Reply = &incident.Reply{Reference: "VR-1" + text(), To: "ann@example.org", InReplyTo: "a@b" + text(), References: []string{"b@c" + text()}, At: at}
	for _, handle := range []mail.Handler{m.PageTo([]string{"e@example.com"}), m.Invitation, m.Postmortem, m.AcknowledgeReport} {
		if _, err := handle(ctx, b, page); err != nil {
			return err
		}
	}
	_, err := m.Cancellation(ctx, b, cancellation(b.Incident.Review.At))
	return err
}

// Texts and names of people add no header, recipient or part to a mail, and no property,
// attendee or component to an invitation.
func TestMails_HostileTextAddsNothing(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	if err := sendAll(t.Context(), m, "INC-42/1/mail", func() string { return "plain" }); err != nil {
		t.Fatal(err)
	}
	want := server.Messages()
	if len(want) != 5 || !strings.Contains(shapeOf(want[1]).calendar, "ATTENDEE\nATTENDEE\nATTENDEE\n") {
		t.Fatalf("got %d mails, and the calendar lines %s", len(want), shapeOf(want[1]).calendar)
	}
	rapid.Check(t, func(rt *rapid.T) {
		before := len(server.Messages())
		if err := sendAll(rt.Context(), m, fmt.Sprintf("INC-42/%d/mail", before), func() string { return hostileLine().Draw(rt, "text") }); err != nil {
			rt.Fatal(err)
		}
		for n, msg := range server.Messages()[before:] {
			if msg.Problem != "" {
				rt.Fatalf("mail %d: %s\n%s", n, msg.Problem, msg.Raw)
			}
			if got, want := shapeOf(msg), shapeOf(want[n]); got != want {
				rt.Fatalf("mail %d: got %+v\nwant %+v\n%s", n, got, want, msg.Raw)
			}
			if strings.ContainsAny(msg.Subject, "\r\n\x00\x1b\u202e") {
				rt.Fatalf("mail %d: got subject %q", n, msg.Subject)
			}
			if part, ok := msg.Calendar(); ok {
				cal, err := ics.ParseCalendar(strings.NewReader(string(part.Content)))
				if err != nil || len(cal.Components) != 1 || len(cal.Events()[0].Attendees()) != map[bool]int{true: 2, false: 3}[n == len(want)-1] || strings.ContainsAny(string(part.Content), "\x00\x1b\u202e") {
					rt.Fatalf("got %v, calendar %s", err, part.Content)
				}
			}
		}
	})
}
