package response

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// loadedBrief is the data for the handler of an effect, before redaction. Only
// [Desk.outgoing] makes a brief of it.
type loadedBrief struct {
	brief      incident.Brief
	postmortem *Postmortem // for effects about a document
	digest     string      // of its record
}

// outgoing returns the brief and the effect as handlers receive them. Every handler may
// reach an outside system, so every text is redacted, and only then documents are
// rendered: escapes of a format would hide texts from the redactor. It is the only way
// to a handler.
func (d *Desk) outgoing(l loadedBrief, e incident.Effect) (incident.Brief, incident.Effect, error) {
	l.brief.Document = nil
	b := redactedCopy(d.Redact, l.brief)
	if l.postmortem != nil {
		doc, err := d.render(redactedCopy(d.Redact, *l.postmortem), l.digest)
		if err != nil {
			return b, e, err
		}
		doc = redactedCopy(d.Redact, doc) // the renderer adds words around the texts
		b.Document, b.Withheld = &doc, l.postmortem.Withheld
	}
	if e.Incident == 0 {
		args := make(map[string]string, len(e.Args))
		for name, value := range e.Args {
			args[name] = d.Redact.Text(value)
		}
		e.Args = args
	}
	return b, e, nil
}

// brief collects the data for the handler of an effect. attempt is 1 the first time.
func (s *session) brief(e incident.Effect, attempt int) (loadedBrief, error) {
	b := incident.Brief{Directory: s.dir, Now: s.now, Attempt: attempt, Mark: e.Key}
	var err error
	switch e.Kind {
	case incident.EffectAgenda:
		if b.Agenda, err = s.agenda(); err != nil {
			return loadedBrief{}, err
		}
		if b.BreakGlass, err = s.listBreakGlass(e.Key); err != nil {
			return loadedBrief{}, err
		}
		b.SuppressedAlerts, err = s.agendaAlerts(s.now.Add(-dismissalLookback))
	case incident.EffectAcknowledgeReport:
		b, err = s.ackBrief(e, b)
	case incident.EffectNotice, incident.EffectMailNotice, incident.EffectPageNotice, incident.EffectHandover, incident.EffectMailHandover,
		incident.EffectTestPage, incident.EffectTestPageEnd, incident.EffectRemindActions, incident.EffectMailRemindActions:
	case incident.EffectAnnounceMaintenance:
		var m incident.MaintenanceWindow
		m, _, err = s.announcedWindow(e)
		b.Maintenance = &m
	default:
		return s.incidentBrief(e, b)
	}
	return loadedBrief{brief: b}, err
}

// incidentBrief adds the incident, its event and the document of an effect, as the
// recipients of the effect may read them.
func (s *session) incidentBrief(e incident.Effect, b incident.Brief) (loadedBrief, error) {
	b.Policy = s.d.Policy
	l := loadedBrief{brief: b}
	dr, err := s.draft(e.Incident)
	if err != nil {
		return l, err
	}
	b.Incident, b.Page = dr.inc, s.d.pageInfo(dr.inc)
	if e.Kind == incident.EffectPage {
		if b.Page.Note, err = s.restoreNote(e.Incident); err != nil {
			return l, err
		}
	}
	if e.Kind == incident.EffectCard {
		waits, err := waitsOf(s.tx, e.Incident)
		if err != nil {
			return l, err
		}
		if dr.inc.Status.Closing() {
			editors, err := editorsOf(s.tx, e.Incident, s.now)
			if err != nil {
				return l, err
			}
			for _, editor := range editors {
				b.Editors = append(b.Editors, editor.Editor)
			}
		}
		b.Waiting = slices.DeleteFunc(waits, func(w incident.WaitingEffect) bool { return w.ID == e.ID || !w.Visible(s.now) })
	}
	if e.Kind != incident.EffectRemove { // which needs the account of the person
		b.Directory = b.Incident.Reachable(b.Directory)
	}
	privileged := recipientsMayReadPrivileged(e.Kind, dr.inc)
	document := e.Kind.HasDocument()
	if !e.Refresh {
		if b.Event, err = s.event(e); err != nil {
			return l, err
		}
	}
	if document || dr.inc.MayHavePrivileged() && !privileged {
		timeline, err := s.tx.Timeline(e.Incident)
		if err != nil {
			return l, fmt.Errorf("read the timeline of %s: %w", e.Incident, err)
		}
		if !privileged {
			b.Incident, _, b.Withheld = incident.WithholdPrivileged(e.Incident, timeline)
		}
		if document {
			doc, err := s.tx.Document(e.Incident, intArg(e, "revision"))
			if err != nil {
				return l, fmt.Errorf("read the postmortem: %w", err)
			}
			p, err := postmortemOf(e.Incident, timeline, s.dir, intArg(e, "revision"), privileged)
			if err != nil {
				return l, err
			}
			l.postmortem, l.digest = &p, doc.Digest
		}
	}
	switch {
	case !b.Incident.Restricted:
	case e.Kind.IsPublic():
		b.Incident, b.Event.Texts = publicView(b.Incident), nil
	case e.Kind.IsApproved(): // the event has the approved words
		b.Incident = publicView(b.Incident)
	}
	if b.Event.IsPrivileged() && !privileged {
		b.Event.Texts = nil
	}
	l.brief = b
	return l, nil
}

// recipientsMayReadPrivileged reports whether everyone who receives an effect may read
// texts for legal and security only. Channels have other members, and so has every
// distribution list. Only the mail of a postmortem for these two departments goes to
// their representatives alone.
func recipientsMayReadPrivileged(kind incident.EffectKind, inc incident.Incident) bool {
	record := inc.Record
	if inc.Submission != nil {
		record = inc.Submission.Document.Record
	}
	return kind == incident.EffectMailPostmortem && record.Audience == incident.AudienceLegalSecurity
}

// event loads the event that produced an effect.
func (s *session) event(e incident.Effect) (incident.Event, error) {
	events, err := s.tx.Timeline(e.Incident, e.EventSeq())
	if err != nil {
		return incident.Event{}, fmt.Errorf("read event %d of %s: %w", e.Seq, e.Incident, err)
	}
	if len(events) == 0 {
		return incident.Event{}, nil // the effect belongs to no event
	}
	return events[0], nil
}

// publicView returns the part of a restricted incident that anyone may see.
func publicView(i incident.Incident) incident.Incident {
	return incident.Incident{ID: i.ID, Origin: i.Origin, Status: i.Status, Severity: i.Severity, Restricted: true, OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt,
		Paging: i.Paging, Pages: i.Pages, Links: i.Links, Head: i.Head, Privileged: []int{}}
}

// dismissalLookback is how far back the review agenda looks for dismissed
// incidents.
const dismissalLookback = 7 * 24 * time.Hour

// agenda lists the incidents for the review meeting: with an approved closing
// record, or dismissed since the last meeting. Restricted incidents have no
// title.
func (s *session) agenda() ([]incident.Summary, error) {
	rows, err := s.tx.Summaries(incident.Filter{Statuses: []incident.Status{incident.Approved, incident.Dismissed}, Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("list incidents for review: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r incident.Summary) bool {
		return r.Status == incident.Dismissed && r.UpdatedAt.Before(s.now.Add(-dismissalLookback))
	})
	for n := range rows {
		if rows[n].Restricted {
			rows[n].Title = ""
		}
	}
	return rows, nil
}

// intArg returns a numeric argument of an effect, or 0.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name]) // written by package incident
	return n
}
