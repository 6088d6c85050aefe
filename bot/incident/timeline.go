package incident

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Event is one entry of a timeline. Fields holds data for machines: ids, constants,
// numbers and times. Texts holds the prose of people, which can be erased.
type Event struct {
	Seq        int               `json:"seq"`
	Kind       EventKind         `json:"kind"`
	HappenedAt time.Time         `json:"happened_at"`
	RecordedAt time.Time         `json:"recorded_at"`
	By         PersonID          `json:"by,omitempty"`   // "" for the bot
	Auth       string            `json:"auth,omitempty"` // how By was authenticated
	Via        Via               `json:"via"`
	Audience   Audience          `json:"audience"`
	Fields     map[string]string `json:"fields,omitempty"`
	Texts      map[string]Text   `json:"texts,omitempty"`
	Hash       string            `json:"hash"` // of the chain up to and including this event
}

// Field returns the field with a name, or "".
func (e Event) Field(name string) string { return e.Fields[name] }

// Text returns the text with a name, or "" if there is none or it was erased.
func (e Event) Text(name string) string { return e.Texts[name].Value }

// Text is prose with a salted commitment, which represents it in the hash chain.
// Erasing a text removes value and salt. The commitment remains: the chain still
// verifies, and without the salt the text cannot be guessed from it.
type Text struct {
	Value      string `json:"value,omitempty"`
	Salt       []byte `json:"salt,omitempty"`
	Commitment string `json:"commitment"`
}

// Erased reports whether the text was erased.
func (t Text) Erased() bool { return len(t.Salt) == 0 }

// valid reports whether the text matches its commitment, or was erased and allowed
// is set.
func (t Text) valid(name string, allowed bool) bool {
	if t.Erased() {
		return allowed && t.Value == ""
	}
	return commitment(t.Salt, name, t.Value) == t.Commitment
}

// Head is the end of a hash chain: the number of events and the hash over them.
// The store holds a MAC of it, whose key is not in the database.
type Head struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
}

// Genesis returns the head before the first event. It depends on the incident: the
// chain of one incident does not verify as the chain of another.
func Genesis(id ID) Head {
	sum := sha256.Sum256([]byte("tocsin timeline " + id.String()))
	return Head{Hash: hex.EncodeToString(sum[:])}
}

// MACInput returns the bytes that the MAC of the head covers.
func (h Head) MACInput(id ID) []byte {
	return fmt.Appendf(nil, "tocsin head %s %d %s", id, h.Seq, h.Hash)
}

// Seal appends an event to the chain. It returns e with number, commitments and
// hash, and the new head. salt must return 32 fresh random bytes at each call.
func Seal(prev Head, e Event, salt func() []byte) (Event, Head) {
	e.Seq = prev.Seq + 1
	e.HappenedAt, e.RecordedAt = stamp(e.HappenedAt), stamp(e.RecordedAt)
	texts := make(map[string]Text, len(e.Texts))
	for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
		t := e.Texts[name]
		t.Salt = salt()
		t.Commitment = commitment(t.Salt, name, t.Value)
		texts[name] = t
	}
	if len(texts) > 0 {
		e.Texts = texts
	}
	e.Hash = chainHash(prev, e)
	return e, Head{Seq: e.Seq, Hash: e.Hash}
}

// stamp truncates a time to UTC microseconds, the precision of every database.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func commitment(salt []byte, name, value string) string {
	m := hmac.New(sha256.New, salt)
	fmt.Fprintf(m, "%d:%s:%s", len(name), name, value)
	return hex.EncodeToString(m.Sum(nil))
}

// chainHash returns the hash of the chain extended by e.
func chainHash(prev Head, e Event) string {
	sum := sha256.Sum256(e.ChainText(prev))
	return hex.EncodeToString(sum[:])
}

// ChainText returns the RFC 8785 JSON whose SHA-256 is the hash of the chain extended by e.
// It has the whole event, with the commitments in place of the texts.
func (e Event) ChainText(prev Head) []byte {
	commitments := map[string]string{}
	for name, t := range e.Texts {
		commitments[name] = t.Commitment
	}
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	return canonical(map[string]any{
		"prev": prev.Hash, "seq": e.Seq, "kind": e.Kind,
		"happened_at": e.HappenedAt.UTC().Format(time.RFC3339Nano), "recorded_at": e.RecordedAt.UTC().Format(time.RFC3339Nano),
		"by": e.By, "auth": e.Auth, "via": e.Via, "audience": e.Audience,
		"fields": e.Fields, "texts": commitments,
	})
}

// ChainError is one integrity violation in a stored chain.
type ChainError struct {
	Seq    int    `json:"seq"`
	Reason string `json:"reason"`
}

// Verify recomputes a stored chain and compares it with the stored head, whose MAC
// the caller must have verified. It returns an error for each changed text and each
// text that is missing without a recorded erasure. It detects changed, removed,
// inserted and reordered events, a cut tail and the chain of another incident, and
// stops at the first such event.
func Verify(id ID, events []Event, stored Head) []ChainError {
	var found []ChainError
	erased := map[TextRef]bool{} // by events of the chain
	for _, e := range events {
		for _, ref := range e.ErasedTexts() {
			erased[ref] = true
		}
	}
	head := Genesis(id)
	for n, e := range events {
		if e.Seq != n+1 {
			return append(found, ChainError{n + 1, fmt.Sprintf("expected event %d, got %d: an event was removed, inserted or reordered", n+1, e.Seq)})
		}
		for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
			t := e.Texts[name]
			if !t.valid(name, erased[TextRef{e.Seq, name}]) {
				found = append(found, ChainError{e.Seq, fmt.Sprintf("text %q was changed, or removed without an erasure", name)})
			}
		}
		if want := chainHash(head, e); e.Hash != want {
			return append(found, ChainError{e.Seq, "the event was changed, or belongs to another incident"})
		}
		head = Head{Seq: e.Seq, Hash: e.Hash}
	}
	if head != stored {
		found = append(found, ChainError{head.Seq, fmt.Sprintf("the chain ends at event %d, the stored head is event %d: the tail was cut or replaced", head.Seq, stored.Seq)})
	}
	return found
}
