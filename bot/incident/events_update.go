package incident

import (
	"cmp"
	"strings"
)

// The kinds of events about updates.
const (
	EventUpdated        EventKind = "update_posted"
	EventUpdateApproved EventKind = "update_approved"
	EventUpdateSent     EventKind = "update_sent"
	EventUpdateWithheld EventKind = "update_withheld" // not sent, because the incident became restricted
	EventUpdateDue      EventKind = "update_due"
)

var updateEvents = eventTable{
	EventUpdated: {
		fields:     "audiences corrects statement update update_due",
		repeatable: true,
		apply:      (*Incident).applyUpdated,
		effects:    effects{inviteApprovers, postEvent, askApproval, shareApproved, timeUpdate, refreshCard},
		sentence:   sayUpdated,
		text:       "text",
		lane:       laneCommunication,
	},
	EventUpdateApproved: {
		fields: "audiences update",
		apply: func(i *Incident, e Event) {
			if u := i.Update(e.Field("update")); u != nil {
				u.ApprovedBy, u.ApprovedAt = e.By, e.RecordedAt
			}
		},
		effects: effects{shareUpdate, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("%s approved update %s for %s", e.By, e.literal("update"), e.list("audiences"))
		},
		lane: laneCommunication,
	},
	EventUpdateSent: {
		fields: "audience medium update",
		apply:  (*Incident).applyUpdateSent,
		sentence: func(e Event) Sentence {
			return Say("Update %s was sent to %s by %s", e.literal("update"), e.literal("audience"), e.literal("medium"))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventUpdateWithheld: {
		fields: "audience medium update",
		apply:  (*Incident).applyUpdateSent,
		sentence: func(e Event) Sentence {
			return Say("Update %s was not sent to %s, because the incident became restricted", e.literal("update"), e.literal("audience"))
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventUpdateDue: {
		apply:   func(i *Incident, _ Event) { i.UpdateReminded = true },
		effects: effects{askUpdate, refreshCard},
		sentence: func(Event) Sentence {
			return Say("An update is due")
		},
		lane:  laneCommunication,
		minor: true,
	},
}

// list returns the elements of a field as people read them.
func (e Event) list(field string) Labels { return Labels(splitList[string](e.Field(field))) }

func sayUpdated(e Event) Sentence {
	switch {
	case e.Field("audiences") == "":
		return Say("%s posted a status update", e.By)
	case e.Field("approved_beforehand") != "":
		return Say("%s posted update %s to %s, in words that %s approved beforehand", e.By, e.literal("update"), e.list("audiences"), e.literal("approved_beforehand"))
	case e.Field("corrects") != "":
		return Say("%s wrote %s, a correction of %s, for %s. Another person must approve it", e.By, e.literal("update"), e.literal("corrects"), e.list("audiences"))
	}
	return Say("%s wrote update %s for %s. Another person must approve it", e.By, e.literal("update"), e.list("audiences"))
}

func (i *Incident) applyUpdated(e Event) {
	i.UpdateDue, i.UpdateReminded = parseInstant(e.Field("update_due")), false
	i.Updates = append(i.Updates, Update{ID: cmp.Or(e.Field("update"), "U"+num(len(i.Updates)+1)), Seq: e.Seq, By: e.By, At: e.RecordedAt,
		Audiences: splitList[string](e.Field("audiences")), Corrects: e.Field("corrects"), Statement: e.Field("statement"), ApprovedBeforehand: e.Field("approved_beforehand")})
}

// applyUpdateSent adds an entry to the register of an update.
func (i *Incident) applyUpdateSent(e Event) {
	if u := i.Update(e.Field("update")); u != nil {
		u.Sent = append(u.Sent, UpdateSent{Audience: e.Field("audience"), Medium: e.Field("medium"), At: e.RecordedAt, Withheld: e.Kind == EventUpdateWithheld})
	}
}

// applyUpdateDue sets when the first update is due.
func (i *Incident) applyUpdateDue(e Event) {
	if due := parseInstant(e.Field("update_due")); !due.IsZero() {
		i.UpdateDue, i.UpdateReminded = due, false
	}
}

// timeUpdate builds the reminder of the update that is due next.
func timeUpdate(c effectBuilder) []Effect {
	due := parseInstant(c.event.Field("update_due"))
	if due.IsZero() {
		return nil
	}
	return []Effect{c.deadline(Command{Verb: VerbUpdateTimeout}, due, c.effect(EffectDeadline, nil, "update").Key)}
}

// inviteApprovers invites the people who can approve an update.
func inviteApprovers(c effectBuilder) []Effect {
	if u := c.inc.Update(c.event.Field("update")); u == nil || !u.Waits() {
		return nil
	}
	return c.invite(c.representatives(Communications, Legal))
}

// askApproval asks the people who can approve an update.
func askApproval(c effectBuilder) []Effect {
	if u := c.inc.Update(c.event.Field("update")); u == nil || !u.Waits() {
		return nil
	}
	return []Effect{c.effect(EffectAskApproval, nil)}
}

// shareApproved shares an update whose words were approved beforehand.
func shareApproved(c effectBuilder) []Effect {
	if c.event.Field("approved_beforehand") == "" {
		return nil
	}
	return shareUpdate(c)
}

// shareUpdate builds the messages to the audiences of an approved update, one for each
// audience and medium.
func shareUpdate(c effectBuilder) []Effect {
	u := c.inc.Update(c.event.Field("update"))
	if u == nil {
		return nil
	}
	var out []Effect
	share := func(kind EffectKind, a UpdateAudience) {
		audience := strings.ToLower(a.Name)
		e := c.effect(kind, map[string]string{"update": u.ID, "audience": a.Name, "seq": num(u.Seq)}, audience)
		e.Lane = strings.Join([]string{c.inc.ID.String(), string(kind), audience}, "/")
		if kind == EffectShareUpdate && a.Channel == AnnounceAudience {
			e.Lane = c.announceLane() // a reply in the thread that the first announcement starts
		}
		out = append(out, e)
	}
	for _, name := range u.Audiences {
		a, _ := c.env.Directory.Audience(name)
		if a.Channel != "" {
			share(EffectShareUpdate, a)
		}
		if len(a.Mail) > 0 {
			share(EffectMailUpdate, a)
		}
	}
	return out
}

// askUpdate builds the reminder of the communicator.
func askUpdate(c effectBuilder) []Effect {
	return []Effect{c.effect(EffectAskUpdate, nil)}
}
