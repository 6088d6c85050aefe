package templates

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// postmortemPage is the data of the postmortem templates. Its strings are not
// escaped, because each template escapes them for its format.
type postmortemPage struct {
	ID, Title, Severity      string
	Audience, Language, Zone string
	Revision                 int
	Superseded               []datedLine
	Digest                   string
	Submitted                byline
	Written                  timestamp
	Overview                 []labelValue
	Sections                 []section
	Facts                    []fact
	Alerts                   []datedLine
	Playbooks                []datedLine
	Evidence                 []evidence
	Signed                   []timelineDay
	Signatures               []signature
	Objections               []objection
	Consultations            []consultation
	Updates                  []sentUpdate
	Actions                  []action
	Review                   *review
	Appendix                 []timelineDay
	Events                   int
	Head                     string
	Checkpoint               string // signed text, or ""
	Canonical                string // JSON of the record, or "" if it contains texts that are not in the copy
	LeftOut                  string // sentence about withheld texts, or ""
	TimelineSVG              timelineSVG
}

type (
	labelValue struct{ Label, Value, Note string }
	datedLine  struct{ At, Text string }
	section    struct{ Label, Text string }
	byline     struct {
		By string
		At timestamp
	}
	fact      struct{ Name, Value, Reason, By string }
	evidence  struct{ ID, Name, Where, SHA256, Changes, By, At string }
	signature struct {
		byline
		Department, Auth, Sentence, Digest string
		Deputy, Submitter                  bool
	}
	objection struct {
		byline
		ID, Department, Reason, Digest, Closed string
	}
	consultation struct {
		Team, ConsultedAt, Answer string
		Blocking                  bool
		byline
	}
	sentUpdate struct {
		byline
		ID, Corrects, Approval, Text string
		Recipients                   []string
	}
	action      struct{ ID, Kind, Title, Owner, Due, Done string }
	review      struct{ At, Concluded, Attendance, Decisions, Waiver, EarlyReason string }
	timelineDay struct {
		Date string
		Rows []timelineRow
	}
	timelineRow struct {
		Seq               int
		UTC, Local        string
		Line, Text        string
		Recorded          string // time of recording, if it is at least a minute later
		Minor, Restricted bool   // less important, or not for the audience
	}
)

// timestamp is a time in UTC and in the zone of the incident. Local is "" if the
// zone is UTC.
type timestamp struct{ UTC, Local string }

func (w timestamp) String() string {
	if w.Local == "" {
		return w.UTC
	}
	return w.UTC + " (" + w.Local + ")"
}

const restrictedText = "Recorded, restricted to legal and security."

// pageBuilder builds a [postmortemPage] from its input.
type pageBuilder struct {
	Input
	zone           *time.Location // nil if the zone is UTC
	showRestricted bool           // the audience is legal and security
	hidden         map[string]bool
}

func newPage(in Input) postmortemPage {
	sub := in.Incident.Submission
	doc := sub.Document
	w := pageBuilder{Input: in, showRestricted: doc.Record.Audience == incident.AudienceLegalSecurity && in.Withheld == 0}
	if z, err := time.LoadLocation(doc.Facts.TimeZone); err == nil && doc.Facts.TimeZone != "" && z != time.UTC {
		w.zone = z
	}
	w.collectRestricted()
	p := postmortemPage{ID: in.Incident.Origin.Marked(in.Incident.ID.String()), Title: oneLine(in.Incident.Title), Severity: string(doc.Severity),
		Audience: audience(doc.Record.Audience), Language: doc.Record.Language,
		Revision: doc.Revision, Digest: sub.Digest, Submitted: w.byline(sub.By, sub.At), Written: w.timestamp(in.Written),
		Events: doc.Events, Head: doc.Head, Canonical: string(doc.Canonical()), Checkpoint: in.Checkpoint}
	if w.zone != nil {
		p.Zone = doc.Facts.TimeZone
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(w.hidden)), func(k string) bool { return strings.HasPrefix(k, "fact/") }) || doc.Digest() != sub.Digest {
		p.Canonical = ""
	}
	p.LeftOut = LeftOut(max(in.Withheld, w.countRestricted()))
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			p.Sections = append(p.Sections, section{f.Label, cleanText(doc.Record.Get(f.Name))})
		}
	}
	for _, old := range in.Incident.Postmortems {
		if old.Revision < doc.Revision {
			p.Superseded = append(p.Superseded, datedLine{formatUTC(old.At), "revision " + itoa(old.Revision) + ", " + old.Digest})
		}
	}
	signed, later := w.splitTimeline()
	p.Overview = w.overview(doc, signed)
	p.Facts = w.facts(doc.Facts)
	p.Alerts, p.Playbooks, p.Evidence = w.alerts(), w.playbooks(), w.evidence()
	p.Signatures, p.Objections, p.Consultations = w.signatures(sub.Digest), w.objections(), w.consultations()
	p.Updates = w.updates()
	p.Actions, p.Review = w.actions(), w.review()
	p.Signed, p.Appendix = w.days(signed), w.days(later)
	p.TimelineSVG = w.drawTimeline(in.Timeline)
	return p
}

