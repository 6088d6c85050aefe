package templates

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Message is a mail as plain text and as HTML.
type Message struct{ Subject, Text, HTML string }

var (
	mailText = template.Must(template.New("mail").Funcs(template.FuncMap{"quoted": quoteMail}).ParseFS(templateFiles, "mail.txt.tmpl"))
	mailHTML = htmltemplate.Must(htmltemplate.New("mail").Funcs(htmltemplate.FuncMap{"prose": proseHTML}).ParseFS(templateFiles, "mail.html.tmpl"))
)

// mailLayout is the data of the mail templates. Its strings are not escaped.
type mailLayout struct {
	Origin              incident.Origin
	ID, Severity, Title string
	Heading             string
	Lines               []string
	Facts               []labelValue
	List                []string
	Blocks              []section
	Small               string
}

// message returns the mail. Its subject and heading begin with the mark of the origin.
func (l mailLayout) message(subject string) Message {
	l.Heading = l.Origin.Marked(l.Heading)
	var text, page bytes.Buffer
	// Execution fails only if a template is wrong.
	if err := mailText.ExecuteTemplate(&text, "mail.txt.tmpl", l); err != nil {
		panic("templates: mail.txt.tmpl: " + err.Error())
	}
	if err := mailHTML.ExecuteTemplate(&page, "mail.html.tmpl", l); err != nil {
		panic("templates: mail.html.tmpl: " + err.Error())
	}
	return Message{Subject: clip(oneLine(l.Origin.Marked(subject)), 180), Text: tidy(text.String()), HTML: tidy(page.String())}
}

// quoteMail prefixes each line of untrusted text with "> " to set it apart from
// the text of the mail.
func quoteMail(s string) string { return "> " + strings.ReplaceAll(cleanText(s), "\n", "\n> ") }

// newMailLayout returns a layout with the id and severity of the incident, and the
// title unless the incident is restricted.
func newMailLayout(b incident.Brief) mailLayout {
	l := mailLayout{Origin: b.Incident.Origin, ID: b.Incident.ID.String(), Severity: strings.ToUpper(string(b.Incident.Severity))}
	if !b.Incident.Restricted {
		l.Title = oneLine(b.Incident.Title)
	}
	return l
}

func (l mailLayout) subject(text string) string {
	if l.Title != "" {
		text += ": " + l.Title
	}
	return "[" + l.Severity + "] " + l.ID + " " + text
}

// PageMail returns the mail that pages a responder. step is the index of the
// escalation step, from 0.
func PageMail(b incident.Brief, step int) Message {
	l := newPageLayout(b)
	l.Heading = l.ID + " needs a responder"
	l.Lines = []string{
		"Tocsin pages you because you are part of the escalation policy and the incident is not acknowledged.",
		text.Capital(incident.AcknowledgeHint) + ". Type /incident ack " + l.ID + " in Slack or run: tocsin incident ack " + l.ID,
		"The first person to acknowledge becomes incident commander and stops the paging. If you cannot respond, do nothing. Tocsin then pages the next escalation step.",
	}
	if b.Page.Note != "" {
		l.Lines = append(l.Lines, b.Page.Note+".")
	}
	l.Facts = append(l.Facts, labelValue{Label: "Page", Value: fmt.Sprintf("round %d, step %d", max(b.Incident.PageNumber(b.Incident.Paging.Round), 1), step+1)})
	if l.Title != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Title", Value: l.Title})
		shown := min(len(b.Incident.Alerts), 5)
		for _, a := range b.Incident.Alerts[:shown] {
			l.Facts = append(l.Facts, labelValue{Label: "Alert", Value: oneLine(a.Source) + ", " + string(a.Level) + ": " + clip(oneLine(a.Title), 200)})
		}
		if total := incident.SumAlerts(b.AlertCounts); total.Alerts > int64(shown) || total.Occurrences > total.Alerts {
			l.Facts = append(l.Facts, labelValue{Label: "Alerts in total", Value: fmt.Sprintf("%d, with %s", total.Alerts, plural(int(total.Occurrences), "occurrence"))})
		}
	}
	return l.message(b.PageHeadline())
}

// PersonalPageMail returns the mail that pages a chosen person.
func PersonalPageMail(b incident.Brief) Message {
	l := newPageLayout(b)
	l.Heading = l.ID + " needs you"
	l.Lines = []string{"A responder asked Tocsin to page you, whoever is on call.", "Join the incident now. If nobody has acknowledged it, " + incident.AcknowledgeHint + "."}
	if l.Title != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Title", Value: l.Title})
	}
	return l.message(b.PageHeadline())
}

