package incident

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// The kinds of events about paging.
const (
	EventAcknowledged   EventKind = "acknowledged"
	EventAckTimedOut    EventKind = "acknowledgement_timed_out"
	EventRoundStarted   EventKind = "round_started" // a paging round starts
	EventPageStarted    EventKind = "page_started"  // committed before the pager is called
	EventPaged          EventKind = "paged"
	EventPageFailed     EventKind = "page_failed"
	EventPageUnanswered EventKind = "page_unanswered"
)

var pagingEvents = eventTable{
	EventAcknowledged: {
		fields: "round",
		apply: func(i *Incident, e Event) {
			i.Paging.AcknowledgedBy, i.Paging.AcknowledgedAt, i.Paging.LastAction = e.By, e.RecordedAt, e.RecordedAt
			i.Paging.AcknowledgedSeverity = i.Severity
		},
		effects:   effects{acknowledgePages, timeAcknowledgement, updatePager, postEvent, editSeverityCalls, refreshCard, refreshChecklist},
		sentence:  say("%s acknowledged the incident"),
		text:      "text",
		lane:      laneResponse,
		milestone: "Acknowledged",
	},
	EventAckTimedOut: {
		fields: "person",
		apply: func(i *Incident, e Event) {
			i.Paging.AcknowledgedBy, i.Paging.AcknowledgedSeverity = "", ""
			i.setRole(Commander, "")
			delete(i.Here, e.person("person"))
		},
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The acknowledgement by %s timed out without further activity", e.person("person"))
		},
		lane:      laneResponse,
		milestone: "Acknowledgement timed out",
	},
	EventRoundStarted: {
		fields:   "escalation_step restore round started_at",
		apply:    (*Incident).applyRoundStarted,
		effects:  effects{pageNextStep, timeAbsence, refreshCard},
		sentence: func(e Event) Sentence { return Say("Paging round %s started", e.literal("round")) },
		text:     "reason",
		lane:     laneCommunication,
		minor:    true,
	},
	EventPageStarted: {
		fields: "escalation_step round",
		apply:  (*Incident).applyPageStarted,
		sentence: func(e Event) Sentence {
			step, round := e.escalationStep()
			return Say("Paging of escalation step %d started (round %d)", step, round)
		},
		lane:  laneCommunication,
		minor: true,
	},
	EventPaged: {
		fields:  "escalation_step round",
		effects: effects{acknowledgeLatePage, refreshCard},
		sentence: func(e Event) Sentence {
			step, round := e.escalationStep()
			return Say("Escalation step %d was paged (round %d)", step, round)
		},
		lane: laneCommunication,
	},
	EventPageFailed: {
		fields:  "escalation_step next round",
		apply:   (*Incident).applyPageFailed,
		effects: effects{pageNextStep, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			step, round := e.escalationStep()
			return Say("The page to escalation step %d failed (round %d)", step, round)
		},
		text: "reason",
		lane: laneCommunication,
	},
	EventPageUnanswered: {
		fields:  "escalation_step next round",
		apply:   (*Incident).applyNextStep,
		effects: effects{pageNextStep, postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			step, round := e.escalationStep()
			return Say("Escalation step %d did not acknowledge the page in time (round %d)", step, round)
		},
		lane: laneCommunication,
	},
}

func (i *Incident) applyRoundStarted(e Event) {
	if round := e.number("round"); round > i.Paging.Round+1 {
		i.RoundGaps = append(slices.Clone(i.RoundGaps), RoundGap{i.Paging.Round, round})
	}
	i.Paging = Paging{Round: e.number("round"), Restore: int64(e.number("restore")), StartedAt: parseInstant(e.Field("started_at")), EscalationStepAt: e.RecordedAt, LastAction: i.Paging.LastAction}
}

func (i *Incident) applyPageStarted(e Event) {
	page := PageRef{Round: e.number("round"), EscalationStep: e.number("escalation_step")}
	if p := &i.Paging; page.Round == p.Round {
		p.Started = append(p.Started, page.EscalationStep)
	}
	i.Pages = append(i.Pages, page)
}

func (i *Incident) applyPageFailed(e Event) {
	if p := &i.Paging; e.number("round") == p.Round {
		p.Failed = append(p.Failed, e.number("escalation_step"))
	}
	i.applyNextStep(e)
}

// applyNextStep starts the next escalation step, if the event names one of the
// current round.
func (i *Incident) applyNextStep(e Event) {
	if p := &i.Paging; e.Field("next") != "" && e.number("round") == p.Round {
		p.EscalationStep, p.EscalationStepAt = e.number("next"), e.RecordedAt
	}
}

// escalationStep returns the escalation step and the round of an event. Steps count
// from 1 for people.
func (e Event) escalationStep() (step, round int) {
	return e.number("escalation_step") + 1, e.number("round")
}

