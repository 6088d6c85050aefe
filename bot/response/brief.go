package response

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// The effects that speak in an incident's channel. Without one there is
// nothing to speak in: opening it was given up, or nobody is there to do it.
var channelEffects = []incident.EffectKind{incident.EffectInvite, incident.EffectPost, incident.EffectAskSign, incident.EffectAskConsult,
	incident.EffectUpload, incident.EffectArchive, incident.EffectCard, incident.EffectTopic}

// The effects whose readers may be anybody: of a restricted incident they get
// its id and severity, nothing more.
var publicEffects = []incident.EffectKind{incident.EffectAnnounce, incident.EffectPage, incident.EffectPageAck, incident.EffectPageResolve}

// The effects that are about a written document.
var documentEffects = []incident.EffectKind{incident.EffectUpload, incident.EffectAnnouncePostmortem, incident.EffectMailPostmortem}

// brief gathers, and redacts, what an effect's handler may know.
func (s *session) brief(e incident.Effect, attempt int) (incident.Brief, error) {
	b := incident.Brief{Directory: s.dir, Now: s.now, Attempt: attempt, Mark: e.Key}
	if e.Kind == incident.EffectAgenda {
		var err error
		if b.Agenda, err = s.agenda(); err != nil {
			return b, err
		}
		b.SuppressedAlerts, err = s.agendaAlerts(s.now.Add(-dismissalLookback))
		return redacted(s.d.Redact, b), err
	}
	switch e.Kind {
	case incident.EffectAcknowledge:
		return s.ackBrief(e, b)
	case incident.EffectNotice, incident.EffectMailNotice:
		return b, nil
	}
	dr, err := s.draft(e.Incident)
	if err != nil {
		return b, err
	}
	b.Incident = dr.inc
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
	return redacted(s.d.Redact, b), nil
}

// event loads the event that called for an effect.
func (s *session) event(e incident.Effect) (incident.Event, error) {
	event, err := s.tx.Event(e.Incident, e.Seq)
	if err != nil {
		return incident.Event{}, fmt.Errorf("read event %d of %s: %w", e.Seq, e.Incident, err)
	}
	return event, nil
}

// publicView is what anybody may know about a restricted incident.
func publicView(i incident.Incident) incident.Incident {
	return incident.Incident{ID: i.ID, Status: i.Status, Severity: i.Severity, Restricted: true, OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt,
		Paging: i.Paging, Links: i.Links, Head: i.Head}
}

// dismissalLookback is how far back the agenda looks for dismissed incidents.
const dismissalLookback = 7 * 24 * time.Hour

// agenda lists what awaits a review: approved records, and what was called a
// false alarm since the last meeting.
func (s *session) agenda() ([]incident.Summary, error) {
	rows, err := s.tx.Summaries(incident.Filter{Statuses: []incident.Status{incident.Approved, incident.Dismissed}, Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("list what awaits review: %w", err)
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

// intArg reads a number among an effect's arguments.
func intArg(e incident.Effect, name string) int {
	n, _ := strconv.Atoi(e.Args[name]) // written by effects.go
	return n
}
