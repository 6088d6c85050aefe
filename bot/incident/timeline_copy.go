package incident

import (
	"fmt"
	"maps"
	"slices"
)

// Follows reports whether e continues the chain that ends with prev. It is for copies of a timeline in which events or
// texts are withheld. [Verify] checks a whole timeline.
func (e Event) Follows(prev Head) bool { return e.Seq == prev.Seq+1 && e.Hash == chainHash(prev, e) }

// CheckTexts returns an error unless each text of e matches its commitment, or was removed and mayLack returns true for
// its name.
func (e Event) CheckTexts(mayLack func(name string) bool) error {
	for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
		if t := e.Texts[name]; !t.valid(name, mayLack(name)) {
			return fmt.Errorf("text %q of event %d was changed, or removed without an erasure", name, e.Seq)
		}
	}
	return nil
}

// WithoutPrivileged returns e without the texts that only legal and security may read. The commitments remain, and the
// chain still verifies.
func (e Event) WithoutPrivileged() Event {
	if !e.IsPrivileged() || len(e.Texts) == 0 {
		return e
	}
	e.Texts = maps.Clone(e.Texts)
	for name, t := range e.Texts {
		e.Texts[name] = Text{Commitment: t.Commitment}
	}
	return e
}
