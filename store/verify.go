package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// Verification is the result of [Store.Verify]: the numbers of checked items, the problems, and differences from a
// published checkpoint that a restore explains.
type Verification struct {
	Incidents   int             `json:"incidents"`
	Events      int             `json:"events"`
	Ciphertexts int             `json:"ciphertexts"`
	Rows        int             `json:"rows"`    // compared with the log of the notary
	Waiting     int             `json:"waiting"` // rows that changed after the newest checkpoint
	Leaves      int64           `json:"leaves"`
	Checkpoints int             `json:"checkpoints"` // stored and given
	Newest      *CheckpointID   `json:"newest_checkpoint,omitempty"`
	PublicKey   string          `json:"public_key"` // of the notary
	Problems    []VerifyProblem `json:"problems"`
	Explained   []string        `json:"explained,omitempty"`
}

// CheckpointID names a checkpoint.
type CheckpointID struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
}

// String returns text such as "checkpoint 420 of 2026-11-30 03:04:05 UTC".
func (c CheckpointID) String() string {
	return fmt.Sprintf("checkpoint %d of %s", c.Size, c.At.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// ProblemKind is the check that found a problem.
type ProblemKind string

// The kinds of problems.
const (
	ProblemCiphertext   ProblemKind = "ciphertext"    // a ciphertext does not decrypt
	ProblemNumbers      ProblemKind = "numbers"       // incident numbers have a gap
	ProblemBody         ProblemKind = "body"          // a delivery has no body
	ProblemHead         ProblemKind = "head"          // the MAC of a head is invalid
	ProblemTimeline     ProblemKind = "timeline"      // a timeline is not the chain of its head
	ProblemErased       ProblemKind = "erased"        // an erased text is back
	ProblemState        ProblemKind = "state"         // a state does not follow from its timeline
	ProblemColumn       ProblemKind = "column"        // a clear column differs from the encrypted value
	ProblemLeaf         ProblemKind = "leaf"          // a leaf is missing or malformed
	ProblemHashes       ProblemKind = "hashes"        // the stored hashes of a leaf are wrong
	ProblemUnsigned     ProblemKind = "unsigned"      // the log has leaves after the newest checkpoint
	ProblemCheckpoint   ProblemKind = "checkpoint"    // a stored checkpoint is invalid or missing
	ProblemRewritten    ProblemKind = "rewritten"     // the leaves do not have the hash of a checkpoint
	ProblemCut          ProblemKind = "cut"           // a published checkpoint has more leaves than the log
	ProblemTwoHistories ProblemKind = "two_histories" // two checkpoints contradict each other
	ProblemCounted      ProblemKind = "counted_twice" // the log has a row of the outbox twice
	ProblemOutbox       ProblemKind = "outbox"        // a row of the outbox is forged or was used before
	ProblemMissing      ProblemKind = "missing"       // a row of the log is absent without a reason
	ProblemChanged      ProblemKind = "changed"       // a row differs from the log
	ProblemUnknown      ProblemKind = "unknown"       // a row is not in the log
	ProblemReturned     ProblemKind = "returned"      // a deleted row is back
	ProblemRolledBack   ProblemKind = "rolled_back"   // a timeline is shorter than the log says
	ProblemReplaced     ProblemKind = "replaced"      // a fixed value, or a part of a timeline, is another one
	ProblemMAC          ProblemKind = "mac"           // the reason of a removal is forged
	ProblemTombstone    ProblemKind = "tombstone"     // a tombstone does not cover the deleted rows
	ProblemAuditChain   ProblemKind = "audit_chain"   // the chain of the audit log is broken
	ProblemAuditGap     ProblemKind = "audit_gap"     // the chain of the audit log misses entries
)

// VerifyProblem is one integrity problem.
type VerifyProblem struct {
	Kind     ProblemKind   `json:"kind"`
	Incident incident.ID   `json:"incident,omitempty"` // 0 if it does not belong to an incident
	Where    string        `json:"where"`              // "event 7", "head", "alerts.sealed_body of row 3"
	Reason   string        `json:"reason"`
	Vouched  *CheckpointID `json:"vouched_by,omitempty"` // the last checkpoint that vouches for the original
}

// String returns the problem in one line.
func (f VerifyProblem) String() string {
	text := f.Where + ": " + f.Reason
	if f.Incident != 0 {
		text = f.Incident.String() + ", " + text
	}
	if f.Vouched != nil {
		text += ". The original is in " + f.Vouched.String()
	}
	return text
}

func (v *Verification) add(p VerifyProblem) { v.Problems = append(v.Problems, p) }

// Verify checks all timelines against their heads, all heads against their MACs and all states against their timelines.
// It decrypts all ciphertexts and looks for missing incidents and delivery bodies. It computes the hash of the notary's
// log from all leaves, compares it with every stored and every published checkpoint, and compares the log with the rows in
// both directions. The signature of a published checkpoint must be valid, see [Store.OpenCheckpoints]. An error means that
// Verify did not finish. Integrity problems are in the result.
func (s *Store) Verify(ctx context.Context, published ...notary.Checkpoint) (Verification, error) {
	v := Verification{Problems: []VerifyProblem{}}
	for _, c := range sealedColumns {
		err := s.forEachBatch(ctx, c, func(cells []cell) error {
			for _, cell := range cells {
				v.Ciphertexts++
				if _, err := s.keys.Open(cell.Sealed, c.associatedData(cell.Key)); err != nil {
					v.add(VerifyProblem{Kind: ProblemCiphertext, Where: c.table + "." + c.column + " of row " + cell.Key,
						Reason: "the ciphertext was changed or moved, or its key is missing"})
				}
			}
			return nil
		})
		if err != nil {
			return v, err
		}
	}
	if err := s.verifyNumbers(ctx, &v); err != nil {
		return v, err
	}
	if err := s.forEachHead(ctx, func(row incidentRow) error { return s.verifyIncident(ctx, incident.ID(row.ID), &v) }); err != nil {
		return v, err
	}
	return v, s.verifyNotary(ctx, &v, published)
}

// verifyNumbers reports missing incidents, because incident numbers have no gaps except those of restores, and deliveries
// without a body.
func (s *Store) verifyNumbers(ctx context.Context, v *Verification) error {
	var last, rows, bodiless, gaps int64
	err := s.view(ctx, func(db *gorm.DB) error {
		return errors.Join(db.Raw("SELECT value FROM counters WHERE name = 'incident'").Scan(&last).Error,
			db.Raw("SELECT count(*) FROM incidents").Scan(&rows).Error,
			db.Raw("SELECT COALESCE(SUM(next_incident - last_incident - 1), 0) FROM restores").Scan(&gaps).Error,
			db.Raw("SELECT count(*) FROM inbox WHERE NOT EXISTS (SELECT 1 FROM delivery_bodies WHERE inbox_id = id)").Scan(&bodiless).Error)
	})
	if err == nil && bodiless > 0 {
		v.add(VerifyProblem{Kind: ProblemBody, Where: "inbox", Reason: fmt.Sprintf("%d deliveries have no body", bodiless)})
	}
	if err == nil && last != rows+gaps {
		v.add(VerifyProblem{Kind: ProblemNumbers, Where: "incidents", Reason: fmt.Sprintf("%d incident numbers were assigned, but %d incidents exist", last-gaps, rows)})
	}
	return err
}

func (s *Store) verifyIncident(ctx context.Context, id incident.ID, v *Verification) error {
	return s.view(ctx, func(db *gorm.DB) error {
		addProblem := func(kind ProblemKind, where, reason string) {
			v.add(VerifyProblem{Kind: kind, Incident: id, Where: where, Reason: reason})
		}
		var row incidentRow
		if err := db.Take(&row, "id = ?", int64(id)).Error; err != nil {
			return fmt.Errorf("read %s: %w", id, err)
		}
		v.Incidents++
		if s.keys.VerifyMAC(row.head().MACInput(id), row.HeadMac) != nil {
			addProblem(ProblemHead, "head", "invalid MAC: the head was not written by this instance, or its key is missing")
		}
		events, err := s.verifyEvents(db, id, addProblem)
		if err != nil {
			if errors.Is(wrapUnavailable(err), ErrUnavailable) {
				return err
			}
			addProblem(ProblemTimeline, "timeline", "cannot be read") // Verify reports the ciphertext too
			return nil
		}
		v.Events += len(events)
		problems := incident.Verify(id, events, row.head())
		for _, f := range problems {
			addProblem(ProblemTimeline, fmt.Sprintf("event %d", f.Seq), f.Reason)
		}
		if verifyErased(events, addProblem) && len(problems) == 0 {
			return s.verifyState(id, row, events, addProblem)
		}
		return nil
	})
}

// verifyEvents returns the timeline of an incident and compares its clear columns with the encrypted events.
func (s *Store) verifyEvents(db *gorm.DB, id incident.ID, addProblem func(kind ProblemKind, where, reason string)) ([]incident.Event, error) {
	var rows []eventRow
	if err := db.Where("incident_id = ?", int64(id)).Order("seq").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read timeline of %s: %w", id, err)
	}
	events := make([]incident.Event, len(rows))
	for n, row := range rows {
		e := &events[n]
		if err := s.unseal("events", row.key(), "sealed_body", row.SealedBody, e); err != nil {
			return nil, err
		}
		for _, column := range []struct {
			name   string
			equals bool
		}{
			{"kind", row.Kind == string(e.Kind)}, {"hash", row.Hash == e.Hash}, {"recorded_at", row.RecordedAt.Equal(dbTime(e.RecordedAt))},
		} {
			if !column.equals {
				addProblem(ProblemColumn, fmt.Sprintf("event %d", row.Seq), column.name+" differs from the encrypted event")
			}
		}
	}
	return events, nil
}

// verifyErased reports texts that were erased and are back, and returns whether there is none. The chain has a commitment to
// each text, so it does not show whether a text was erased.
func verifyErased(events []incident.Event, addProblem func(kind ProblemKind, where, reason string)) bool {
	isValid := true
	for _, e := range events {
		for _, ref := range e.ErasedTexts() {
			if ref.Seq > 0 && ref.Seq <= len(events) && !events[ref.Seq-1].Texts[ref.Name].Erased() {
				isValid = false
				addProblem(ProblemErased, fmt.Sprintf("event %d", ref.Seq), fmt.Sprintf("the text %q was erased by event %d and is back", ref.Name, e.Seq))
			}
		}
	}
	return isValid
}

// verifyState compares the stored state with the state computed from the timeline, and the clear columns with the state.
func (s *Store) verifyState(id incident.ID, row incidentRow, events []incident.Event, addProblem func(kind ProblemKind, where, reason string)) error {
	var stored incident.Incident // not from memory
	var title string
	if s.unseal("incidents", row.stateKey(), "sealed_state", row.SealedState, &stored) != nil || s.unseal("incidents", row.stateKey(), "sealed_title", row.SealedTitle, &title) != nil {
		addProblem(ProblemState, "state", "cannot be read")
		return nil
	}
	var folded incident.Incident // through JSON, like the stored state
	if data, err := canonicalState(incident.Fold(id, events)); err != nil {
		return err
	} else if err := json.Unmarshal(data, &folded); err != nil {
		return fmt.Errorf("decode %s: %w", id, err)
	}
	want, err := canonicalState(folded)
	if err != nil {
		return err
	}
	have, err := canonicalState(stored)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, have) || title != stored.Title {
		addProblem(ProblemState, "state", "does not match the timeline")
		return nil
	}
	clear := clearIncidentRow(stored)
	for _, column := range []struct {
		name   string
		equals bool
	}{
		{"status", row.Status == clear.Status}, {"severity", row.Severity == clear.Severity}, {"restricted", row.Restricted == clear.Restricted},
		{"commander", row.Commander == clear.Commander}, {"opened_at", row.OpenedAt.Equal(clear.OpenedAt)}, {"updated_at", row.UpdatedAt.Equal(clear.UpdatedAt)},
		{"review_at", timeOrZero(row.ReviewAt).Equal(timeOrZero(clear.ReviewAt))}, {"legal_hold", row.LegalHold == clear.LegalHold},
		{"merged_into", row.MergedInto == clear.MergedInto}, {"origin", row.Origin == clear.Origin}, {"state_form", row.StateForm == clear.StateForm},
	} {
		if !column.equals {
			addProblem(ProblemColumn, column.name, "differs from the encrypted state")
		}
	}
	return nil
}
