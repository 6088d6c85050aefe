package incident

import (
	"encoding/json"
	"slices"
	"strconv"
)

// The kinds of events about providers that are distrusted.
const (
	EventDistrusted      EventKind = "distrusted"       // acts through a provider were undone
	EventSeparated       EventKind = "separated"        // a merge was undone, in the incident that had continued
	EventChangeConfirmed EventKind = "change_confirmed" // a person confirmed a change through the provider, or undid it
)

var distrustEvents = eventTable{
	EventDistrusted: {
		fields: "answers changes distrusted fell kept_access kept_delegations kept_lowered_by kept_roles lapsed lowered_from objections record removed " +
			"signatures since undone",
		apply:        (*Incident).applyDistrusted,
		effects:      effects{announceReturned, resolvePages, removeFallen, askSignAgain, postEvent, refreshCard, refreshChecklist, refreshSignoff},
		sentence:     sayDistrusted,
		text:         "reason",
		lane:         laneResponse,
		milestone:    "Provider distrusted",
		announcement: "%s (%s) is open again, because acts in it came through a provider that is distrusted.",
	},
	EventSeparated: {
		fields:  "alerts source",
		apply:   (*Incident).applySeparated,
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s is separate from this incident again, because the merge came through a distrusted provider", e.literal("source"))
		},
		text: "reason",
		lane: laneDetection,
	},
	EventChangeConfirmed: {
		fields:  "confirmed how",
		apply:   (*Incident).applyChangeConfirmed,
		effects: effects{refreshCard},
		sentence: func(e Event) Sentence {
			if e.Field("how") == "undone" {
				return Say("%s undid changes that came through a distrusted provider: events %s", e.By, e.literal("confirmed"))
			}
			return Say("%s confirmed changes that came through a distrusted provider: events %s", e.By, e.literal("confirmed"))
		},
		text: "text",
		lane: laneResponse,
	},
}

// applyDistrusted removes the acts that do not count from the incident.
func (i *Incident) applyDistrusted(e Event) {
	i.applyKept(e)
	var changes []DistrustedChange
	_ = json.Unmarshal([]byte(e.Field("changes")), &changes) // written by Decide
	i.DistrustedChanges = append(slices.Clip(i.DistrustedChanges), changes...)
	switch next := Status(e.Field("status")); {
	case next == "":
	case next.Responding() && !i.Status.Responding():
		i.MergedInto, i.Unfinished, i.Calls = 0, nil, nil
		i.Dismissal, i.Review = nil, Review{}
	}
	if e.Field("record") == "reopened" {
		i.unfreeze()
		i.Review = Review{}
	}
}

// applyKept applies the fields about people, signatures and proposals.
func (i *Incident) applyKept(e Event) {
	*i = i.clone()
	if data := e.Field("kept_access"); data != "" {
		var kept keptAccess
		_ = json.Unmarshal([]byte(data), &kept) // written by Decide
		i.Access, i.AccessUntil, i.Revoked, i.AccessRequests, i.BreakGlass = kept.Access, kept.Until, kept.Revoked, kept.Requests, kept.Glass
	}
	if data := e.Field("kept_delegations"); data != "" {
		i.Delegations = nil
		_ = json.Unmarshal([]byte(data), &i.Delegations) // written by Decide
	}
	if data := e.Field("kept_roles"); data != "" {
		i.Roles = nil
		_ = json.Unmarshal([]byte(data), &i.Roles) // written by Decide
		i.Commander = i.Roles[Commander]
	}
	if data := e.Field("kept_lowered_by"); data != "" {
		i.LoweredBy, i.LoweredFrom = nil, e.severity("lowered_from")
		_ = json.Unmarshal([]byte(data), &i.LoweredBy) // written by Decide
	}
	if e.Field("lapsed") != "" {
		i.Paging.AcknowledgedBy, i.Paging.AcknowledgedSeverity = "", ""
	}
	teams := splitList[Department](e.Field("signatures"))
	i.Signatures = slices.DeleteFunc(i.Signatures, func(s Signature) bool { return slices.Contains(teams, s.Department) })
	answers := splitList[Department](e.Field("answers"))
	for n := range i.Consultations {
		if c := &i.Consultations[n]; slices.Contains(answers, c.Team) {
			*c = Consultation{Team: c.Team, Blocking: c.Blocking, AskedBy: c.AskedBy, AskedAt: c.AskedAt}
		}
	}
	objections := splitList[string](e.Field("objections"))
	for n := range i.Objections {
		if o := &i.Objections[n]; slices.Contains(objections, o.ID) {
			*o = Objection{ID: o.ID, Department: o.Department, By: o.By, At: o.At, Reason: o.Reason, Digest: o.Digest}
		}
	}
	i.applyFell(splitList[string](e.Field("fell")))
}

