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

// EventKind says what happened.
type EventKind string

// Everything that can stand in a timeline.
const (
	EventOpened              EventKind = "opened"
	EventAlertAttached       EventKind = "alert_attached"
	EventAlertCounted        EventKind = "alert_counted" // the 10th, 100th, ... copy
	EventSourceNoted         EventKind = "source_noted"  // an outside system says resolved, assigned, ...
	EventAcknowledged        EventKind = "acknowledged"
	EventAckTimedOut         EventKind = "acknowledgement_timed_out"
	EventRoundStarted        EventKind = "round_started" // a new round of paging begins
	EventPageStarted         EventKind = "page_started"  // committed before the call goes out
	EventPaged               EventKind = "paged"
	EventPageFailed          EventKind = "page_failed"
	EventPageUnanswered      EventKind = "page_unanswered"
	EventSeveritySet         EventKind = "severity_set"
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
	EventMergedFrom          EventKind = "merged_from" // in the incident that goes on
	EventSplitInto           EventKind = "split_into"  // in the incident that some alerts left
	EventSplitFrom           EventKind = "split_from"  // in the incident they opened
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
)

// Event is one entry of a timeline. What machines need stands in Fields (ids,
// enums, numbers, times; never text); what people wrote stands in Texts.
type Event struct {
	Seq        int               `json:"seq"`
	Kind       EventKind         `json:"kind"`
	HappenedAt time.Time         `json:"happened_at"`
	RecordedAt time.Time         `json:"recorded_at"`
	By         PersonID          `json:"by,omitempty"`   // "" for the bot
	Auth       string            `json:"auth,omitempty"` // how that person was authenticated
	Via        Via               `json:"via"`
	Audience   Audience          `json:"audience"`
	Fields     map[string]string `json:"fields,omitempty"`
	Texts      map[string]Text   `json:"texts,omitempty"`
	Hash       string            `json:"hash"` // of the chain up to and with this event
}

// Field returns a field, or "".
func (e Event) Field(name string) string { return e.Fields[name] }

// Text returns a text, or "" where there is none or it was erased.
func (e Event) Text(name string) string { return e.Texts[name].Value }

// Text is what a person wrote, with the commitment that stands for it in the
// chain. Erasing it removes value and salt; the commitment stays, so the chain
// still verifies and nobody can guess the text from it.
type Text struct {
	Value      string `json:"value,omitempty"`
	Salt       []byte `json:"salt,omitempty"`
	Commitment string `json:"commitment"`
}

// Erased reports whether the text is gone.
func (t Text) Erased() bool { return len(t.Salt) == 0 }

// valid reports whether the text is the one that was recorded, or was erased
// by those who may.
func (t Text) valid(name string, allowed bool) bool {
	if t.Erased() {
		return allowed && t.Value == ""
	}
	return commitment(t.Salt, name, t.Value) == t.Commitment
}

// Head is the end of a chain: how many events, and the hash over all of them.
// Its MAC is made with a key that is not in the database.
type Head struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
}

// Genesis is the head before the first event. It depends on the incident, so
// that one incident's chain cannot stand in for another's.
func Genesis(id ID) Head {
	sum := sha256.Sum256([]byte("tocsin timeline " + id.String()))
	return Head{Hash: hex.EncodeToString(sum[:])}
}

// MACInput is what the head's MAC covers.
func (h Head) MACInput(id ID) []byte {
	return fmt.Appendf(nil, "tocsin head %s %d %s", id, h.Seq, h.Hash)
}

// Seal gives an event its place in the chain: number, commitments and hash.
// salt returns 32 fresh random bytes at each call.
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

// stamp cuts a time to what every database keeps.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func commitment(salt []byte, name, value string) string {
	m := hmac.New(sha256.New, salt)
	fmt.Fprintf(m, "%d:%s:%s", len(name), name, value)
	return hex.EncodeToString(m.Sum(nil))
}

// chainHash covers everything of the event but the texts themselves, for which
// their commitments stand.
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

// ChainError is one thing that is wrong with a stored chain.
type ChainError struct {
	Seq    int    `json:"seq"`
	Reason string `json:"what"`
}

// Verify recomputes a stored chain up to the head that was kept (and whose MAC
// the caller has checked). It finds a changed, removed, inserted or reordered
// event, a changed text, one that is gone without an erasure on record, a cut
// tail, and another incident's chain.
func Verify(id ID, events []Event, kept Head) []ChainError {
	var faults []ChainError
	erased := map[TextRef]bool{} // what legal and security had erased, as the chain itself says
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
			return append(faults, ChainError{n + 1, fmt.Sprintf("expected event %d, found %d: an event was removed, inserted or reordered", n+1, e.Seq)})
		}
		for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
			t := e.Texts[name]
			if !t.valid(name, erased[TextRef{e.Seq, name}]) {
				faults = append(faults, ChainError{e.Seq, "text " + name + " is not the one that was recorded, or is gone though nobody erased it"})
			}
		}
		if want := chainHash(head, e); e.Hash != want {
			return append(faults, ChainError{e.Seq, "the event was changed, or is not this incident's"})
		}
		head = Head{Seq: e.Seq, Hash: e.Hash}
	}
	if head != kept {
		faults = append(faults, ChainError{head.Seq, fmt.Sprintf("the chain ends at event %d, the kept head is event %d: the tail was cut or replaced", head.Seq, kept.Seq)})
	}
	return faults
}
