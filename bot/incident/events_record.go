package incident

import (
	"slices"
	"strings"
)

// The kinds of events about the closing record.
const (
	EventRecordEdited       EventKind = "record_edited"
	EventSubmitted          EventKind = "submitted"
	EventSigned             EventKind = "signed"
	EventSignatureWithdrawn EventKind = "signature_withdrawn"
	EventSignaturesVoided   EventKind = "signatures_voided"
	EventAmended            EventKind = "amended"
	EventObjected           EventKind = "objected"
	EventObjectionClosed    EventKind = "objection_closed"
	EventApproved           EventKind = "approved"
	EventRevised            EventKind = "revised"
	EventSignersReminded    EventKind = "signers_reminded"
)

var recordEvents = eventTable{
	EventRecordEdited: {
		fields:     "audience confirmed_drafts language",
		repeatable: true,
		apply:      (*Incident).applyRecordEdited,
		effects:    effects{refreshCard},
		sentence:   sayRecordEdited,
		lane:       laneSignOff,
		minor:      true,
	},
	EventSubmitted: {
		fields:  "digest events head revision",
		apply:   (*Incident).applySubmission,
		effects: effects{inviteSigners, postEvent, askSigners, messageSigners, repeatConsult, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("%s submitted revision %s of the closing record for signing%s", e.By, e.literal("revision"), e.detail(" (%s)", "digest"))
		},
		lane:      laneSignOff,
		milestone: "Record submitted",
	},
	EventSigned: {
		fields: "attestation_version department deputy digest document schema submitter",
		apply: func(i *Incident, e Event) {
			i.Signatures = append(slices.DeleteFunc(i.Signatures, func(s Signature) bool { return s.Department == e.department() }), SignatureOf(e))
		},
		effects:   effects{refreshCard, refreshSignoff},
		sentence:  saySigned,
		lane:      laneSignOff,
		milestone: "Signed",
	},
	EventSignatureWithdrawn: {
		fields: "department digest",
		apply: func(i *Incident, e Event) {
			i.Signatures = slices.DeleteFunc(i.Signatures, func(s Signature) bool { return s.Department == e.department() })
		},
		effects: effects{postEvent, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("%s withdrew the signature of %s", e.By, e.department())
		},
		text: "reason",
		lane: laneSignOff,
	},
	EventSignaturesVoided: {
		fields:  "digest signatures",
		apply:   func(i *Incident, _ Event) { i.unfreeze() },
		effects: effects{postEvent, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("The closing record changed. Signatures voided: %d", e.number("signatures"))
		},
		text:      "reason",
		hint:      "The record changed, so its signatures are void.",
		lane:      laneSignOff,
		milestone: "Signatures voided",
	},
	EventAmended: {
		fields:    "digest",
		apply:     func(i *Incident, _ Event) { i.unfreeze() },
		effects:   effects{postEvent, refreshCard, refreshSignoff},
		sentence:  say("%s reopened the closing record to amend it. Its signatures are void"),
		text:      "reason",
		lane:      laneSignOff,
		milestone: "Record amended",
	},
	EventObjected: {
		fields:     "department digest objection",
		repeatable: true,
		apply: func(i *Incident, e Event) {
			i.Objections = append(i.Objections, Objection{ID: e.Field("objection"), Department: e.department(), By: e.By, At: e.RecordedAt, Reason: e.Text("reason"), Digest: e.Field("digest")})
		},
		effects: effects{postEvent, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("%s objected for %s (%s)", e.By, e.department(), e.literal("objection"))
		},
		text:      "reason",
		lane:      laneSignOff,
		milestone: "Objection",
		item:      func(e Event) string { return "objection/" + e.Field("objection") },
	},
	EventSignersReminded: {
		fields:   "department request stage",
		effects:  effects{messageReminded},
		sentence: sayReminded,
		lane:     laneSignOff,
		minor:    true,
	},
	EventObjectionClosed: {
		fields:  "how objection",
		apply:   (*Incident).applyObjectionClosed,
		effects: effects{refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			if e.Field("how") == "amended" {
				return Say("Objection %s was closed by amending the record", e.literal("objection"))
			}
			return Say("%s withdrew objection %s", e.By, e.literal("objection"))
		},
		text: "reason",
		lane: laneSignOff,
	},
	EventApproved: {
		fields:  "digest revision",
		apply:   func(i *Incident, e Event) { i.Approved = e.number("revision") },
		effects: effects{writePostmortem, postEvent, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("Every required department signed. Revision %s of the closing record is approved", e.literal("revision"))
		},
		hint:         "Every department has signed. The record is approved, and Tocsin is writing the postmortem.",
		announcement: "The closing record of %s (%s) is approved.",
		lane:         laneSignOff,
		milestone:    "Approved",
	},
	EventRevised: {
		fields: "digest events head revision",
		apply: func(i *Incident, e Event) {
			i.applySubmission(e)
			i.Review = Review{}
		},
		effects: effects{inviteSigners, postEvent, askSigners, messageSigners, repeatConsult, refreshCard, refreshSignoff},
		sentence: func(e Event) Sentence {
			return Say("%s submitted revision %s of the closing record, which supersedes the signed one%s", e.By, e.literal("revision"), e.detail(" (%s)", "digest"))
		},
		text:      "reason",
		lane:      laneSignOff,
		milestone: "Record revised",
	},
}

