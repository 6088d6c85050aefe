package templates

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// page is the postmortem, ready to be laid out. Its strings are raw: each
// template escapes them in its own way.
type page struct {
	ID, Title, Severity      string
	Audience, Language, Zone string
	Revision                 int
	Superseded               []line
	Digest                   string
	Submitted                act
	Written                  when
	Glance                   []pair
	Sections                 []section
	Facts                    []fact
	Alerts                   []line
	Playbooks                []line
	Evidence                 []evidence
	Signed                   []day
	Signatures               []signature
	Objections               []objection
	Consultations            []consultation
	Actions                  []action
	Review                   *review
	Later                    []day
	Events                   int
	Head                     string
	Canonical                string // "" where it holds something restricted
	Drawing                  drawing
}

type (
	pair    struct{ Label, Value, Note string }
	line    struct{ At, Text string }
	section struct{ Label, Text string }
	act     struct {
		By string
		At when
	}
	fact      struct{ Name, Value, Reason, By string }
	evidence  struct{ ID, Name, Where, SHA256, By, At string }
	signature struct {
		act
		Department, Auth, Sentence, Digest string
		Deputy, Submitter                  bool
	}
	objection struct {
		act
		ID, Department, Reason, Digest, Closed string
	}
	consultation struct {
		Team, Asked, Answer string
		Blocking            bool
		act
	}
	action struct{ ID, Kind, Title, Owner, Due, Done string }
	review struct{ At, Concluded, Attendance, Decisions, Exception string }
	day    struct {
		Date string
		Rows []row
	}
	row struct {
		Seq               int
		UTC, Local        string
		Line, Text        string
		Recorded          string // where it was written down later than it happened
		Minor, Restricted bool   // little to see; restricted
	}
)

// when is an instant in both of a reader's clocks.
type when struct{ UTC, Local string }

func (w when) String() string {
	if w.Local == "" {
		return w.UTC
	}
	return w.UTC + " (" + w.Local + ")"
}

const restricted = "Recorded, restricted to legal and security."

// writer makes a page of its input.
type writer struct {
	Input
	zone   *time.Location // nil: UTC alone
	open   bool           // the audience may read what is for legal and security
	hidden map[string]bool
}

func newPage(in Input) page {
	sub := in.Incident.Submission
	doc := sub.Document
	w := writer{Input: in, open: doc.Record.Audience == incident.AudienceLegalSecurity}
	if z, err := time.LoadLocation(doc.Facts.TimeZone); err == nil && doc.Facts.TimeZone != "" && z != time.UTC {
		w.zone = z
	}
	w.collectRestricted()
	p := page{ID: in.Incident.ID.String(), Title: oneLine(in.Incident.Title), Severity: string(doc.Severity),
		Audience: audience(doc.Record.Audience), Language: doc.Record.Language,
		Revision: doc.Revision, Digest: sub.Digest, Submitted: w.act(sub.By, sub.At), Written: w.when(in.Written),
		Events: doc.Events, Head: doc.Head, Canonical: string(doc.Canonical())}
	if w.zone != nil {
		p.Zone = doc.Facts.TimeZone
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(w.hidden)), func(k string) bool { return strings.HasPrefix(k, "fact/") }) {
		p.Canonical = ""
	}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			p.Sections = append(p.Sections, section{f.Label, clean(doc.Record.Get(f.Name))})
		}
	}
	for _, old := range in.Incident.Postmortems {
		if old.Revision < doc.Revision {
			p.Superseded = append(p.Superseded, line{utc(old.At), "revision " + itoa(old.Revision) + ", " + old.Digest})
		}
	}
	signed, later := w.split()
	p.Glance = w.overview(doc, signed)
	p.Facts = w.facts(doc.Facts)
	p.Alerts, p.Playbooks, p.Evidence = w.alerts(), w.playbooks(), w.evidence()
	p.Signatures, p.Objections, p.Consultations = w.signatures(sub.Digest), w.objections(), w.consultations()
	p.Actions, p.Review = w.actions(), w.review()
	p.Signed, p.Later = w.days(signed), w.days(later)
	p.Drawing = w.draw(in.Timeline)
	return p
}

