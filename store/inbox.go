package store

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
)

// kindDrain is the kind of job that decodes the inbox rows in a range of ids.
const kindDrain = "drain"

const (
	inboxChunk    = 128     // maximum rows of one INSERT, a power of two
	maxDrainRows  = 512     // maximum rows of one read
	maxDrainBytes = 8 << 20 // maximum body bytes of one read, without the last body

	// noUpperBound is the upper id of a drain without an end.
	noUpperBound = 1 << 62
)

// inboxRow holds the columns that are read from the tables inbox and delivery_bodies.
type inboxRow struct {
	ID           int64
	Source       string
	DeliveryHash string
	ReceivedAt   time.Time
	HandledAt    *time.Time
	Outcome      string
	Unread       bool
	IncidentID   int64
	AlertID      int64
	Rule         int
	RoutingID    int64
	SealedBody   []byte
	SealedReason []byte
}

// deliveryOutcome returns the outcome of the delivery, without the reason, which is sealed.
func (r inboxRow) deliveryOutcome() response.DeliveryOutcome {
	return response.DeliveryOutcome{Row: r.ID, Outcome: r.Outcome, Incident: incident.ID(r.IncidentID), Alert: r.AlertID, Rule: r.Rule, Routing: r.RoutingID, Unread: r.Unread}
}

// inboxInsert holds the columns of a delivery to insert.
type inboxInsert struct {
	source, hash string
	liveHash     string // of a recording: the hash of the delivery if it had been received from its sender
	received     time.Time
	sealed       []byte
}

// newInboxInsert seals a delivery. Its hash depends on the origin, because a delivery that is not live must not suppress
// the live one.
func (s *Store) newInboxInsert(d intake.Delivery) (inboxInsert, error) {
	row := inboxInsert{source: d.Source, hash: s.hash("inbox", "delivery", d.Source, d.ID), received: dbTime(d.Received)}
	if d.Origin == incident.OriginRecording {
		row.liveHash = row.hash
	}
	if d.Origin != incident.OriginLive {
		row.hash = s.hash("inbox", "delivery", d.Source, d.ID, d.Origin.String())
	}
	var err error
	row.sealed, err = s.seal("inbox", inboxKey(d.Source, row.hash), "sealed_body", newSealedDelivery(d))
	return row, err
}

// Accept implements [intake.Store]. Deliveries take precedence over other transactions, because senders wait for the
// answer.
func (s *Store) Accept(ctx context.Context, ds []intake.Delivery) error {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	// Encrypt before the transaction, because the writer is exclusive on SQLite.
	rows := make([]inboxInsert, 0, len(ds))
	for _, d := range ds {
		row, err := s.newInboxInsert(d)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return s.txLocked(ctx, true, func(t *tx) error {
		left, err := t.withoutKnown(rows)
		if err != nil {
			return err
		}
		var inserted []int64
		for len(left) > 0 {
			n := chunkSize(len(left), inboxChunk)
			ids, err := t.insertDeliveries(left[:n])
			if err != nil {
				return err
			}
			inserted, left = append(inserted, ids...), left[n:]
			t.noteIDs(subjectInbox, ids...)
		}
		if len(inserted) == 0 {
			return nil
		}
		return t.ensureDrain(slices.Min(inserted))
	})
}

// withoutKnown returns the rows without recordings of deliveries that were received from their senders.
func (t *tx) withoutKnown(rows []inboxInsert) ([]inboxInsert, error) {
	out := make([]inboxInsert, 0, len(rows))
	for _, row := range rows {
		var known []int64
		if row.liveHash != "" {
			if err := t.db.Raw("SELECT id FROM inbox WHERE source = ? AND delivery_hash = ?", row.source, row.liveHash).Scan(&known).Error; err != nil {
				return nil, fmt.Errorf("find recorded delivery: %w", err)
			}
		}
		if len(known) == 0 {
			out = append(out, row)
		}
	}
	return out, nil
}

// insertDeliveries writes the deliveries that are not stored yet and returns the ids of their rows.
func (t *tx) insertDeliveries(rows []inboxInsert) (ids []int64, err error) {
	values, bodies := make([]any, 0, 3*len(rows)), make(map[string][]byte, len(rows))
	for _, row := range rows {
		values = append(values, row.source, row.hash, row.received)
		if key := inboxKey(row.source, row.hash); bodies[key] == nil { // the first of two equal deliveries wins
			bodies[key] = row.sealed
		}
	}
	var written []inboxRow
	err = t.db.Raw("INSERT"+t.queue.orFailClause()+" INTO inbox (source, delivery_hash, received_at) VALUES "+valuesClause("(?, ?, ?)", len(rows))+
		" ON CONFLICT (source, delivery_hash) DO NOTHING RETURNING id, source, delivery_hash", values...).Scan(&written).Error
	if err != nil {
		return nil, fmt.Errorf("write deliveries: %w", err)
	}
	for left := written; len(left) > 0; {
		n := chunkSize(len(left), inboxChunk)
		values = values[:0]
		for _, row := range left[:n] {
			ids, values = append(ids, row.ID), append(values, row.ID, bodies[inboxKey(row.Source, row.DeliveryHash)])
		}
		err := t.db.Exec("INSERT"+t.queue.orFailClause()+" INTO delivery_bodies (inbox_id, sealed_body) VALUES "+valuesClause("(?, ?)", n), values...).Error
		if err != nil {
			return nil, fmt.Errorf("write delivery bodies: %w", err)
		}
		left = left[n:]
	}
	return ids, nil
}

// valuesClause returns n comma-separated copies of the placeholders of one row.
func valuesClause(one string, n int) string {
	return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ")
}

// chunkSize returns how many of n rows go into the next statement, at most limit. It is a power of two, to compile few
// different statements. n must be positive.
func chunkSize(n, limit int) int { return min(1<<(bits.Len(uint(n))-1), limit) }

// ensureDrain ensures that a drain of all rows from an id on starts after this commit. It reuses a waiting drain, so
// under load one drain handles the deliveries of several commits and the queue stays short. It does not reuse a running
// drain, which may have read the inbox before this commit.
func (t *tx) ensureDrain(from int64) error {
	waiting, err := t.hasWaitingDrain(from)
	if err != nil {
		return fmt.Errorf("find drain: %w", err)
	}
	if waiting {
		return nil
	}
	return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{from, noUpperBound}})
}

