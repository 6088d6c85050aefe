package templates

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	"tocsin/bot/incident"
)

// Message is a mail, in both of its forms.
type Message struct{ Subject, Text, HTML string }

var (
	mailText = template.Must(template.New("mail").Funcs(template.FuncMap{"quoted": quoted}).ParseFS(files, "mail.txt.tmpl"))
	mailHTML = htmltemplate.Must(htmltemplate.New("mail").Funcs(htmltemplate.FuncMap{"prose": proseHTML}).ParseFS(files, "mail.html.tmpl"))
)

// mailLayout is what the mails are laid out from. Its strings are raw.
type mailLayout struct {
	ID, Severity, Title string
	Heading             string
	Lines               []string
	Facts               []pair
	List                []string
	Blocks              []section
	Small               string
}

func (l mailLayout) message(subject string) Message {
	var text, page bytes.Buffer
	// The templates are our own and l has every field they name.
	if err := mailText.ExecuteTemplate(&text, "mail.txt.tmpl", l); err != nil {
		panic("templates: mail.txt.tmpl: " + err.Error())
	}
	if err := mailHTML.ExecuteTemplate(&page, "mail.html.tmpl", l); err != nil {
		panic("templates: mail.html.tmpl: " + err.Error())
	}
	return Message{Subject: clip(oneLine(subject), 180), Text: tidy(text.String()), HTML: tidy(page.String())}
}

// quoted marks each line of a text, so that none of them reads as the mail's own.
func quoted(s string) string { return "> " + strings.ReplaceAll(clean(s), "\n", "\n> ") }

// newMailLayout says which incident it is about: of a restricted one only its
// number and severity.
func newMailLayout(b incident.Brief) mailLayout {
	l := mailLayout{ID: b.Incident.ID.String(), Severity: strings.ToUpper(string(b.Incident.Severity))}
	if !b.Incident.Restricted {
		l.Title = oneLine(b.Incident.Title)
	}
	return l
}

func (l mailLayout) subject(what string) string {
	if l.Title != "" {
		what += ": " + l.Title
	}
	return "[" + l.Severity + "] " + l.ID + " " + what
}

// PageMail pages by mail. route counts from 0, as in the alias.
func PageMail(b incident.Brief, route int) Message {
	l := newMailLayout(b)
	l.Heading = l.ID + " needs somebody now"
	l.Lines = []string{
		"You are paged because you are on the emergency alias, and nobody has acknowledged this incident yet.",
		"Write /incident ack " + l.ID + " in Slack, or run: tocsin incident ack " + l.ID,
		"Whoever acknowledges first becomes incident commander and stops the paging. If you cannot take it, do nothing: the next one is paged.",
	}
	l.Facts = []pair{{Label: "Severity", Value: l.Severity}, {Label: "Opened", Value: utc(b.Incident.OpenedAt)}, {Label: "Page", Value: fmt.Sprintf("round %d, route %d", max(b.Incident.Paging.Round, 1), route+1)}}
	if l.Title != "" {
		l.Facts = append(l.Facts, pair{Label: "What", Value: l.Title})
		for _, a := range b.Incident.Alerts[:min(len(b.Incident.Alerts), 5)] {
			l.Facts = append(l.Facts, pair{Label: "Alert", Value: oneLine(a.Source) + ", " + string(a.Level) + ": " + clip(oneLine(a.Title), 200)})
		}
	} else {
		l.Small = "The incident is restricted: what it is about is only shown to those who take part. Do not forward this mail."
	}
	return l.message(l.subject("needs somebody now"))
}

