package incident

import "encoding/json"

// The kinds of events about erasing and retaining the incident.
const (
	EventLegalHoldSet      EventKind = "legal_hold_set"
	EventLegalHoldReleased EventKind = "legal_hold_released"
	EventErasureProposed   EventKind = "erasure_proposed"
	EventErased            EventKind = "texts_erased"
)

var retentionEvents = eventTable{
	EventLegalHoldSet: {
		apply: func(i *Incident, e Event) {
			i.LegalHold = &LegalHold{By: e.By, At: e.RecordedAt, Reason: e.Text("reason")}
		},
		effects:  effects{postEvent},
		sentence: say("%s set a legal hold on this incident"),
		text:     "reason",
		lane:     laneResponse,
	},
	EventLegalHoldReleased: {
		apply:    func(i *Incident, _ Event) { i.LegalHold = nil },
		effects:  effects{postEvent},
		sentence: say("%s released the legal hold"),
		text:     "reason",
		lane:     laneResponse,
	},
	EventErasureProposed: {
		fields: "refs",
		apply: func(i *Incident, e Event) {
			i.Erasure = &Erasure{By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Refs: e.textRefs()}
		},
		effects:    effects{postEvent},
		sentence:   say("%s proposed to erase texts. Legal and security must both agree"),
		text:       "reason",
		hint:       "Legal and security erase together: the other department must now erase the same texts.",
		textInside: true,
		lane:       laneResponse,
	},
	EventErased: {
		fields:  "person refs",
		apply:   func(i *Incident, _ Event) { i.Erasure = nil },
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s and %s erased texts, for legal and security", e.By, e.person("person"))
		},
		text:       "reason",
		textInside: true,
		lane:       laneResponse,
	},
}

// Erases reports whether events of the kind erase texts.
func (k EventKind) Erases() bool { return k == EventErased || k == EventErasureRepeated }

// ErasedTexts returns the texts that the event erases.
func (e Event) ErasedTexts() []TextRef {
	if !e.Kind.Erases() {
		return nil
	}
	return e.textRefs()
}

func (e Event) textRefs() []TextRef {
	var refs []TextRef
	_ = json.Unmarshal([]byte(e.Field("refs")), &refs) // written by Decide
	return refs
}
