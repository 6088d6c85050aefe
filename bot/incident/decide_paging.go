package incident

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// pageAgain pages the chosen people, or starts a new paging round, at any severity. While a round is not
// acknowledged, paging goes on by itself.
func (d *decider) pageAgain() error {
	if d.cmd.Person != "" || d.cmd.Department != "" {
		return d.pagePeople()
	}
	if d.inc.NeedsPage() && !d.inc.NeedsRound(d.env.Restores) {
		return nil
	}
	if !d.inc.Origin.Pages() {
		return Conflict("%s is %s, which pages no one. To exercise paging, replay its deliveries with --drill", d.inc.ID, d.inc.Origin.described())
	}
	d.startRound(d.cmd.Text)
	return nil
}

// page records that a page starts. The caller commits it before it calls the
// pager. The decision is made only here, while the incident is locked.
func (d *decider) page() error {
	p := d.inc.Paging
	if !d.inc.NeedsPage() || d.cmd.Round != p.Round {
		return Conflict("%s does not need a page", PageKey(d.inc.ID, d.cmd.Round))
	}
	if slices.Contains(p.Started, d.cmd.EscalationStep) {
		return nil
	}
	d.emit(EventPageStarted, d.stepFieldsOfRound(), nil)
	return nil
}

func (d *decider) stepFieldsOfRound() fields {
	return fields{"round": num(d.cmd.Round), "escalation_step": num(d.cmd.EscalationStep)}
}

func (d *decider) pageSent() error {
	d.emit(EventPaged, d.stepFieldsOfRound(), nil)
	if !d.inc.Status.Responding() {
		return nil
	}
	d.call(CalledOnCall, "", d.cmd.People)
	d.callResponders()
	return nil
}

// pageFailed records the failure of an escalation step, once per round, and moves
// on to the next step at once.
func (d *decider) pageFailed() error {
	p := d.inc.Paging
	if d.cmd.Round == p.Round && slices.Contains(p.Failed, d.cmd.EscalationStep) {
		return nil
	}
	f := d.stepFieldsOfRound()
	if next := d.cmd.EscalationStep + 1; d.inc.NeedsPage() && d.cmd.Round == p.Round && d.cmd.EscalationStep == p.EscalationStep && next < d.env.Policy.EscalationSteps {
		f["next"] = num(next)
	}
	d.emit(EventPageFailed, f, texts{"reason": d.cmd.Text})
	if f["next"] == "" && d.inc.Status.Responding() {
		d.callResponders()
	}
	return nil
}

// pageTimeout records that an escalation step was not acknowledged in time and
// moves on to the next step. After the last step it starts a new round: paging
// continues until a responder acknowledges.
func (d *decider) pageTimeout() error {
	p := d.inc.Paging
	if !d.inc.NeedsPage() || d.cmd.Round != p.Round || d.cmd.EscalationStep != p.EscalationStep {
		return nil
	}
	f := d.stepFieldsOfRound()
	next := d.cmd.EscalationStep + 1
	if next < d.env.Policy.EscalationSteps {
		f["next"] = num(next)
	}
	d.emit(EventPageUnanswered, f, nil)
	if next >= d.env.Policy.EscalationSteps {
		d.startRound("")
	}
	return nil
}

// ackTimeoutAt returns when the acknowledgement times out if neither the
// commander nor the person who acknowledged is active. It returns false if there is no acknowledgement that can time out.
func (i Incident) ackTimeoutAt(p Policy) (at time.Time, ok bool) {
	if !i.Origin.Pages() || !i.Status.Responding() || !i.Paging.Acknowledged() || p.AckTimeout <= 0 || i.Severity != Sev1 && i.Severity != Sev2 {
		return at, false
	}
	return i.Paging.LastAction.Add(p.AckTimeout), true
}

// ackTimeout ends an acknowledgement without activity and restarts paging.
func (d *decider) ackTimeout() error {
	at, ok := d.inc.ackTimeoutAt(d.env.Policy)
	switch {
	case !ok, d.cmd.Round != 0 && d.cmd.Round != d.inc.Paging.Round:
		return nil
	case d.env.Now.Before(at):
		return &NotDue{Until: at}
	}
	d.emit(EventAckTimedOut, fields{"person": string(d.inc.Paging.AcknowledgedBy)}, nil)
	d.startRound("")
	return nil
}

func (d *decider) attach() error {
	if d.cmd.Alert == nil {
		return Invalid("alert", "no alert given. Name one, such as A17")
	}
	a := *d.cmd.Alert
	if err := d.requireOrigin(alertName(a), a.Origin); err != nil {
		return err
	}
	fresh := !slices.ContainsFunc(d.inc.Alerts, func(r AlertRef) bool { return r.Kind == a.Kind })
	if slices.ContainsFunc(d.inc.Alerts, func(r AlertRef) bool { return r.Alert == a.Alert }) {
		return nil
	}
	d.attachAlert(a)
	d.startRuns(d.cmd.Runs, "")
	if err := d.raiseByAlert(a); err != nil {
		return err
	}
	if fresh {
		d.voidSubmission("an alert of a new kind arrived")
	}
	return nil
}