// PostmortemMail sends the approved postmortem round. The document itself,
// b.Document, is attached by whoever sends the mail.
func PostmortemMail(b incident.Brief) Message {
	l := newMailLayout(b)
	sub := b.Incident.Submission
	if sub == nil {
		sub = &incident.Submission{}
	}
	record := sub.Document.Record
	revision, digest := sub.Document.Revision, sub.Digest
	if b.Document != nil {
		revision, digest = b.Document.Revision, b.Document.Digest
	}
	l.Title = oneLine(b.Incident.Title) // the list is the audience that was signed
	l.Heading = "Postmortem of " + l.ID
	l.Lines = []string{fmt.Sprintf("Engineering, security, legal and communications have signed revision %d of this record. The whole document is attached.", revision)}
	if revision > 1 {
		l.Lines = append(l.Lines, fmt.Sprintf("It replaces revision %d, which is kept and marked as superseded.", revision-1))
	}
	l.Facts = []pair{{Label: "What", Value: l.Title}, {Label: "Severity", Value: l.Severity}, {Label: "For", Value: audience(record.Audience)}, {Label: "Opened", Value: utc(b.Incident.OpenedAt)}, {Label: "Digest", Value: digest}}
	for _, s := range b.Incident.Signatures {
		if s.Digest == sub.Digest {
			l.Facts = append(l.Facts, pair{Label: "Signed for " + label(s.Department), Value: name(b.Directory, s.By) + ", " + utc(s.At)})
		}
	}
	for _, f := range []string{"summary", "impact", "root_cause", "what_will_prevent_it"} {
		for _, known := range incident.RecordFields() {
			if text := strings.TrimSpace(clean(record.Get(f))); known.Name == f && text != "" {
				l.Blocks = append(l.Blocks, section{known.Label, text})
			}
		}
	}
	if at := b.Incident.Review.At; !at.IsZero() {
		l.Lines = append(l.Lines, "The review meeting is on "+localTime(b, at)+".")
	} else {
		l.Lines = append(l.Lines, "A review meeting follows.")
	}
	l.Small = "For the audience named above. The attached document tells how to check the digest."
	if b.Incident.Restricted {
		l.Title = "" // a subject shows on locked screens
	}
	return l.message(l.subject(fmt.Sprintf("postmortem, revision %d", revision)))
}

// InvitationMail invites to the review meeting: what, when, where, the agenda
// and how it is concluded. The sender attaches the calendar entry.
func InvitationMail(b incident.Brief) Message {
	l := newMailLayout(b)
	l.Heading = "Postmortem review of " + l.ID
	l.Lines = []string{"You are invited to the review meeting of this incident. It is held in person, without blame, and ends in action items."}
	where := clip(oneLine(b.Event.Text("text")), 300)
	if b.Event.Kind != incident.EventReviewScheduled || where == "" {
		where = "in the incident's channel, unless the organiser says otherwise"
	}
	organiser := "Tocsin"
	if b.Event.By != "" {
		organiser = name(b.Directory, b.Event.By)
	}
	l.Facts = []pair{{Label: "When", Value: localTime(b, b.Incident.Review.At)}, {Label: "Where", Value: where}, {Label: "Organiser", Value: organiser}, {Label: "Severity", Value: l.Severity}}
	if l.Title != "" {
		l.Facts = append(l.Facts, pair{Label: "What", Value: l.Title})
	}
	l.List = []string{
		"The timeline: what happened, in whose eyes, and what surprised us (10 minutes)",
		"Detection: what told us, how late, and what would have told us at once (10 minutes)",
		"Response: which playbook steps helped, were late or were skipped (10 minutes)",
		"Cause and contributing factors: what made it possible (10 minutes)",
		"Action items: at least one for detection and one for prevention, each with an owner and a date (15 minutes)",
		"Decisions, and who tells whom (5 minutes)",
	}
	if n := len(b.Incident.Actions); n > 0 {
		l.Lines = append(l.Lines, "So far there "+map[bool]string{true: "is ", false: "are "}[n == 1]+plural(n, "action item")+".")
	}
	l.Lines = append(l.Lines, "To conclude it, one of those present writes /incident review conclude in the incident's channel and fills in who was there, what was decided and the action items. The incident closes when there is one item for detection and one for prevention, or an exception that security endorses.")
	if l.Title == "" {
		l.Small = "The incident is restricted: read the postmortem in its channel, and do not forward this invitation."
	}
	return l.message("Review of " + l.ID + ", " + localTime(b, b.Incident.Review.At))
}

// localTime writes a time in UTC and the incident's zone.
func localTime(b incident.Brief, t time.Time) string {
	zone, err := time.LoadLocation(b.Incident.Facts.TimeZone)
	if t.IsZero() || err != nil || b.Incident.Facts.TimeZone == "" || zone == time.UTC {
		return utc(t)
	}
	return t.In(zone).Format("Monday, 2 January 2006, 15:04 MST") + " (" + t.UTC().Format("15:04 UTC") + ")"
}