// SignatureOf returns the signature that an event of the kind [EventSigned] recorded.
func SignatureOf(e Event) Signature {
	return Signature{Department: e.department(), By: e.By, At: e.RecordedAt, Kind: e.Field("document"), Schema: e.Field("schema"),
		Digest: e.Field("digest"), Attestation: e.Text("attestation"), AttestationVersion: e.Field("attestation_version"), Auth: e.Auth,
		Via: e.Via, Through: e.Field("through"), SecondFactor: e.is("second_factor"), Proof: e.Proof(), Deputy: e.is("deputy"), Submitter: e.is("submitter")}
}

func (i *Incident) applyRecordEdited(e Event) {
	for _, f := range RecordFields() {
		if t, ok := e.Texts[f.Name]; ok {
			i.Record.set(f.Name, t.Value)
		}
		if v := e.Field(f.Name); v != "" {
			i.Record.set(f.Name, v)
		}
	}
}

func (i *Incident) applyObjectionClosed(e Event) {
	for n := range i.Objections {
		if o := &i.Objections[n]; o.ID == e.Field("objection") {
			o.Closed, o.How = e.RecordedAt, e.Field("how")
		}
	}
}

// unfreeze discards the submission and its signatures.
func (i *Incident) unfreeze() { i.Submission, i.Signatures = nil, nil }

// applySubmission freezes the record. It rebuilds the document from the state, and
// takes head and digest from the event, where an erased text cannot change them.
func (i *Incident) applySubmission(e Event) {
	revision := e.number("revision")
	doc := i.document(revision)
	doc.Head, doc.Events = e.Field("head"), e.number("events")
	i.Revision = revision
	i.Signatures = nil
	i.Submission = &Submission{By: e.By, At: e.RecordedAt, Digest: e.Field("digest"), Document: doc}
	for n := range i.Postmortems {
		i.Postmortems[n].Superseded = true
	}
}

// sayRecordEdited names the fields that changed, and the drafts that were confirmed. The
// record has their text.
func sayRecordEdited(e Event) Sentence {
	var changed, confirmed Labels
	drafts := splitList[string](e.Field("confirmed_drafts"))
	for _, f := range RecordFields() {
		_, text := e.Texts[f.Name]
		switch {
		case slices.Contains(drafts, f.Name):
			confirmed = append(confirmed, strings.ToLower(f.Label))
		case text || e.Field(f.Name) != "":
			changed = append(changed, strings.ToLower(f.Label))
		}
	}
	switch {
	case len(changed)+len(confirmed) == 0:
		return Say("%s edited the closing record", e.By)
	case len(changed) == 0:
		return Say("%s confirmed drafts of the closing record: %s", e.By, confirmed)
	case len(confirmed) == 0:
		return Say("%s edited the closing record: %s", e.By, changed)
	}
	return Say("%s edited the closing record: %s. Drafts confirmed: %s", e.By, changed, confirmed)
}

func saySigned(e Event) Sentence {
	team, digest := e.department(), e.detail(" (%s)", "digest")
	switch deputy, submitter := e.is("deputy"), e.is("submitter"); {
	case deputy && submitter:
		return Say("%s signed for %s as deputy, having submitted the record%s", e.By, team, digest)
	case deputy:
		return Say("%s signed for %s as deputy%s", e.By, team, digest)
	case submitter:
		return Say("%s signed for %s, having submitted the record%s", e.By, team, digest)
	}
	return Say("%s signed for %s%s", e.By, team, digest)
}

func inviteSigners(c effectBuilder) []Effect {
	return c.invite(c.representatives(RequiredDepartments()...))
}

func askSigners(c effectBuilder) []Effect {
	var out []Effect
	for _, team := range RequiredDepartments() {
		out = append(out, c.ask(EffectAskSign, team))
	}
	return out
}

// repeatConsult repeats the question to teams that have not answered.
func repeatConsult(c effectBuilder) []Effect {
	var out []Effect
	for _, consulted := range c.inc.Consultations {
		if !consulted.Answered() {
			out = append(out, c.ask(EffectAskConsult, consulted.Team))
		}
	}
	return out
}

func writePostmortem(c effectBuilder) []Effect {
	return []Effect{c.effect(EffectWritePostmortem, c.revision())}
}
