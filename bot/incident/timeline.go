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

// EventKind is the kind of an event.
type EventKind string

// The kinds of events.
const (
	EventOpened              EventKind = "opened"
	EventAlertAttached       EventKind = "alert_attached"
	EventAlertCounted        EventKind = "alert_counted" // the 10th, 100th, ... occurrence
	EventSourceNoted         EventKind = "source_noted"  // an outside system reported resolved, assigned, ...
	EventAcknowledged        EventKind = "acknowledged"
	EventAckTimedOut         EventKind = "acknowledgement_timed_out"
	EventRoundStarted        EventKind = "round_started" // a paging round starts
	EventPageStarted         EventKind = "page_started"  // committed before the pager is called
	EventPaged               EventKind = "paged"
	EventPageFailed          EventKind = "page_failed"
	EventPageUnanswered      EventKind = "page_unanswered"
	EventSeveritySet         EventKind = "severity_set"
	EventSeverityProposed    EventKind = "severity_proposed" // by an alert, because a person lowered the severity
	EventSeverityKept        EventKind = "severity_kept"     // a person rejected the proposal
	EventRoleAssigned        EventKind = "role_assigned"
	EventFactSet             EventKind = "fact_set"
	EventDepartmentsInvolved EventKind = "departments_involved"
	EventNoted               EventKind = "noted"
	EventEvidence            EventKind = "evidence_added"
	EventUpdated             EventKind = "update_posted"
	EventContained           EventKind = "contained"
	EventResolved            EventKind = "resolved"
	EventRecordEdited        EventKind = "record_edited"
	EventSubmitted           EventKind = "submitted"
	EventSigned              EventKind = "signed"
	EventSignatureWithdrawn  EventKind = "signature_withdrawn"
	EventSignaturesVoided    EventKind = "signatures_voided"
	EventAmended             EventKind = "amended"
	EventObjected            EventKind = "objected"
	EventObjectionClosed     EventKind = "objection_closed"
	EventApproved            EventKind = "approved"
	EventRevised             EventKind = "revised"
	EventReopened            EventKind = "reopened"
	EventDismissProposed     EventKind = "dismissal_proposed"
	EventDismissed           EventKind = "dismissed"
	EventMergedInto          EventKind = "merged_into" // in the incident that ends
	EventMergedFrom          EventKind = "merged_from" // in the incident that continues
	EventSplitInto           EventKind = "split_into"  // in the incident that gave alerts away
	EventSplitFrom           EventKind = "split_from"  // in the incident that the alerts opened
	EventLegalHoldSet        EventKind = "legal_hold_set"
	EventLegalHoldReleased   EventKind = "legal_hold_released"
	EventPlaybookStarted     EventKind = "playbook_started"
	EventStepStarted         EventKind = "step_started"
	EventStepDone            EventKind = "step_done"
	EventStepSkipped         EventKind = "step_skipped"
	EventStepLate            EventKind = "step_late"
	EventConsulted           EventKind = "consulted"
	EventAnswered            EventKind = "answered"
	EventDelegated           EventKind = "delegated"
	EventActionAdded         EventKind = "action_added"
	EventActionDone          EventKind = "action_done"
	EventAccessGranted       EventKind = "access_granted"
	EventRestricted          EventKind = "restriction_set"
	EventReviewScheduled     EventKind = "review_scheduled"
	EventReviewConcluded     EventKind = "review_concluded"
	EventWaiverProposed      EventKind = "waiver_proposed"
	EventWaiverEndorsed      EventKind = "waiver_endorsed"
	EventClosed              EventKind = "closed"
	EventChannelOpened       EventKind = "channel_opened"
	EventInvited             EventKind = "invited"
	EventLinked              EventKind = "linked"
	EventPostmortemWritten   EventKind = "postmortem_written"
	EventPostmortemShared    EventKind = "postmortem_shared"
	EventEffectFailed        EventKind = "effect_failed"
	EventErasureProposed     EventKind = "erasure_proposed"
	EventErased              EventKind = "texts_erased"
	EventAccessRevoked       EventKind = "access_revoked"
	EventExclusionProposed   EventKind = "exclusion_proposed" // for legal and security only, with the next two
	EventExcluded            EventKind = "excluded"
	EventReadmissionProposed EventKind = "readmission_proposed"
	EventReadmitted          EventKind = "readmitted"
	EventReplacementNamed    EventKind = "replacement_named" // by an administrator
	EventChannelReplaced     EventKind = "channel_replaced"  // the incident continues in another channel
	EventPersonLeft          EventKind = "person_left"
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

// chainHash returns the hash of the chain extended by e. It covers the whole event,
// with the commitments in place of the texts.
func chainHash(prev Head, e Event) string {
	commitments := map[string]string{}
	for name, t := range e.Texts {
		commitments[name] = t.Commitment
	}
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	sum := sha256.Sum256(canonical(map[string]any{
		"prev": prev.Hash, "seq": e.Seq, "kind": e.Kind,
		"happened_at": e.HappenedAt.UTC().Format(time.RFC3339Nano), "recorded_at": e.RecordedAt.UTC().Format(time.RFC3339Nano),
		"by": e.By, "auth": e.Auth, "via": e.Via, "audience": e.Audience,
		"fields": e.Fields, "texts": commitments,
	}))
	return hex.EncodeToString(sum[:])
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
		if e.Kind == EventErased {
			for _, ref := range textRefs(e) {
				erased[ref] = true
			}
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