func alertName(a AlertRef) string { return "A" + strconv.FormatInt(a.Alert, 10) }

func (d *decider) attachAlert(a AlertRef) {
	f := fields{"alert": num(int(a.Alert)), "source": a.Source, "kind": a.Kind, "level": string(a.Level), "fingerprint": a.Fingerprint, "at": instant(a.At)}
	if a.LeftOut > 0 {
		f["left_out"] = num(a.LeftOut)
	}
	d.emit(EventAlertAttached, f, texts{"title": a.Title, "url": a.URL, "rule": a.Rule, "detail": d.cmd.Text})
}

// count records the 10th, 100th, ... occurrence of an alert. The store holds the
// exact count.
func (d *decider) count() error {
	if d.cmd.Alert == nil {
		return Invalid("alert", "no alert given. Name one, such as A17")
	}
	d.emit(EventAlertCounted, fields{"alert": num(int(d.cmd.Alert.Alert)), "count": num(int(d.cmd.Count))}, texts{"title": d.cmd.Alert.Title})
	return nil
}

// sourceNote records a note of an outside system. A note about a page of Tocsin cannot
// be older than the incident: such a note is a replay and belongs to another incident.
func (d *decider) sourceNote() error {
	if d.cmd.Round != 0 && !d.cmd.HappenedAt.IsZero() && d.cmd.HappenedAt.Add(maxPagerSkew).Before(d.inc.OpenedAt) {
		return Conflict("this note is from %s, before %s opened. Add it with note if it belongs to the incident", d.cmd.HappenedAt.UTC().Format(time.RFC3339), d.inc.ID)
	}
	t := texts{"text": d.cmd.Text}
	maps.Copy(t, d.cmd.Reporter.texts())
	d.emit(EventSourceNoted, fields{"source": d.cmd.By.ID}, t)
	return nil
}

// stormTimeout notes that the alert storm of the incident is over.
func (d *decider) stormTimeout() error {
	if d.cmd.Count == 0 {
		return nil
	}
	d.emit(EventSourceNoted, fields{"source": "storm"}, texts{"text": fmt.Sprintf("The alert storm has ended: %d correlation keys were grouped into this incident. New ones open separate incidents again.", d.cmd.Count)})
	return nil
}

func (d *decider) link() error {
	for _, name := range slices.Sorted(maps.Keys(d.cmd.Links)) {
		value := d.cmd.Links[name]
		if d.inc.Links[name] == value {
			continue
		}
		kind, f := EventLinked, fields{"name": name, "value": value}
		switch before := d.inc.Links[LinkChannel]; {
		case name == LinkChannel && before == "":
			kind = EventChannelOpened
		case name == LinkChannel:
			kind = EventChannelReplaced
			if before == d.inc.LostChannel {
				f["before"], f["how"] = before, d.inc.LostHow
			}
		}
		d.emit(kind, f, nil)
	}
	if d.inc.Paging.Round == 0 && d.inc.Status.Responding() {
		d.callResponders() // no page finds anybody on call
	}
	return nil
}

// loseChannel records that the channel is lost, once for each channel. People archive
// the channel of an ended incident on purpose.
func (d *decider) loseChannel() error {
	lost := d.cmd.Item
	if lost == "" || lost != d.inc.Links[LinkChannel] || lost == d.inc.LostChannel || d.inc.Status.Ended() {
		return nil
	}
	d.emit(EventChannelLost, fields{"channel": lost, "how": d.cmd.Reason}, nil)
	return nil
}

// findChannel records that the lost channel works again, for example because people
// unarchived it. Its replacement is then obsolete.
func (d *decider) findChannel() error {
	if found := d.cmd.Item; found != "" && found == d.inc.LostChannel && found == d.inc.Links[LinkChannel] {
		d.emit(EventChannelFound, fields{"channel": found}, nil)
	}
	return nil
}

func (d *decider) peopleInvited() error {
	fresh := slices.DeleteFunc(slices.Clone(d.cmd.People), func(p PersonID) bool {
		return slices.Contains(d.inc.Access, p) || slices.Contains(d.inc.Revoked, p) // an invitation may be older than the revocation
	})
	if len(fresh) > 0 {
		d.emit(EventInvited, fields{"people": joinList(fresh)}, nil)
	}
	d.notInvited()
	return nil
}

// retry records that waiting effects are tried at once, if there are any.
func (d *decider) retry() error {
	if d.cmd.Count > 0 {
		d.emit(EventRetried, nil, nil)
	}
	return nil
}

func (d *decider) effectDropped() error {
	d.emit(EventEffectDropped, fields{"effect": d.cmd.Effect, "administrator": d.cmd.Item}, texts{"reason": d.cmd.Reason})
	return nil
}

func (d *decider) effectFailed() error {
	d.emit(EventEffectFailed, fields{"effect": d.cmd.Effect}, texts{"reason": d.cmd.Text})
	return nil
}