// newPageLayout returns a layout with the facts and links of every page.
func newPageLayout(b incident.Brief) mailLayout {
	l := newMailLayout(b)
	l.Facts = []labelValue{{Label: "Severity", Value: l.Severity}, {Label: "Opened", Value: formatUTC(b.Incident.OpenedAt)}}
	if b.Page.Subject != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Kind", Value: b.Page.Subject})
	}
	for _, link := range b.Page.Links.List() {
		l.Facts = append(l.Facts, labelValue{Label: link.Label, Value: link.URL})
	}
	if l.Title == "" {
		l.Small = "The incident is restricted. Only participants can see its details. Do not forward this mail."
	}
	return l
}

// PageWithdrawnMail returns the mail that tells paged people that nobody is needed any
// more.
func PageWithdrawnMail(b incident.Brief) Message {
	l := newMailLayout(b)
	l.Heading = l.ID + " no longer needs a responder"
	l.Lines = []string{"You do not need to respond to the page that Tocsin sent you: " + endOfPage(b) + "."}
	l.Facts = []labelValue{{Label: "Severity", Value: l.Severity}, {Label: "Status", Value: label(b.Incident.Status)}, {Label: "Opened", Value: formatUTC(b.Incident.OpenedAt)}}
	if l.Title != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Title", Value: l.Title})
	}
	return l.message(l.subject("no longer needs a responder"))
}

// endOfPage returns why the incident needs no page. It names the person who acknowledged
// unless the incident is restricted.
func endOfPage(b incident.Brief) string {
	inc := b.Incident
	switch {
	case !inc.Status.Responding():
		return "the incident is " + strings.ToLower(label(inc.Status))
	case inc.Restricted || inc.Paging.AcknowledgedBy == "":
		return "a responder acknowledged the incident"
	}
	return personName(b.Directory, inc.Paging.AcknowledgedBy) + " acknowledged the incident"
}

// PostmortemMail returns the mail that distributes an approved postmortem. The
// caller attaches the document, b.Document.
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
	l.Title = oneLine(b.Incident.Title) // the recipients are the signed audience
	l.Heading = "Postmortem of " + l.ID
	l.Lines = []string{fmt.Sprintf("Engineering, security, legal and communications signed revision %d of this record. The full document is attached.", revision)}
	if old := b.Incident.ReplacedPostmortem(revision); old > 0 {
		l.Lines = append(l.Lines, fmt.Sprintf("This revision replaces revision %d. Tocsin retains the old revision and marks it as superseded.", old))
	}
	l.Facts = []labelValue{{Label: "Title", Value: l.Title}, {Label: "Severity", Value: l.Severity}, {Label: "Audience", Value: audience(record.Audience)}, {Label: "Opened", Value: formatUTC(b.Incident.OpenedAt)}, {Label: "Digest", Value: digest}}
	for _, s := range b.Incident.Signatures {
		if s.Digest == sub.Digest {
			l.Facts = append(l.Facts, labelValue{Label: "Signed for " + label(s.Department), Value: personName(b.Directory, s.By) + ", " + formatUTC(s.At)})
		}
	}
	for _, f := range []string{"summary", "impact", "root_cause", "what_will_prevent_it"} {
		for _, known := range incident.RecordFields() {
			if text := strings.TrimSpace(cleanText(record.Get(f))); known.Name == f && text != "" {
				l.Blocks = append(l.Blocks, section{known.Label, text})
			}
		}
	}
	if at := b.Incident.Review.At; !at.IsZero() {
		l.Lines = append(l.Lines, "The review meeting is on "+formatLocal(b, at)+".")
	} else {
		l.Lines = append(l.Lines, "The review meeting is not scheduled yet.")
	}
	if b.Withheld > 0 {
		l.Lines = append(l.Lines, LeftOut(b.Withheld))
	}
	l.Small = "This mail is for the audience above. The attached document explains how to verify the digest."
	if b.Incident.Restricted {
		l.Title = "" // locked screens show subjects
	}
	return l.message(l.subject(fmt.Sprintf("postmortem, revision %d", revision)))
}

