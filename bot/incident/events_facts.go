package incident

import (
	"slices"
	"strings"
)

// The kinds of events that record facts and evidence.
const (
	EventFactSet         EventKind = "fact_set"
	EventEvidence        EventKind = "evidence_added"
	EventEvidenceHashed  EventKind = "evidence_hashed"  // the file was downloaded for its hash
	EventEvidenceChanged EventKind = "evidence_changed" // the original was edited or deleted
)

var factEvents = eventTable{
	EventFactSet: {
		fields:     "capacity count fact notified_at value",
		repeatable: true,
		apply:      (*Incident).applyFact,
		effects:    effects{inviteCounsel, postEvent, refreshCard},
		sentence:   sayFact,
		text:       "reason",
		lane:       laneResponse,
		item:       func(e Event) string { return "fact/" + e.Field("fact") + "/" + e.Field("regime") + e.Text("who") },
	},
	EventEvidence: {
		fields:     "author evidence file message sha256",
		repeatable: true,
		apply:      (*Incident).applyEvidence,
		effects:    effects{postEvidence, hashFile, refreshCard},
		sentence:   sayEvidence,
		text:       "text",
		lane:       laneResponse,
		item:       func(e Event) string { return "evidence/" + e.Field("evidence") },
	},
	EventEvidenceHashed: {
		fields:   "evidence sha256 size",
		apply:    (*Incident).applyEvidenceHashed,
		sentence: sayEvidenceHashed,
		text:     "reason",
		lane:     laneResponse,
		minor:    true,
	},
	EventEvidenceChanged: {
		fields:   "evidence how person sha256",
		apply:    (*Incident).applyEvidenceChanged,
		effects:  effects{postEvent, refreshCard},
		sentence: sayEvidenceChanged,
		text:     "text",
		lane:     laneResponse,
		item:     func(e Event) string { return "evidence/" + e.Field("evidence") },
	},
}

// suspectsPersonalData reports whether an event records that personal data is suspected or
// confirmed.
func suspectsPersonalData(e Event) bool {
	v := PersonalData(e.Field("value"))
	return e.Field("fact") == string(FactPersonalData) && (v == PersonalSuspected || v == PersonalConfirmed)
}

// inviteCounsel invites legal before the message that asks them to decide.
func inviteCounsel(c effectBuilder) []Effect {
	if !suspectsPersonalData(c.event) {
		return nil
	}
	return c.invite(c.representatives(Legal))
}

// LacksAwareness reports whether personal data is suspected or confirmed, and legal has not
// recorded under the GDPR when the company became aware.
func (i Incident) LacksAwareness() bool {
	c, ok := i.ReportingClock()
	return ok && c.Aware.IsZero()
}

func (i *Incident) applyFact(e Event) {
	set := Instant{At: parseInstant(e.Field("value")), SetAt: e.RecordedAt, By: e.By, Reason: e.Text("reason")}
	switch FactName(e.Field("fact")) {
	case FactOccurred:
		i.Facts.Occurred = &set
	case FactDetected:
		i.Facts.Detected = &set
	case FactClassified:
		i.Facts.Classified = &set
	case FactAware:
		if i.Facts.Aware == nil {
			i.Facts.Aware = map[string]Instant{}
		}
		i.Facts.Aware[e.Field("regime")] = set
	case FactPersonalData:
		i.applyPersonalData(PersonalData(e.Field("value")), e.By)
	case FactTimeZone:
		i.Facts.TimeZone = e.Field("value")
	case FactLanguage:
		i.Facts.Language, i.Record.Language = e.Field("value"), e.Field("value")
	case FactAffected:
		next := Affected{Who: e.Text("who"), Capacity: Capacity(e.Field("capacity")), Count: e.number("count"), NotifiedAt: parseInstant(e.Field("notified_at")), By: e.By, Reason: e.Text("reason")}
		i.Facts.Affected = slices.DeleteFunc(i.Facts.Affected, func(a Affected) bool { return a.Who == next.Who })
		i.Facts.Affected = append(i.Facts.Affected, next)
	}
}

// applyPersonalData sets the fact personal_data, its peak and who lowered the
// suspicion.
func (i *Incident) applyPersonalData(v PersonalData, by PersonID) {
	was := i.Facts.PersonalData
	i.PeakPersonalData = i.peakPersonalData()
	if i.Facts.PersonalData = v; v.moreSeriousThan(i.PeakPersonalData) {
		i.PeakPersonalData = v
	}
	if (was == PersonalSuspected || was == PersonalConfirmed) && was.moreSeriousThan(v) {
		i.recordLowering(by)
	}
}

func sayFact(e Event) Sentence {
	value, at := e.Field("value"), e.stated("value")
	switch FactName(e.Field("fact")) {
	case FactOccurred:
		return Say("%s recorded that the incident began at %s", e.By, at)
	case FactDetected:
		return Say("%s recorded that the incident was detected at %s", e.By, at)
	case FactClassified:
		return Say("%s recorded that the incident was classified at %s", e.By, at)
	case FactAware:
		return Say("%s recorded that the company is aware under %s since %s", e.By, Literal(strings.ToUpper(e.Field("regime"))), at)
	case FactPersonalData:
		return Say("%s set personal data to %s", e.By, value)
	case FactAffected:
		return sayAffected(e)
	}
	return Say("%s set %s to %s", e.By, e.Field("fact"), Literal(value))
}

func sayAffected(e Event) Sentence {
	who, capacity := e.quoted("who"), e.Field("capacity")
	count, notified := e.number("count"), e.stated("notified_at")
	switch {
	case count > 0 && !notified.IsZero():
		return Say("%s added the affected party “%s” (we are the %s), %s, notified at %s", e.By, who, capacity, Literal(PeopleCount(count)), notified)
	case count > 0:
		return Say("%s added the affected party “%s” (we are the %s), %s", e.By, who, capacity, Literal(PeopleCount(count)))
	case !notified.IsZero():
		return Say("%s added the affected party “%s” (we are the %s), notified at %s", e.By, who, capacity, notified)
	}
	return Say("%s added the affected party “%s” (we are the %s)", e.By, who, capacity)
}

func sayEvidence(e Event) Sentence {
	id, name, where, sum := e.literal("evidence"), e.quoted("name"), e.quoted("where"), e.detail(", SHA-256 %s", "sha256")
	switch {
	case e.Field("message") != "":
		return Say("%s added a message of %s as evidence %s%s", e.By, e.author(), id, sum)
	case e.Field("file") != "":
		return Say("%s added the file “%s” as evidence %s", e.By, name, id)
	case where != "":
		return Say("%s added evidence %s, “%s”, stored in “%s”%s", e.By, id, name, where, sum)
	}
	return Say("%s added evidence %s, “%s”%s", e.By, id, name, sum)
}
