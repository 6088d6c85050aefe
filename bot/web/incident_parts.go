package web

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// entries is the timeline on the page of an incident.
type entries struct {
	Groups  []entryGroup
	Topics  []tab
	Topic   string
	Total   int
	Earlier int // entries that the page leaves out
}

// entryGroup is one act of a person or another event to be seen, or several entries of the
// bot's bookkeeping, which the page folds.
type entryGroup struct {
	Folded bool
	Lines  []entry
}

// entry is an event of the timeline.
type entry struct {
	Seq        int
	At         time.Time
	Line, Text string
	Late       bool // recorded long after it happened
	Recorded   time.Time
	Restricted bool
}

// maxEntries is the number of entries that the page shows without a filter.
const maxEntries = 200

// entriesOf returns the timeline that an address selects, the newest entry first.
func entriesOf(v incident.View, query url.Values) entries {
	f := incident.TimelineFilter{Topic: query.Get("topic"), Person: incident.PersonID(query.Get("person"))}
	out := entries{Topic: f.Topic, Total: len(v.Timeline)}
	path := incidentPath(v.Incident.ID)
	out.Topics = []tab{{"All", path + "#timeline", f.Topic == ""}}
	for _, topic := range incident.TimelineTopics() {
		if slices.ContainsFunc(v.Timeline, incident.TimelineFilter{Topic: topic}.Matches) {
			out.Topics = append(out.Topics, tab{strings.ToUpper(topic[:1]) + topic[1:], path + "?topic=" + topic + "#timeline", f.Topic == topic})
		}
	}
	all := query.Get("all") != ""
	shown := 0
	for n := len(v.Timeline) - 1; n >= 0; n-- {
		e := v.Timeline[n]
		if !f.Matches(e) {
			continue
		}
		if shown++; shown > maxEntries && !all {
			out.Earlier++
			continue
		}
		folded := f.Topic == "" && isBookkeeping(e)
		if last := len(out.Groups) - 1; last < 0 || !folded || !out.Groups[last].Folded {
			out.Groups = append(out.Groups, entryGroup{Folded: folded})
		}
		g := &out.Groups[len(out.Groups)-1]
		g.Lines = append(g.Lines, newEntry(e, v.Directory))
	}
	return out
}

// isBookkeeping reports whether an event is of the bot alone and no milestone.
func isBookkeeping(e incident.Event) bool {
	return e.By == "" && e.Kind.Milestone() == "" && e.Field("status") == ""
}

func newEntry(e incident.Event, dir incident.Directory) entry {
	line, written := templates.Phrase(e, dir)
	return entry{Seq: e.Seq, At: e.HappenedAt, Line: line, Text: strings.TrimSpace(written), Recorded: e.RecordedAt, Late: e.RecordedAt.Sub(e.HappenedAt) > time.Minute,
		Restricted: e.Audience == incident.AudienceLegalSecurity}
}

// recordData is the closing record on the page of an incident.
type recordData struct {
	Parts      []recordPart
	Missing    []string
	Confirmed  int
	Total      int
	Frozen     bool
	Revision   int
	Digest     string
	Signatures []departmentLine
}

// recordPart is a part of the closing record, or its draft.
type recordPart struct {
	Label, Text string
	Draft       bool
	By          string
	At          time.Time
}

// departmentLine is a department with its signature, or without one.
type departmentLine struct {
	Department string
	Who        string // signed it, or can
	At         time.Time
	How        string
}

// recordOf returns the record as it is submitted, or else as it is written so far.
func recordOf(v incident.View) recordData {
	inc := v.Incident
	d := recordData{Total: len(incident.RecordParts()), Confirmed: inc.Record.ConfirmedParts()}
	record := inc.Record
	if sub := inc.Submission; sub != nil {
		d.Frozen, d.Revision, d.Digest, record = true, sub.Document.Revision, sub.Digest, sub.Document.Record
		for _, team := range incident.RequiredDepartments() {
			line := departmentLine{Department: string(team)}
			if sig := inc.SignedBy(team); sig != nil {
				line.Who, line.At, line.How = v.Directory.Name(sig.By), sig.At, sig.Method()
			}
			d.Signatures = append(d.Signatures, line)
		}
	}
	for n, part := range incident.RecordParts() {
		p := recordPart{Label: part.Label, Text: strings.TrimSpace(record.Get(part.Name))}
		switch {
		case p.Text != "":
			if by, at, edited := incident.PartEdit(v.Timeline, part.Name); edited {
				p.By, p.At = v.Directory.Name(by), at
			}
		case d.Frozen || n >= len(v.Draft):
			continue
		case v.Draft[n].Text != "":
			p.Text, p.Draft = v.Draft[n].Text, true
		default:
			if part.Required {
				d.Missing = append(d.Missing, part.Label+": "+v.Draft[n].Missing+".")
			}
			continue
		}
		d.Parts = append(d.Parts, p)
	}
	return d
}
