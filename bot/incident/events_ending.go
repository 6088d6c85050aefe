package incident

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// The kinds of events that end an incident or move its alerts to another.
const (
	EventDismissProposed EventKind = "dismissal_proposed"
	EventDismissed       EventKind = "dismissed"
	EventMergedInto      EventKind = "merged_into" // in the incident that ends
	EventMergedFrom      EventKind = "merged_from" // in the incident that continues
	EventSplitInto       EventKind = "split_into"  // in the incident that gave alerts away
	EventSplitFrom       EventKind = "split_from"  // in the incident that the alerts opened
)

var endingEvents = eventTable{
	EventDismissProposed: {
		apply: func(i *Incident, e Event) {
			i.Dismissal = &Dismissal{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
		},
		effects:  effects{postEvent, refreshCard},
		sentence: say("%s proposed to dismiss the incident as a false alarm"),
		text:     "reason",
		hint:     "A second, independent person must confirm the dismissal. One of the two must be from security.",
		lane:     laneResponse,
	},
	EventDismissed: {
		fields: "person",
		apply: func(i *Incident, e Event) {
			i.Dismissal = &Dismissal{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
			if first := e.person("person"); first != "" {
				i.Dismissal.By, i.Dismissal.Second = first, e.By
			}
		},
		effects: effects{announceIncident, resolvePages, channelEffect(EffectArchive), refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence {
			if e.Field("person") != "" {
				return Say("%s and %s dismissed the incident as a false alarm", e.person("person"), e.By)
			}
			if e.Field("personal_data") == string(PersonalNo) {
				return Say("%s dismissed the incident as a false alarm without personal data", e.By)
			}
			return Say("%s dismissed the incident as a false alarm", e.By)
		},
		text:         "reason",
		announcement: "%s (%s) was dismissed as a false alarm.",
		broadcast:    true,
		lane:         laneResponse,
	},
	EventMergedInto: {
		fields:  "target",
		apply:   func(i *Incident, e Event) { i.MergedInto, _ = ParseID(e.Field("target")) },
		effects: effects{announceIncident, resolvePages, channelEffect(EffectArchive), refreshCard, refreshChecklist},
		sentence: func(e Event) Sentence {
			return Say("%s merged this incident into %s", e.By, e.literal("target"))
		},
		text:         "reason",
		announcement: "%s (%s) was merged into another incident.",
		broadcast:    true,
		lane:         laneResponse,
	},
	EventMergedFrom: {
		fields:  "contained_at lowered_by lowered_from named peak_personal_data peak_severity source",
		apply:   (*Incident).applyMergedFrom,
		effects: effects{inviteMerged, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s merged %s into this incident", e.By, e.literal("source"))
		},
		text: "reason",
		lane: laneDetection,
	},
	EventSplitInto: {
		fields:  "alerts target",
		apply:   (*Incident).applySplitInto,
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s moved alerts to the new incident %s", e.By, e.literal("target"))
		},
		text: "reason",
		lane: laneDetection,
	},
	EventSplitFrom: {
		fields:  "contained_at lowered_by lowered_from named peak_personal_data peak_severity source",
		apply:   (*Incident).applySplitFrom,
		effects: effects{inviteMerged, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s split this incident from %s", e.By, e.literal("source"))
		},
		text: "reason",
		lane: laneDetection,
	},
}

func (i *Incident) applyMergedFrom(e Event) {
	if id := e.TakenFrom(); id != 0 {
		i.MergedFrom = append(i.MergedFrom, id)
	}
	i.takeAlerts(e)
}

func (i *Incident) applySplitFrom(e Event) {
	if id := e.TakenFrom(); id != 0 {
		i.SplitFrom = id
	}
	i.takeAlerts(e)
}

// TakenFrom returns the incident that a merge or split took alerts from, or 0.
func (e Event) TakenFrom() ID {
	if e.Kind != EventMergedFrom && e.Kind != EventSplitFrom {
		return 0
	}
	id, _ := ParseID(e.Field("source")) // written by Decide
	return id
}

// takeAlerts takes over the alerts of another incident with its properties.
func (i *Incident) takeAlerts(e Event) {
	var alerts []AlertRef
	_ = json.Unmarshal([]byte(e.Text("alerts")), &alerts) // fails if the text was erased, which is acceptable
	i.Alerts = append(i.Alerts, alerts...)
	i.inherit(e)
}

// applySplitInto removes the alerts that moved to another incident.
func (i *Incident) applySplitInto(e Event) {
	gone := splitList[string](e.Field("alerts"))
	i.Alerts = slices.DeleteFunc(i.Alerts, func(a AlertRef) bool { return slices.Contains(gone, strconv.FormatInt(a.Alert, 10)) })
	if id, err := ParseID(e.Field("target")); err == nil {
		i.SplitInto = append(i.SplitInto, id)
	}
}

// inherit takes over the properties of the incident that a merge or split
// took alerts from: see [Incident.inheritedFields].
func (i *Incident) inherit(e Event) {
	i.setContainedAt(parseInstant(e.Field("contained_at")))
	if was := e.severity("peak_severity"); was.MoreSevereThan(i.PeakSeverity) {
		i.PeakSeverity = was
	}
	if was := PersonalData(e.Field("peak_personal_data")); was.moreSeriousThan(i.peakPersonalData()) {
		i.PeakPersonalData = was
	}
	for _, p := range splitList[PersonID](e.Field("lowered_by")) {
		i.recordLowering(p)
	}
	for _, pair := range splitList[string](e.Field("named")) { // ended delegations, for [Independent]
		from, to, _ := strings.Cut(pair, ">")
		g := Delegation{From: PersonID(from), To: PersonID(to), Until: e.RecordedAt}
		i.Delegations = append(slices.DeleteFunc(i.Delegations, func(have Delegation) bool { return have == g }), g)
	}
	if from := e.severity("lowered_from"); from.MoreSevereThan(i.LoweredFrom) && from.MoreSevereThan(i.Severity) {
		i.LoweredFrom = from
	}
}

// inviteMerged invites the participants of the other incident of a merge or
// split.
func inviteMerged(c effectBuilder) []Effect { return c.invite(c.participants(c.takenFrom)) }
