package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/sandbox/mailbox"
)

// mailView is a mail in the response of the API.
type mailView struct {
	mailbox.Message
	HTML       bool        `json:"html"` // whether /mail/{seq}/html exists
	Invitation *invitation `json:"invitation,omitempty"`
}

func (p *Page) mailState() any {
	out := []mailView{}
	for _, m := range p.cfg.Mailbox.Messages() {
		l := mailView{Message: m, HTML: m.HTML != ""}
		if c, ok := m.Calendar(); ok {
			l.Invitation = readInvitation(c.Content)
		}
		out = append(out, l)
	}
	slices.Reverse(out)
	return map[string]any{"mails": out}
}

// mailPart serves the HTML part, the attachments and the source of a mail.
func (p *Page) mailPart(rw http.ResponseWriter, r *http.Request) {
	list := p.cfg.Mailbox.Messages()
	seq, _ := strconv.Atoi(r.PathValue("seq"))
	i := slices.IndexFunc(list, func(m mailbox.Message) bool { return m.Seq == seq })
	if i < 0 {
		writeError(rw, notFound("unknown mail "+strconv.Quote(r.PathValue("seq"))))
		return
	}
	m := list[i]
	what := r.PathValue("what")
	n, err := strconv.Atoi(r.PathValue("n"))
	switch {
	case what == "html" && m.HTML != "":
		serve(rw, r, "mail.html", "text/html; charset=utf-8", []byte(m.HTML))
	case what == "raw":
		serve(rw, r, "mail.eml", "text/plain; charset=utf-8", m.Raw)
	case what == "" && err == nil && n >= 0 && n < len(m.Attachments):
		a := m.Attachments[n]
		serve(rw, r, a.Name, a.Type, a.Content)
	default:
		writeError(rw, notFound("the mail does not have this part"))
	}
}

// invitation contains the properties of a calendar event that a mail program
// shows.
type invitation struct {
	Method      string    `json:"method"`
	Summary     string    `json:"summary"`
	Description string    `json:"description,omitempty"`
	Location    string    `json:"location,omitempty"`
	Start       time.Time `json:"start,omitzero"`
	End         time.Time `json:"end,omitzero"`
	Organizer   string    `json:"organizer,omitempty"`
	Attendees   []string  `json:"attendees,omitempty"`
	Rule        string    `json:"rule,omitempty"` // RRULE
	UID         string    `json:"uid"`
	Sequence    string    `json:"sequence,omitempty"`
}

// readInvitation parses the first event of an iCalendar object (RFC 5545). Times
// without a known time zone are read as UTC. It never returns nil.
func readInvitation(raw []byte) *invitation {
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	text = strings.NewReplacer("\n ", "", "\n\t", "").Replace(text) // join folded lines
	in := &invitation{}
	var open []string // open components, innermost last
	for line := range strings.SplitSeq(text, "\n") {
		head, value, ok := cutContent(line)
		if !ok {
			continue
		}
		params := strings.Split(head, ";")
		name := strings.ToUpper(params[0])
		switch inside := strings.Join(open, "/"); {
		case name == "BEGIN":
			open = append(open, strings.ToUpper(value))
		case name == "END" && inside == "VCALENDAR/VEVENT":
			return in
		case name == "END" && len(open) > 0:
			open = open[:len(open)-1]
		case name == "METHOD" && inside == "VCALENDAR":
			in.Method = value
		case inside == "VCALENDAR/VEVENT":
			in.property(name, params[1:], value)
		}
	}
	return in
}

// cutContent splits a content line at the first colon outside quotes.
func cutContent(line string) (head, value string, ok bool) {
	quoted := false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ':' && !quoted:
			return line[:i], line[i+1:], true
		}
	}
	return "", "", false
}

var calendarText = strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`)

func (in *invitation) property(name string, params []string, value string) {
	switch name {
	case "SUMMARY":
		in.Summary = calendarText.Replace(value)
	case "DESCRIPTION":
		in.Description = calendarText.Replace(value)
	case "LOCATION":
		in.Location = calendarText.Replace(value)
	case "UID":
		in.UID = value
	case "SEQUENCE":
		in.Sequence = value
	case "RRULE":
		in.Rule = value
	case "DTSTART":
		in.Start = calendarTime(params, value)
	case "DTEND":
		in.End = calendarTime(params, value)
	case "ORGANIZER":
		in.Organizer = calendarPerson(params, value)
	case "ATTENDEE":
		in.Attendees = append(in.Attendees, calendarPerson(params, value))
	}
}

func param(params []string, name string) string {
	for _, p := range params {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(k, name) {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

func calendarPerson(params []string, value string) string {
	address := value
	if len(value) > 7 && strings.EqualFold(value[:7], "mailto:") {
		address = value[7:]
	}
	if name := param(params, "CN"); name != "" && name != address {
		return name + " <" + address + ">"
	}
	return address
}

func calendarTime(params []string, value string) time.Time {
	zone, err := time.LoadLocation(param(params, "TZID"))
	if err != nil {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if t, err := time.ParseInLocation(layout, value, zone); err == nil {
			return t
		}
	}
	return time.Time{}
}