// applyFell drops proposals and decisions of a review.
func (i *Incident) applyFell(names []string) {
	for _, name := range names {
		switch r := &i.Review; name {
		case "dismissal":
			i.Dismissal = nil
		case "erasure":
			i.Erasure = nil
		case "conclusion":
			*r = Review{At: r.At, Waiver: r.Waiver, WaivedBy: r.WaivedBy, EndorsedBy: r.EndorsedBy}
		case "waiver":
			r.Waiver, r.WaivedBy, r.EndorsedBy = "", "", ""
		case "endorsement":
			r.EndorsedBy = ""
		}
	}
}

// applySeparated takes the alerts of the other incident out of this one.
func (i *Incident) applySeparated(e Event) {
	gone := splitList[string](e.Field("alerts"))
	i.Alerts = slices.DeleteFunc(i.Alerts, func(a AlertRef) bool { return slices.Contains(gone, strconv.FormatInt(a.Alert, 10)) })
	if id, err := ParseID(e.Field("source")); err == nil {
		i.MergedFrom = slices.DeleteFunc(i.MergedFrom, func(have ID) bool { return have == id })
	}
}

func (i *Incident) applyChangeConfirmed(e Event) {
	seqs := parseRanges(e.Field("confirmed"))
	i.DistrustedChanges = slices.DeleteFunc(slices.Clone(i.DistrustedChanges), func(c DistrustedChange) bool { return slices.Contains(seqs, c.Seq) })
}

// sayDistrusted names everything that was undone, and the number of changes that people must confirm.
func sayDistrusted(e Event) Sentence {
	provider, since := e.literal("distrusted"), parseInstant(e.Field("since"))
	undone := e.undoneLabels()
	n := len(e.DistrustedChanges())
	switch {
	case len(undone) == 0:
		return Say("%s is distrusted since %s. Changes from there to confirm or undo: %d", provider, since, n)
	case n == 0:
		return Say("%s is distrusted since %s. Tocsin undid: %s", provider, since, undone)
	}
	return Say("%s is distrusted since %s. Tocsin undid: %s. Changes from there to confirm or undo: %d", provider, since, undone, n)
}

// DistrustedChanges returns the changes that a distrust lists.
func (e Event) DistrustedChanges() []DistrustedChange {
	var changes []DistrustedChange
	_ = json.Unmarshal([]byte(e.Field("changes")), &changes) // written by Decide
	return changes
}

// undoneLabels names the acts that the event undid.
func (e Event) undoneLabels() Labels {
	var out Labels
	add := func(label, field string) {
		if e.Field(field) != "" {
			out = append(out, label)
		}
	}
	add("the acknowledgement", "lapsed")
	for _, team := range splitList[Department](e.Field("signatures")) {
		out = append(out, "the signature of "+string(team))
	}
	for _, team := range splitList[Department](e.Field("answers")) {
		out = append(out, "the answer of "+string(team))
	}
	for _, id := range splitList[string](e.Field("objections")) {
		out = append(out, "the withdrawal of "+id)
	}
	for _, name := range splitList[string](e.Field("fell")) {
		out = append(out, map[string]string{"dismissal": "the dismissal", "erasure": "the proposal to erase texts", "conclusion": "the conclusion of the review",
			"waiver": "the waiver", "endorsement": "the endorsement of the waiver"}[name])
	}
	add("changes of access", "kept_access")
	add("changes of roles", "kept_roles")
	add("changes of delegations", "kept_delegations")
	if s := e.Field("status"); s != "" {
		out = append(out, "changes of the status")
	}
	if len(out) == 0 && e.Field("undone") != "" {
		out = append(out, "events "+e.Field("undone"))
	}
	return out
}

// announceReturned announces an incident that people believed to be over.
func announceReturned(c effectBuilder) []Effect {
	if c.event.Field("status") == "" || !c.inc.Status.Responding() {
		return nil
	}
	return announceIncident(c)
}

// removeFallen removes the people from the channel who could read the incident only through the provider.
func removeFallen(c effectBuilder) []Effect {
	var out []Effect
	for _, p := range splitList[PersonID](c.event.Field("removed")) {
		e := c.inChannel(EffectRemove, map[string]string{"person": string(p)}, string(p))
		e.Ahead = c.inc.Links[LinkChannel] != ""
		out = append(out, e)
	}
	return out
}