// pageNextStep builds the page of the next escalation step and its deadline. Their keys
// contain round and step, so each page is sent once even if several events
// require it.
func pageNextStep(c effectBuilder) []Effect {
	step := c.event.Field("next")
	if c.event.Kind == EventRoundStarted {
		step = c.event.Field("escalation_step")
	}
	round := c.event.Field("round")
	if step == "" || round != strconv.Itoa(c.inc.Paging.Round) {
		return nil
	}
	page := c.effect(EffectPage, map[string]string{"round": round, "escalation_step": step})
	page.Key = PageRef{atoi(round), atoi(step)}.Key(c.inc.ID)
	timeout := c.deadline(Command{Verb: VerbPageTimeout, Round: atoi(round), EscalationStep: atoi(step)}, c.env.Now.Add(c.env.Policy.EscalateAfter),
		fmt.Sprintf("%s/escalation_timer/%s/%s", c.inc.ID, round, step))
	page.Urgent, timeout.Urgent = true, true
	return []Effect{page, timeout}
}

// withdrawPages builds one effect for every page that started, because a page of an
// earlier round may still be open at the pager. A round without a recorded page, such as
// one of an earlier version, has one effect for all pagers.
func (c effectBuilder) withdrawPages(kind EffectKind) []Effect {
	var out []Effect
	for _, round := range c.inc.pagedRounds() {
		found := false
		for _, page := range c.inc.Pages {
			if page.Round == round {
				found = true
				out = append(out, c.withdrawPage(kind, page))
			}
		}
		if !found {
			n := strconv.Itoa(round)
			e := c.effect(kind, map[string]string{"round": n}, n)
			e.Urgent = true
			out = append(out, e)
		}
	}
	return out
}

// withdrawPage builds the effect that ends one page.
func (c effectBuilder) withdrawPage(kind EffectKind, page PageRef) Effect {
	round, step := strconv.Itoa(page.Round), strconv.Itoa(page.EscalationStep)
	e := c.effect(kind, map[string]string{"round": round, "escalation_step": step}, round, step)
	e.Urgent = true
	return e
}

func acknowledgePages(c effectBuilder) []Effect { return c.withdrawPages(EffectPageAck) }
func resolvePages(c effectBuilder) []Effect     { return c.withdrawPages(EffectPageResolve) }

// updatePager builds the update of the current page at the pager, if there is one. The
// updates have their own lane, so the latest title stays.
func updatePager(c effectBuilder) []Effect {
	if len(c.inc.Pages) == 0 {
		return nil
	}
	e := c.effect(EffectPagerUpdate, nil)
	e.Lane = c.inc.ID.String() + "/pager"
	return []Effect{e}
}

// acknowledgeLatePage acknowledges or resolves a page that was sent after the incident
// stopped needing one. The acknowledgement may have reached the pager before the
// page.
func acknowledgeLatePage(c effectBuilder) []Effect {
	step, round := c.event.escalationStep()
	return c.inc.withdrawLatePage(c.event.Seq, PageRef{round, step - 1})
}

// WithdrawLatePage returns the effects that end a page that may have reached the pager
// although the incident no longer needs it. page is the effect of the page.
func (i Incident) WithdrawLatePage(page Effect, now time.Time) []Effect {
	out := i.withdrawLatePage(page.Seq, PageRef{atoi(page.Args["round"]), atoi(page.Args["escalation_step"])})
	for n := range out {
		out[n].After = now // its age counts from now, not from the start of the round
	}
	return out
}

// withdrawLatePage returns the effect for a page that the event seq is about, if the
// incident does not need one.
func (i Incident) withdrawLatePage(seq int, page PageRef) []Effect {
	kind := EffectPageAck
	switch {
	case i.NeedsPage():
		return nil
	case !i.Status.Responding():
		kind = EffectPageResolve
	}
	c := effectBuilder{inc: i, event: Event{Seq: seq}}
	return []Effect{c.withdrawPage(kind, page)}
}

// timeAcknowledgement builds the deadline of the acknowledgement, once per round.
// Activity of the commander or of the person who acknowledged moves it.
func timeAcknowledgement(c effectBuilder) []Effect {
	at, ok := c.inc.ackTimeoutAt(c.env.Policy)
	if !ok {
		return nil
	}
	round := c.inc.Paging.Round
	e := c.deadline(Command{Verb: VerbAckTimeout, Round: round}, at, fmt.Sprintf("%s/ack_timer/%d", c.inc.ID, round))
	e.Urgent = true
	return []Effect{e}
}

// timeAcknowledgementAgain builds the deadline of the acknowledgement after the
// severity was raised without a new round. The first one may have passed while the
// severity was sev3 or sev4.
func timeAcknowledgementAgain(c effectBuilder) []Effect {
	if c.event.severity("from").MoreSevereThan(Sev3) {
		return nil
	}
	out := timeAcknowledgement(c)
	for n := range out {
		out[n].Key += "/" + strconv.Itoa(c.event.Seq)
	}
	return out
}