// Rows implements [intake.Store].
func (s *Store) Rows(ctx context.Context, from, to int64) ([]intake.Row, error) {
	var out []intake.Row
	err := s.view(ctx, func(db *gorm.DB) error {
		out = nil
		rows, err := db.Raw("SELECT id, source, delivery_hash, received_at, outcome, unread, sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id BETWEEN ? AND ? AND handled_at IS NULL AND id > "+lastHeldDelivery+" ORDER BY id LIMIT ?",
			from, to, maxDrainRows).Rows()
		if err != nil {
			return fmt.Errorf("read inbox: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for size := 0; size < maxDrainBytes && rows.Next(); {
			var row inboxRow
			if err := rows.Scan(&row.ID, &row.Source, &row.DeliveryHash, &row.ReceivedAt, &row.Outcome, &row.Unread, &row.SealedBody); err != nil {
				return fmt.Errorf("read inbox: %w", err)
			}
			delivery, _, err := s.openDelivery(row)
			if err != nil {
				return err
			}
			size += len(delivery.Body)
			one := intake.Row{ID: row.ID, WasUndecodable: row.Outcome == outcomeUndecodable, Delivery: delivery}
			one.PartlyRead = row.Unread && !one.WasUndecodable
			one.Reprocessed = one.PartlyRead || slices.Contains(suppressedOutcomes, row.Outcome)
			out = append(out, one)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read inbox: %w", err)
		}
		return nil
	})
	return out, err
}

// listChunk is the maximum length of the list in an IN clause.
const listChunk = 512

// padToPowerOfTwo repeats the last element until the length is a power of two. Each list length is a different
// statement to compile.
func padToPowerOfTwo[V any](ids []V) []V {
	if len(ids) == 0 {
		return ids
	}
	out := slices.Clone(ids)
	for len(out)&(len(out)-1) != 0 {
		out = append(out, ids[len(ids)-1])
	}
	return out
}

func (t domainTx) Claim(rows []int64) ([]int64, error) {
	claimed := []int64{}
	for chunk := range slices.Chunk(rows, listChunk) {
		var ids []int64
		err := t.db.Raw("SELECT id FROM inbox WHERE id IN ? AND handled_at IS NULL ORDER BY id"+t.lockClause, padToPowerOfTwo(chunk)).Scan(&ids).Error
		if err != nil {
			return nil, fmt.Errorf("claim inbox rows: %w", err)
		}
		claimed = append(claimed, ids...)
	}
	return claimed, nil
}

// MarkHandled implements [response.Tx]. It updates many rows with one statement, and rows with a reason one by one.
func (t domainTx) MarkHandled(rows []response.DeliveryOutcome) error {
	now := t.s.now()
	args := make([]any, 0, len(rows)*6)
	for _, row := range rows {
		t.tx.note(subjectInbox, row.Row, row.Row)
		if row.Reason == "" {
			args = append(args, row.Row, row.Outcome, int64(row.Incident), row.Alert, row.Rule, row.Routing)
			continue
		}
		reason, err := t.sealReason(row)
		if err != nil {
			return err
		}
		err = t.db.Exec("UPDATE inbox SET handled_at = ?, outcome = ?, incident_id = ?, alert_id = ?, rule = ?, routing_id = ?, unread = ?, sealed_reason = ? WHERE id = ? AND handled_at IS NULL",
			now, row.Outcome, int64(row.Incident), row.Alert, row.Rule, row.Routing, row.Unread, reason, row.Row).Error
		if err != nil {
			return fmt.Errorf("mark inbox row handled: %w", err)
		}
	}
	for len(args) > 0 {
		n := chunkSize(len(args)/6, inboxChunk)
		err := t.db.Exec("WITH handled (id, outcome, incident_id, alert_id, rule, routing_id) AS (VALUES "+
			valuesClause("(CAST(? AS bigint), CAST(? AS text), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint))", n)+
			`) UPDATE`+t.tx.queue.orFailClause()+` inbox SET handled_at = ?, outcome = handled.outcome, incident_id = handled.incident_id, alert_id = handled.alert_id, rule = handled.rule,
			routing_id = handled.routing_id, unread = false, sealed_reason = NULL FROM handled WHERE inbox.id = handled.id AND inbox.handled_at IS NULL`,
			append(slices.Clone(args[:n*6]), now)...).Error
		if err != nil {
			return fmt.Errorf("mark inbox rows handled: %w", err)
		}
		args = args[n*6:]
	}
	return nil
}

func (t domainTx) sealReason(outcome response.DeliveryOutcome) ([]byte, error) {
	if outcome.Reason == "" {
		return nil, nil
	}
	var row inboxRow
	if err := t.db.Raw("SELECT source, delivery_hash FROM inbox WHERE id = ?", outcome.Row).Scan(&row).Error; err != nil {
		return nil, fmt.Errorf("find inbox row: %w", err)
	}
	return t.s.seal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_reason", outcome.Reason)
}
