package command

import (
	"time"

	"tocsin/bot/incident"
)

// TypedTimes returns the times of a command as Tocsin read them, each in the zone that
// the person typed and in UTC. zone is the zone of times without one, nil means UTC.
func TypedTimes(c incident.Command, zone *time.Location) []incident.Sentence {
	if typed, err := incident.ParseZone(c.Zone); err == nil {
		zone = typed
	}
	if zone == nil {
		zone = time.UTC
	}
	var out []incident.Sentence
	add := func(format string, at time.Time) {
		if !at.IsZero() {
			out = append(out, incident.Sentence{Format: format, Args: []any{at.In(zone)}})
		}
	}
	add("Happened at: %s", c.HappenedAt)
	add("Review meeting: %s", c.When)
	add("Valid until: %s", c.Until)
	if c.Action != nil && !c.Action.Due.IsZero() {
		out = append(out, incident.Say("Due: %s", incident.Day(c.Action.Due)))
	}
	if c.Fact != nil {
		if at, err := time.Parse(time.RFC3339, c.Fact.Value); err == nil {
			add("Read as: %s", at)
		}
		if c.Fact.Affected != nil {
			add("Notified at: %s", c.Fact.Affected.NotifiedAt)
		}
	}
	return out
}
