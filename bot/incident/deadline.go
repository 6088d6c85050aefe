package incident

import (
	"strconv"
	"time"
)

// Deadline is a command that Tocsin gives to an incident at a time. The verb decides
// whether there is anything left to do by then. If the incident moved the deadline,
// the verb returns a [*NotDue], and Tocsin gives the command again later.
//
// The command has the arguments Round, EscalationStep, Step and Department only: ids and numbers,
// no text of people.
type Deadline struct {
	Command Command
	At      time.Time
}

// Effect returns the effect that waits for the deadline. key is its idempotency key,
// which never changes: an effect of an earlier version may be pending.
func (d Deadline) Effect(key string) Effect {
	args := map[string]string{"verb": string(d.Command.Verb)}
	for name, n := range map[string]int{"round": d.Command.Round, "escalation_step": d.Command.EscalationStep} {
		if n != 0 {
			args[name] = strconv.Itoa(n)
		}
	}
	if d.Command.Step != "" {
		args["step"] = d.Command.Step
	}
	if d.Command.Department != "" {
		args["department"] = string(d.Command.Department)
	}
	return Effect{Key: key, Kind: EffectDeadline, Incident: d.Command.For, After: d.At, Args: args}
}

// Deadline returns the deadline that an [EffectDeadline] waits for.
func (e Effect) Deadline() Deadline {
	return Deadline{At: e.After, Command: Command{For: e.Incident, Verb: Verb(e.Args["verb"]),
		Round: atoi(e.Args["round"]), EscalationStep: atoi(e.Args["escalation_step"]), Step: e.Args["step"], Department: Department(e.Args["department"])}}
}

// NotDue is the conflict of a command whose deadline has moved.
type NotDue struct{ Until time.Time }

func (e *NotDue) Error() string { return e.Unwrap().Error() }

// Unwrap returns the conflict as an [*Error].
func (e *NotDue) Unwrap() error {
	return Conflict("the deadline has moved to %s. Wait until then", e.Until)
}

// deadline builds the effect of a deadline of the incident.
func (c effectBuilder) deadline(cmd Command, at time.Time, key string) Effect {
	cmd.For = c.inc.ID
	e := Deadline{Command: cmd, At: at}.Effect(key)
	e.Seq = c.event.Seq
	return e
}

// isOver reports whether a time has passed. Until becomes the earliest one that has not.
func (e *NotDue) isOver(at, now time.Time) bool {
	if !now.Before(at) {
		return true
	}
	if e.Until.IsZero() || at.Before(e.Until) {
		e.Until = at
	}
	return false
}

// unlessDue returns the error of a deadline that had nothing to do yet, for example because
// the clock of a replica is late. Every time has a deadline of its own, so one that had
// something to do need not run again.
func (d *decider) unlessDue(next NotDue) error {
	if len(d.events) > 0 || next.Until.IsZero() {
		return nil
	}
	return &next
}
