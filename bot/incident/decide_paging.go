package incident

import (
	"maps"
	"slices"
	"time"
)

// page records that a page starts. The caller commits it before it calls the
// pager. The decision is made only here, while the incident is locked.
func (j *decider) page() error {
	p := j.inc.Paging
	if !j.inc.NeedsPage() || j.cmd.Round != p.Round {
		return Conflict("%s does not need a page", PageKey(j.inc.ID, j.cmd.Round))
	}
	if slices.Contains(p.Started, j.cmd.EscalationStep) {
		return nil
	}
	j.emit(EventPageStarted, j.stepFieldsOfRound(), nil)
	return nil
}

func (j *decider) stepFieldsOfRound() fields {
	return fields{"round": num(j.cmd.Round), "escalation_step": num(j.cmd.EscalationStep)}
}

func (j *decider) paged() error {
	j.emit(EventPaged, j.stepFieldsOfRound(), nil)
	return nil
}

// pageFailed records the failure of an escalation step, once per round, and moves
// on to the next step at once.
func (j *decider) pageFailed() error {
	p := j.inc.Paging
	if j.cmd.Round == p.Round && slices.Contains(p.Failed, j.cmd.EscalationStep) {
		return nil
	}
	f := j.stepFieldsOfRound()
	if next := j.cmd.EscalationStep + 1; j.inc.NeedsPage() && j.cmd.Round == p.Round && j.cmd.EscalationStep == p.EscalationStep && next < j.env.Policy.EscalationSteps {
		f["next"] = num(next)
	}
	j.emit(EventPageFailed, f, texts{"reason": j.cmd.Text})
	return nil
}

// pageTimeout records that an escalation step was not acknowledged in time and
// moves on to the next step. After the last step it starts a new round: paging
// continues until a responder acknowledges.
func (j *decider) pageTimeout() error {
	p := j.inc.Paging
	if !j.inc.NeedsPage() || j.cmd.Round != p.Round || j.cmd.EscalationStep != p.EscalationStep {
		return nil
	}
	f := j.stepFieldsOfRound()
	next := j.cmd.EscalationStep + 1
	if next < j.env.Policy.EscalationSteps {
		f["next"] = num(next)
	}
	j.emit(EventPageUnanswered, f, nil)
	if next >= j.env.Policy.EscalationSteps {
		j.startRound()
	}
	return nil
}

// AckTimeoutAt returns when the acknowledgement times out if the commander stays
// inactive. It returns false if there is no acknowledgement that can time out.
func (i Incident) AckTimeoutAt(p Policy) (at time.Time, ok bool) {
	if !i.Status.Responding() || !i.Paging.Acknowledged() || p.AckTimeout <= 0 || i.Severity != Sev1 && i.Severity != Sev2 {
		return at, false
	}
	return i.Paging.LastAction.Add(p.AckTimeout), true
}

func (j *decider) ackTimeout() error {
	at, ok := j.inc.AckTimeoutAt(j.env.Policy)
	if !ok || j.env.Now.Before(at) {
		return nil
	}
	j.emit(EventAckTimedOut, fields{"person": string(j.inc.Paging.AcknowledgedBy)}, nil)
	j.startRound()
	return nil
}

func (j *decider) attach() error {
	if j.cmd.Alert == nil {
		return Invalid("alert", "no alert given; name one, such as A17")
	}
	a := *j.cmd.Alert
	fresh := !slices.ContainsFunc(j.inc.Alerts, func(r AlertRef) bool { return r.Kind == a.Kind })
	if slices.ContainsFunc(j.inc.Alerts, func(r AlertRef) bool { return r.Alert == a.Alert }) {
		return nil
	}
	j.attached(a)
	j.startRuns(j.cmd.Runs)
	if j.cmd.Severity.MoreSevereThan(j.inc.Severity) {
		if err := j.severity(j.cmd.Severity, "raised by an alert of kind "+a.Kind); err != nil {
			return err
		}
	}
	if fresh {
		j.voidSubmission("an alert of a new kind arrived")
	}
	return nil
}

func (j *decider) attached(a AlertRef) {
	j.emit(EventAlertAttached, fields{"alert": num(int(a.Alert)), "source": a.Source, "kind": a.Kind, "level": string(a.Level),
		"fingerprint": a.Fingerprint, "at": instant(a.At)}, texts{"title": a.Title, "url": a.URL, "rule": a.Rule, "detail": j.cmd.Text})
}

// count records the 10th, 100th, ... occurrence of an alert. The store holds the
// exact count.
func (j *decider) count() error {
	if j.cmd.Alert == nil {
		return Invalid("alert", "no alert given; name one, such as A17")
	}
	j.emit(EventAlertCounted, fields{"alert": num(int(j.cmd.Alert.Alert)), "count": num(int(j.cmd.Count))}, texts{"title": j.cmd.Alert.Title})
	return nil
}

func (j *decider) sourceNote() error {
	j.emit(EventSourceNoted, fields{"source": j.cmd.By.ID}, texts{"text": j.cmd.Text})
	return nil
}

func (j *decider) link() error {
	for _, name := range slices.Sorted(maps.Keys(j.cmd.Links)) {
		value := j.cmd.Links[name]
		if j.inc.Links[name] == value {
			continue
		}
		kind := EventLinked
		if name == LinkChannel && j.inc.Links[LinkChannel] == "" {
			kind = EventChannelOpened
		}
		j.emit(kind, fields{"name": name, "value": value}, nil)
	}
	return nil
}

func (j *decider) invited() error {
	fresh := slices.DeleteFunc(slices.Clone(j.cmd.People), func(p PersonID) bool { return slices.Contains(j.inc.Access, p) })
	if len(fresh) == 0 {
		return nil
	}
	j.emit(EventInvited, fields{"people": joinPeople(fresh)}, nil)
	return nil
}

func (j *decider) effectFailed() error {
	j.emit(EventEffectFailed, fields{"effect": j.cmd.Effect}, texts{"reason": j.cmd.Text})
	return nil
}
