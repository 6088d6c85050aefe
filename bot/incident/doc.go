// Package incident is the domain of Tocsin: the state of an incident, the
// commands that change it, and the rules about who may give them.
//
// [Decide] checks one [Command] against an [Incident]. It returns the events
// to record, or an [Error] with the reason and the next thing to type. [Apply]
// folds one [Event] into an Incident, and [Fold] replays a whole timeline:
//
//	events, err := incident.Decide(cmd, inc, env)
//	if err != nil {
//		return err
//	}
//	for _, e := range events {
//		inc = incident.Apply(inc, e)
//	}
//
// These functions are pure. Time, ids, salts and the [Directory] of people are
// parameters, and the package never reads a database, a chat or a clock.
// The files events_*.go describe each kind of event once: its effects on the
// state, the work that follows, its sentence and its audience. [Transitions] holds
// the complete lifecycle. Package command reads the commands that people type.
package incident
