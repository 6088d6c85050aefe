package response

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// channelEffects are the effects that need the incident's channel. They are
// skipped if there is none because opening it was discarded or no chat provider
// is configured.
var channelEffects = []incident.EffectKind{incident.EffectInvite, incident.EffectPost, incident.EffectAskSign, incident.EffectAskConsult,
	incident.EffectUpload, incident.EffectArchive, incident.EffectRemove, incident.EffectReplaceChannel, incident.EffectCard, incident.EffectTopic}

// publicEffects are the effects that may reach anyone in the company. Of a
// restricted incident they receive no texts, only [publicView].
var publicEffects = []incident.EffectKind{incident.EffectAnnounce, incident.EffectPage, incident.EffectPageAck, incident.EffectPageResolve}

// documentEffects are the effects about a written document.
var documentEffects = []incident.EffectKind{incident.EffectUpload, incident.EffectAnnouncePostmortem, incident.EffectMailPostmortem}

// brief collects and redacts the data for the handler of an effect. attempt is 1
// the first time.
func (s *session) brief(e incident.Effect, attempt int) (incident.Brief, error) {
	b := incident.Brief{Directory: s.dir, Now: s.now, Attempt: attempt, Mark: e.Key}
	if e.Kind == incident.EffectAgenda {
		var err error
		if b.Agenda, err = s.agenda(); err != nil {
			return b, err
		}
		b.SuppressedAlerts, err = s.agendaAlerts(s.now.Add(-dismissalLookback))
		return redactedCopy(s.d.Redact, b), err
	}
	switch e.Kind {
	case incident.EffectAcknowledgeReport:
		return s.ackBrief(e, b)
	case incident.EffectNotice, incident.EffectMailNotice, incident.EffectHandover, incident.EffectMailHandover:
		return b, nil
	}
	dr, err := s.draft(e.Incident)
	if err != nil {
		return b, err
	}
	b.Incident = dr.inc
	if e.Kind != incident.EffectRemove { // which needs the account of the person
		b.Directory = b.Incident.Reachable(b.Directory)
	}
	if !e.Refresh {
		if b.Event, err = s.event(e); err != nil {
			return b, err
		}
	}
	if slices.Contains(documentEffects, e.Kind) {
		doc, err := s.tx.Document(e.Incident, intArg(e, "revision"))
		if err != nil {
			return b, fmt.Errorf("read the postmortem: %w", err)
		}
		b.Document = &doc
	}
	if slices.Contains(publicEffects, e.Kind) && b.Incident.Restricted {
		b.Incident, b.Event.Texts = publicView(b.Incident), nil
	}
	if b.Event.Audience == incident.AudienceLegalSecurity {
		b.Event.Texts = nil
	}
	return redactedCopy(s.d.Redact, b), nil
}

// event loads the event that produced an effect.
func (s *session) event(e incident.Effect) (incident.Event, error) {
	event, err := s.tx.Event(e.Incident, e.Seq)
	if err != nil {
		return incident.Event{}, fmt.Errorf("read event %d of %s: %w", e.Seq, e.Incident, err)
	}
	return event, nil
}

// publicView returns the part of a restricted incident that anyone may see.
func publicView(i incident.Incident) incident.Incident {
	return incident.Incident{ID: i.ID, Status: i.Status, Severity: i.Severity, Restricted: true, OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt,
		Paging: i.Paging, Links: i.Links, Head: i.Head}
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
	n, _ := strconv.Atoi(e.Args[name]) // effects.go wrote it
	return n
}
