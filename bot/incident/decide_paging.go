package incident

import (
	"maps"
	"slices"
	"time"
)

// page is said right before a page goes out, and committed before the call:
// whether a page may start is decided here, under the incident's lock, and
// nowhere else.
func (j *decider) page() error {
	p := j.inc.Paging
	if !j.inc.NeedsPage() || j.cmd.Round != p.Round {
		return Conflict("no page is owed for %s", PageKey(j.inc.ID, j.cmd.Round))
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

// pageFailed is said once for each route of a round; the next route goes at once.
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

// pageTimeout is said when a route's time is up. Past the last route a new
// round begins: a page is owed for as long as nobody has it.
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

// AckTimeoutAt is when the acknowledgement lapses if the commander stays silent;
// false while there is nothing to lapse.
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
		return Invalid("alert", "an alert is missing")
	}
	a := *j.cmd.Alert
	fresh := !slices.ContainsFunc(j.inc.Alerts, func(r AlertRef) bool { return r.Kind == a.Kind })
	if slices.ContainsFunc(j.inc.Alerts, func(r AlertRef) bool { return r.Alert == a.Alert }) {
		return nil
	}
	j.attached(a)
	j.startRuns(j.cmd.Runs)
	if j.cmd.Severity.MoreSevereThan(j.inc.Severity) {
		if err := j.severity(j.cmd.Severity, "raised by an alert of the kind "+a.Kind); err != nil {
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

// count is said at the 10th, 100th, ... copy; the counter itself is no history.
func (j *decider) count() error {
	if j.cmd.Alert == nil {
		return Invalid("alert", "an alert is missing")
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
