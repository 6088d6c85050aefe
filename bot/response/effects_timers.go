package response

import (
	"fmt"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// ackTimer builds the timer of the acknowledgement timeout, once per round. If
// the commander or the person who acknowledged was active since, the timer is set again when it fires.
func ackTimer(c effectBuilder) []incident.Effect {
	at, ok := c.inc.AckTimeoutAt(c.policy)
	if !ok {
		return nil
	}
	round := strconv.Itoa(c.inc.Paging.Round)
	e := c.effect(incident.EffectAckTimer, map[string]string{"round": round})
	e.Key = fmt.Sprintf("%s/%s/%s", c.inc.ID, e.Kind, round)
	e.Urgent, e.After = true, at
	return []incident.Effect{e}
}

// ackTimerAgain builds the timer of the acknowledgement timeout after the severity
// was raised without a new round. The timer of the acknowledgement may have ended
// while the severity was sev3 or sev4.
func ackTimerAgain(c effectBuilder) []incident.Effect {
	if incident.Severity(c.event.Field("from")).MoreSevereThan(incident.Sev3) {
		return nil
	}
	out := ackTimer(c)
	for n := range out {
		out[n].Key += "/" + strconv.Itoa(c.event.Seq)
	}
	return out
}

// severityTimer builds the timer that raises the severity unless a person answers
// the proposal of an alert.
func severityTimer(c effectBuilder) []incident.Effect {
	until, err := time.Parse(time.RFC3339Nano, c.event.Field("until"))
	if err != nil {
		return nil
	}
	e := c.effect(incident.EffectSeverityTimer, nil)
	e.Urgent, e.After = true, until
	return []incident.Effect{e}
}

// stepTimer builds the timer for the deadline of a step, which counts from its
// start.
func stepTimer(c effectBuilder) []incident.Effect {
	step, args := c.step()
	if step == nil || step.Action != "" || step.Deadline <= 0 {
		return nil
	}
	e := c.effect(incident.EffectStepTimer, args)
	e.After = c.event.RecordedAt.Add(step.Deadline)
	return []incident.Effect{e}
}