// splitTimeline returns the signed part of the timeline and the later events, each
// sorted by the time of the event.
func (w pageBuilder) splitTimeline() (signed, later []incident.Event) {
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

// isRestricted reports whether the audience of the document must not read e.
func (w pageBuilder) isRestricted(e incident.Event) bool {
	return e.Audience == incident.AudienceLegalSecurity && !w.showRestricted
}

// countRestricted returns the number of events with texts that the audience must not
// read.
func (w pageBuilder) countRestricted() int {
	n := 0
	for _, e := range w.Timeline {
		if w.isRestricted(e) && len(e.Texts) > 0 {
			n++
		}
	}
	return n
}

// LeftOut returns the sentence about texts that are for legal and security only, or "".
func LeftOut(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 note for legal and security was left out."
	}
	return itoa(n) + " notes for legal and security were left out."
}

// collectRestricted collects the keys of the items that restricted events added.
// The state of the incident repeats these items, so the page must hide them there.
func (w *pageBuilder) collectRestricted() {
	w.hidden = map[string]bool{}
	for _, e := range w.Timeline {
		if item := e.Item(); item != "" && w.isRestricted(e) {
			w.hidden[item] = true
		}
	}
}

// textOrRestricted returns text, or restrictedText if a restricted event added the
// item with this key.
func (w pageBuilder) textOrRestricted(key, text string) string {
	if w.hidden[key] {
		return restrictedText
	}
	return cleanText(text)
}

func (w pageBuilder) timestamp(t time.Time) timestamp {
	if t.IsZero() {
		return timestamp{UTC: "not set"}
	}
	out := timestamp{UTC: formatUTC(t)}
	if w.zone != nil {
		out.Local = localClock(t.In(w.zone), t.UTC())
	}
	return out
}

// localClock returns a local time beside its UTC time, with the date if the two differ.
func localClock(local, utc time.Time) string {
	if local.Format(time.DateOnly) != utc.Format(time.DateOnly) {
		return local.Format("2006-01-02 15:04 MST")
	}
	return local.Format("15:04 MST")
}

func (w pageBuilder) byline(by incident.PersonID, at time.Time) byline {
	return byline{By: personName(w.Directory, by), At: w.timestamp(at)}
}

func (w pageBuilder) days(events []incident.Event) []timelineDay {
	var out []timelineDay
	for _, e := range events {
		at := e.HappenedAt.UTC()
		if date := at.Format("Monday, 2 January 2006"); len(out) == 0 || out[len(out)-1].Date != date {
			out = append(out, timelineDay{Date: date})
		}
		r := timelineRow{Seq: e.Seq, UTC: at.Format("15:04:05"), Minor: e.Kind.Minor()}
		if w.zone != nil {
			r.Local = localClock(at.In(w.zone), at)
		}
		if late := e.RecordedAt.Sub(e.HappenedAt); late >= time.Minute {
			r.Recorded = "recorded " + formatUTC(e.RecordedAt)
		}
		if stated := e.Stated(e.HappenedAt); incident.HasZone(stated) && stated.Equal(e.HappenedAt) && e.RecordedAt.Sub(e.HappenedAt) >= time.Minute {
			r.Recorded = "stated as " + incident.TimeText(stated) + ", " + r.Recorded
		}
		if w.isRestricted(e) {
			r.Line, r.Restricted = restrictedText, true
		} else {
			r.Line, r.Text = w.eventLine(e)
		}
		d := &out[len(out)-1]
		d.Rows = append(d.Rows, r)
	}
	return out
}

// eventLine returns the line of an event. A short text is part of the line, a long
// one is returned separately.
func (w pageBuilder) eventLine(e incident.Event) (line, text string) {
	line, text = phrase(e, w.Directory)
	text = strings.Trim(cleanText(text), "\n ")
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
	return "Responders and the signing departments"
}
