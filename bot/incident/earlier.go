package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEarlier is how many of the last events are searched for the one that came first.
const maxEarlier = 200

// Earlier returns the event of another person because of which a command changes nothing
// or is not possible any more: the last event without which it would have had an effect.
// It tells the person who lost a race who won.
//
// It returns false if the author caused that, if Tocsin did, or if the author may not read
// the event. For a verb that changes two incidents, the event is the last change of the
// status.
func Earlier(cmd Command, id ID, timeline []Event, env Env) (Event, bool) {
	from, events := lastEvents(id, timeline)
	return earlier(cmd, from, events, env, false)
}

// lastEvents returns the last maxEarlier events of a timeline and the state before them.
func lastEvents(id ID, timeline []Event) (from Incident, events []Event) {
	first := max(len(timeline)-maxEarlier, 0)
	return Fold(id, timeline[:first]), timeline[first:]
}

// earlier is Earlier for the events after a state. A form completes a command that was offered.
func earlier(cmd Command, from Incident, events []Event, env Env, offered bool) (Event, bool) {
	states := []Incident{from} // before and after each event
	for _, e := range events {
		states = append(states, Apply(states[len(states)-1], e))
	}
	for n, e := range slices.Backward(events) {
		if !hadEffect(cmd, states[n], states[n+1], env, offered) {
			continue
		}
		ok := e.By != "" && e.By != env.Actor && !e.Kind.Secret() && e.Audience != AudienceLegalSecurity && states[len(events)].MayRead(env.Directory, env.Actor, env.Now)
		return e, ok
	}
	return Event{}, false
}

// hadEffect reports whether a command would have had an effect before an event, which is
// then the reason that it has none now. An offered command was possible if its form opened.
func hadEffect(cmd Command, was, is Incident, env Env, offered bool) bool {
	if verbs[cmd.Verb].decide == nil {
		return was.Status != is.Status
	}
	if was.Head.Seq == 0 {
		return false
	}
	if offered {
		unchanged, err := Offer(cmd, was, env)
		return err == nil && !unchanged
	}
	events, err := Decide(cmd, was, env)
	return err == nil && len(events) > 0
}

// EarlierPromotion is [Earlier] for the promotion of an alert that an incident already has.
func EarlierPromotion(alert int64, timeline []Event, env Env) (Event, bool) {
	id := strconv.FormatInt(alert, 10)
	for _, e := range slices.Backward(timeline) {
		if e.Kind == EventAlertAttached && e.Field("alert") == id {
			return e, e.By != "" && e.By != env.Actor
		}
	}
	return Event{}, false
}

// EarlierText describes the event of [Earlier] as a sentence without a full stop, with its
// time: "Ada Okafor acknowledged the incident at 03:12 UTC". The time belongs to the first
// sentence of an event with two.
func EarlierText(e Event, env Env) string {
	s, _ := e.Sentence()
	s = s.Show(func(arg any) string {
		if _, identifier := arg.(Detail); identifier {
			return ""
		}
		return plainArg(env.Directory, arg)
	})
	author, more := env.Directory.Name(e.By), ""
	if first, second, two := strings.Cut(s.Format, ". "); two {
		n := min(strings.Count(first, "%"), len(s.Args))
		more = ". " + Sentence{Format: second, Args: s.Args[n:]}.String()
		s = Sentence{Format: first, Args: s.Args[:n]}
	}
	text := s.String()
	if !strings.Contains(text, author) {
		text = author + " was first: " + text
	}
	return text + " at " + ClockText(e.RecordedAt, env.Now) + more
}

// ClockText returns a time as people write it: without its date if that is today.
func ClockText(at, now time.Time) string {
	at = at.UTC()
	text := at.Format("15:04") + " UTC"
	if date := at.Format(time.DateOnly); date != now.UTC().Format(time.DateOnly) {
		text += " on " + date
	}
	return text
}

// plainArg returns an argument of a sentence as plain text.
func plainArg(d Directory, arg any) string {
	switch v := arg.(type) {
	case Labels:
		return strings.Join(v, ", ")
	case PersonID:
		return d.Name(v)
	case People:
		names := make([]string, len(v))
		for n, p := range v {
			names[n] = d.Name(p)
		}
		return strings.Join(names, ", ")
	case time.Time:
		return TimeText(v)
	}
	return fmt.Sprint(arg)
}

// losers are the codes of errors that an earlier event can cause.
var losers = []Code{CodeConflict, CodeStale, CodeUnknown, CodeForbidden}

// MayBeLate reports whether an earlier event can have caused the error of a command.
func MayBeLate(err error) bool { return slices.Contains(losers, CodeOf(err)) }