// InvitationMail returns the invitation to the review meeting, with its time,
// place, agenda and how to conclude it. The caller attaches the calendar entry.
func InvitationMail(b incident.Brief) Message {
	l := newMailLayout(b)
	l.Heading = "Postmortem review of " + l.ID
	l.Lines = []string{"You are invited to the review meeting of this incident. The review is blameless, takes place in person and ends with action items."}
	where := clip(oneLine(b.Event.Text("text")), 300)
	if b.Event.Kind != incident.EventReviewScheduled || where == "" {
		where = "the incident's channel, unless the organiser names another place"
	}
	organiser := "Tocsin"
	if b.Event.By != "" {
		organiser = personName(b.Directory, b.Event.By)
	}
	l.Facts = []labelValue{{Label: "When", Value: formatLocal(b, b.Incident.Review.At)}, {Label: "Where", Value: where}, {Label: "Organiser", Value: organiser}, {Label: "Severity", Value: l.Severity}}
	if l.Title != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Title", Value: l.Title})
	}
	l.List = []string{
		"Timeline: events, perspectives and surprises (10 minutes)",
		"Detection: which signals arrived, how late, and which would have been faster (10 minutes)",
		"Response: which playbook steps helped, were late or were skipped (10 minutes)",
		"Root cause and contributing factors (10 minutes)",
		"Action items: at least one for detection and one for prevention, each with an owner and a date (15 minutes)",
		"Decisions, and who informs which people (5 minutes)",
	}
	if n := len(b.Incident.Actions); n > 0 {
		l.Lines = append(l.Lines, "So far there "+map[bool]string{true: "is ", false: "are "}[n == 1]+plural(n, "action item")+", "+itoa(n-len(b.Incident.OpenActions()))+" done.")
	}
	l.Lines = append(l.Lines, "To conclude the review, an attendee types /incident review conclude in the incident's channel and enters the attendees, the decisions and the action items. The incident closes with one action item for detection and one for prevention, or with a waiver that security endorses.")
	if l.Title == "" {
		l.Small = "The incident is restricted. Read the postmortem in its channel, and do not forward this invitation."
	}
	return l.message("Review of " + l.ID + ", " + formatLocal(b, b.Incident.Review.At))
}

// PostmortemWithdrawnMail returns the mail to the recipients of a postmortem that no longer
// applies.
func PostmortemWithdrawnMail(b incident.Brief) Message {
	l := newMailLayout(b)
	revision := b.Event.Field("revision")
	l.Heading = "No longer applies: postmortem of " + l.ID + ", revision " + revision
	line, _ := phrase(b.Event, b.Directory)
	l.Lines = []string{line + ".", "Do not rely on the document that you received. When every department has signed the new record, you receive a new revision that replaces it."}
	l.Facts = []labelValue{{Label: "Severity", Value: l.Severity}, {Label: "Digest", Value: b.Event.Field("digest")}}
	return l.message(l.subject("postmortem, revision " + revision + ", no longer applies"))
}

// CancellationMail returns the mail that takes the review meeting back. The caller
// attaches the calendar entry.
func CancellationMail(b incident.Brief) Message {
	l := newMailLayout(b)
	when := formatLocal(b, b.Incident.Review.At)
	l.Heading = "Cancelled: postmortem review of " + l.ID
	l.Lines = []string{"You no longer need to attend the review meeting of this incident on " + when + ". This mail removes the meeting from your calendar."}
	if b.Event.Kind == incident.EventReviewCancelled {
		line, _ := phrase(b.Event, b.Directory)
		l.Lines = append(l.Lines, line+".")
	}
	l.Lines = append(l.Lines, "If the meeting gets another date, you receive a new invitation.")
	l.Facts = []labelValue{{Label: "When", Value: when}, {Label: "Severity", Value: l.Severity}}
	if l.Title != "" {
		l.Facts = append(l.Facts, labelValue{Label: "Title", Value: l.Title})
	}
	return l.message("Cancelled: review of " + l.ID + ", " + when)
}

// formatLocal formats a time in the zone of the incident and in UTC.
func formatLocal(b incident.Brief, t time.Time) string {
	zone, err := time.LoadLocation(b.Incident.Facts.TimeZone)
	if t.IsZero() || err != nil || b.Incident.Facts.TimeZone == "" || zone == time.UTC {
		return formatUTC(t)
	}
	local, layout := t.In(zone), "15:04 UTC"
	if local.Format(time.DateOnly) != t.UTC().Format(time.DateOnly) {
		layout = "Monday 15:04 UTC"
	}
	return local.Format("Monday, 2 January 2006, 15:04 MST") + " (" + t.UTC().Format(layout) + ")"
}
