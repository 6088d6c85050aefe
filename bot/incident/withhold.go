package incident

import (
	"maps"
	"slices"
)

// Withheld replaces a text that only legal and security may read, in copies for
// other readers.
const Withheld = "(for legal and security only)"

// IsPrivileged reports whether only legal and security may read the texts of e.
func (e Event) IsPrivileged() bool { return e.Audience == AudienceLegalSecurity }

// MayHavePrivileged reports whether texts of the incident may come from events for
// legal and security only. It is true for a state from before Privileged existed.
func (i Incident) MayHavePrivileged() bool { return i.Privileged == nil || len(i.Privileged) > 0 }

// WithholdPrivileged returns a timeline and its state for readers outside legal and
// security, and the number of events whose texts it replaced by [Withheld].
//
// The state is the fold of the timeline with these texts replaced. Every text in it
// comes from an event, so it contains no text of a privileged one, whatever the event
// recorded. The returned timeline has no event that is [EventKind.Secret], and the state does not
// list one in Privileged.
func WithholdPrivileged(id ID, timeline []Event) (inc Incident, events []Event, withheld int) {
	all := make([]Event, len(timeline))
	for n, e := range timeline {
		if e.IsPrivileged() && len(e.Texts) > 0 {
			e = e.withheld()
			if !e.Kind.Secret() {
				withheld++
			}
		}
		all[n] = e
	}
	inc = Fold(id, all)
	inc.Privileged = slices.DeleteFunc(inc.Privileged, func(seq int) bool {
		return slices.ContainsFunc(all, func(e Event) bool { return e.Seq == seq && e.Kind.Secret() })
	})
	return inc, WithoutSecret(all), withheld
}

// WithoutSecret returns a copy of a timeline without the events that only legal and
// security may know.
func WithoutSecret(timeline []Event) []Event {
	return slices.DeleteFunc(slices.Clone(timeline), func(e Event) bool { return e.Kind.Secret() })
}

// withheld returns e with every text replaced. The commitments remain for the chain.
// The salts do not: with a salt, a reader could test guesses of a text.
func (e Event) withheld() Event {
	e.Texts = maps.Clone(e.Texts)
	for name, t := range e.Texts {
		e.Texts[name] = Text{Value: Withheld, Commitment: t.Commitment}
	}
	return e
}