// split tells the signed part of the timeline from the rest, each in the order
// in which things happened.
func (w writer) split() (signed, later []incident.Event) {
	for _, e := range w.Timeline {
		if e.Seq <= w.Incident.Submission.Document.Events {
			signed = append(signed, e)
		} else {
			later = append(later, e)
		}
	}
	byTime := func(a, b incident.Event) int { return a.HappenedAt.Compare(b.HappenedAt) }
	slices.SortStableFunc(signed, byTime)
	slices.SortStableFunc(later, byTime)
	return signed, later
}

// isRestricted reports whether an event is not for the readers of this document.
func (w writer) isRestricted(e incident.Event) bool {
	return e.Audience == incident.AudienceLegalSecurity && !w.open
}

// collectRestricted notes what restricted events brought in, so that it is not shown where
// the state repeats it.
func (w *writer) collectRestricted() {
	w.hidden = map[string]bool{}
	for _, e := range w.Timeline {
		if !w.isRestricted(e) {
			continue
		}
		switch e.Kind {
		case incident.EventEvidence:
			w.hidden["evidence/"+e.Field("evidence")] = true
		case incident.EventFactSet:
			w.hidden["fact/"+e.Field("fact")+"/"+e.Field("regime")+e.Text("who")] = true
		case incident.EventObjected:
			w.hidden["objection/"+e.Field("objection")] = true
		case incident.EventAnswered:
			w.hidden["answer/"+e.Field("department")] = true
		case incident.EventActionAdded:
			w.hidden["action/"+e.Field("action")] = true
		case incident.EventReviewConcluded, incident.EventWaiverProposed:
			w.hidden["review/"] = true
		}
	}
}

// shown is a text, unless it came in with a restricted event.
func (w writer) shown(key, text string) string {
	if w.hidden[key] {
		return restricted
	}
	return clean(text)
}

func (w writer) when(t time.Time) when {
	if t.IsZero() {
		return when{UTC: "not set"}
	}
	out := when{UTC: utc(t)}
	if w.zone != nil {
		l := t.In(w.zone)
		layout := "15:04 MST"
		if l.Format(time.DateOnly) != t.UTC().Format(time.DateOnly) {
			layout = "2006-01-02 15:04 MST"
		}
		out.Local = l.Format(layout)
	}
	return out
}

func (w writer) act(by incident.PersonID, at time.Time) act {
	return act{By: name(w.Directory, by), At: w.when(at)}
}

// minor kinds are there for completeness.
var minor = []incident.EventKind{incident.EventLinked, incident.EventPageStarted, incident.EventStepStarted, incident.EventInvited, incident.EventRoundStarted,
	incident.EventAlertCounted, incident.EventChannelOpened, incident.EventPostmortemShared, incident.EventRecordEdited, incident.EventPlaybookStarted}

func (w writer) days(events []incident.Event) []day {
	var out []day
	for _, e := range events {
		at := e.HappenedAt.UTC()
		if date := at.Format("Monday, 2 January 2006"); len(out) == 0 || out[len(out)-1].Date != date {
			out = append(out, day{Date: date})
		}
		r := row{Seq: e.Seq, UTC: at.Format("15:04:05"), Minor: slices.Contains(minor, e.Kind)}
		if w.zone != nil {
			r.Local = at.In(w.zone).Format("15:04 MST")
		}
		if late := e.RecordedAt.Sub(e.HappenedAt); late >= time.Minute {
			r.Recorded = "recorded " + utc(e.RecordedAt)
		}
		if w.isRestricted(e) {
			r.Line, r.Restricted = restricted, true
		} else {
			r.Line, r.Text = w.words(e)
		}
		d := &out[len(out)-1]
		d.Rows = append(d.Rows, r)
	}
	return out
}

// words returns an event's line. A short text is part of the line, a long one
// goes below it.
func (w writer) words(e incident.Event) (line, text string) {
	line, text = phrase(e, w.Directory)
	text = strings.Trim(clean(text), "\n ")
	if text == "" {
		return line, ""
	}
	if !strings.Contains(text, "\n") && len([]rune(text)) <= 160 {
		return line + ": “" + oneLine(text) + "”", ""
	}
	return line + ":", text
}

func audience(a incident.Audience) string {
	switch a {
	case incident.AudienceAll:
		return "The whole company"
	case incident.AudienceLegalSecurity:
		return "Legal and security only"
	}
	return "Responders and the departments that sign"
}
