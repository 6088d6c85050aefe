package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/s2"
	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
)

// kindDrain is the job that decodes the inbox rows in a range of ids.
const kindDrain = "drain"

const (
	inboxChunk = 128     // rows of one INSERT at most; a power of two
	drainRows  = 512     // rows that are read at once at most
	drainBytes = 8 << 20 // and what they weigh, but for the last one

	// noUpperBound is the end of a drain that takes everything from its beginning on.
	noUpperBound = 1 << 62
)

// inboxRow is a row of the table inbox, as far as it is read, with its body.
type inboxRow struct {
	ID           int64
	Source       string
	DeliveryHash string
	ReceivedAt   time.Time
	HandledAt    *time.Time
	Outcome      string
	IncidentID   int64
	AlertID      int64
	Rule         int
	RoutingID    int64
	SealedBody   []byte
	SealedReason []byte
}

// deliveryOutcome is what became of the delivery, but for the reason, which is sealed.
func (r inboxRow) deliveryOutcome() response.DeliveryOutcome {
	return response.DeliveryOutcome{Row: r.ID, Outcome: r.Outcome, Incident: incident.ID(r.IncidentID), Alert: r.AlertID, Rule: r.Rule, Routing: r.RoutingID}
}

// sealedDelivery is what of a delivery is sealed: the body as it was received, its SHA-256, who sent it and how that
// was verified.
type sealedDelivery struct {
	ID       string            `json:"id"`
	Header   map[string]string `json:"header,omitempty"`
	Body     []byte            `json:"body"`
	SHA256   string            `json:"sha256,omitempty"` // absent in rows of before it was kept
	Sender   string            `json:"sender,omitempty"`
	Verified string            `json:"verified,omitempty"`
}

func newSealedDelivery(d intake.Delivery) sealedDelivery {
	return sealedDelivery{d.ID, d.Header, d.Body, bodyHash(d.Body), d.Sender, d.Verified}
}

func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// hash is the SHA-256 that was kept, or that of a body from before.
func (d sealedDelivery) hash() string {
	if d.SHA256 == "" {
		return bodyHash(d.Body)
	}
	return d.SHA256
}

// inboxKey names the row in its ciphertexts. A row has no id before it is written, but its delivery is as unique.
func inboxKey(source, hash string) string { return source + "/" + hash }

// encode writes the body behind all the rest, which is JSON, and compresses it as fast as can be: a million bodies
// are not to be made longer, and read letter by letter, for the sake of a common format, and most of what they cost is
// to write them twice, into the log and into the database.
func (d sealedDelivery) encode() ([]byte, error) {
	body := d.Body
	d.Body = nil
	about, err := json.Marshal(d, jsontext.AllowInvalidUTF8(true)) // a header may have any bytes; a delivery is not refused for it
	if err != nil {
		return nil, fmt.Errorf("encode a delivery: %w", err)
	}
	head := 1 + binary.MaxVarintLen64 + len(about)
	out := make([]byte, 0, head+s2.MaxEncodedLen(len(body)))
	out = append(out, deliveryFormat)
	out = binary.AppendUvarint(out, uint64(len(about)))
	out = append(out, about...)
	return out[:len(out)+len(s2.Encode(out[len(out):cap(out)], body))], nil
}

// deliveryFormat is the first byte of what sealedForm writes. Rows from before it are JSON and begin with a brace, or
// with plainFormat and have their body as it is.
const (
	plainFormat    = 1
	deliveryFormat = 2
)

// decode reads what sealedForm wrote, and rows from before it.
func (d *sealedDelivery) decode(data []byte) (err error) {
	if len(data) > 0 && data[0] == '{' {
		return json.Unmarshal(data, d)
	}
	if len(data) == 0 || data[0] != plainFormat && data[0] != deliveryFormat {
		return errors.New("the format is unknown")
	}
	length, n := binary.Uvarint(data[1:])
	if n <= 0 || length > uint64(len(data)-1-n) {
		return errors.New("it is cut off")
	}
	about, body := data[1+n:][:length], data[1+n:][length:]
	if err := json.Unmarshal(about, d); err != nil {
		return err
	}
	if d.Body = body; data[0] == deliveryFormat {
		d.Body, err = s2.Decode(nil, body)
	}
	return err
}

// inboxInsert is a delivery as it is written.
type inboxInsert struct {
	source, hash string
	received     time.Time
	sealed       []byte
}

// Accept implements intake.Store.
func (s *Store) Accept(ctx context.Context, ds []intake.Delivery) error {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	rows := make([]inboxInsert, 0, len(ds)) // sealed before the transaction: the writer is not kept waiting for it
	for _, d := range ds {
		hash := s.hash("inbox", "delivery", d.Source, d.ID)
		sealed, err := s.seal("inbox", inboxKey(d.Source, hash), "sealed_body", newSealedDelivery(d))
		if err != nil {
			return err
		}
		rows = append(rows, inboxInsert{d.Source, hash, dbTime(d.Received), sealed})
	}
	return s.txLocked(ctx, true, func(t *tx) error { // a sender waits
		var fresh []int64
		for left := rows; len(left) > 0; { // a transaction that collides is run again, with all of them
			n := chunkSize(len(left), inboxChunk)
			ids, err := t.insert(left[:n])
			if err != nil {
				return err
			}
			fresh, left = append(fresh, ids...), left[n:]
		}
		if len(fresh) == 0 {
			return nil
		}
		return t.ensureDrain(slices.Min(fresh))
	})
}

// insert writes the deliveries that are not known yet, and returns the ids of their rows.
func (t *tx) insert(rows []inboxInsert) (ids []int64, err error) {
	values, bodies := make([]any, 0, 3*len(rows)), make(map[string][]byte, len(rows))
	for _, row := range rows {
		values = append(values, row.source, row.hash, row.received)
		if key := inboxKey(row.source, row.hash); bodies[key] == nil { // of two the first is kept
			bodies[key] = row.sealed
		}
	}
	var written []inboxRow
	err = t.db.Raw("INSERT"+t.queue.orFailClause()+" INTO inbox (source, delivery_hash, received_at) VALUES "+valuesClause("(?, ?, ?)", len(rows))+
		" ON CONFLICT (source, delivery_hash) DO NOTHING RETURNING id, source, delivery_hash", values...).Scan(&written).Error
	if err != nil {
		return nil, fmt.Errorf("keep deliveries: %w", err)
	}
	for left := written; len(left) > 0; {
		n := chunkSize(len(left), inboxChunk)
		values = values[:0]
		for _, row := range left[:n] {
			ids, values = append(ids, row.ID), append(values, row.ID, bodies[inboxKey(row.Source, row.DeliveryHash)])
		}
		err := t.db.Exec("INSERT"+t.queue.orFailClause()+" INTO delivery_bodies (inbox_id, sealed_body) VALUES "+valuesClause("(?, ?)", n), values...).Error
		if err != nil {
			return nil, fmt.Errorf("keep the bodies of deliveries: %w", err)
		}
		left = left[n:]
	}
	return ids, nil
}

func valuesClause(one string, n int) string {
	return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ")
}

// chunkSize is how many of n rows go into the next statement: a power of two, so that there are few statements to compile.
func chunkSize(n, most int) int { return min(1<<(bits.Len(uint(n))-1), most) }

// ensureDrain sees to it that a drain begins after this commit and takes everything from a row on. If one is waiting to
// begin, it will: so under load a drain takes what several commits brought, and the queue does not grow with the alerts.
// One that runs already does not count, for it may have read the inbox before.
func (t *tx) ensureDrain(from int64) error {
	var waiting []int64
	err := t.db.Raw(`SELECT id FROM river_job WHERE state = 'available' AND queue = ? AND kind = ? AND scheduled_at <= `+t.queue.sqlNow()+`
		AND CAST(args -> 'ids' ->> 0 AS bigint) <= ? AND CAST(args -> 'ids' ->> 1 AS bigint) = ? ORDER BY id LIMIT 1`+t.queue.rowLock(),
		queueIntake, kindDrain, from, int64(noUpperBound)).Scan(&waiting).Error
	if err != nil {
		return fmt.Errorf("look for a drain: %w", err)
	}
	if len(waiting) > 0 {
		return nil // and with its row locked, it begins after this commit
	}
	return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{from, noUpperBound}})
}

// Rows implements intake.Store.
func (s *Store) Rows(ctx context.Context, from, to int64) ([]intake.Row, error) {
	var out []intake.Row
	err := s.view(ctx, func(db *gorm.DB) error {
		out = nil
		rows, err := db.Raw("SELECT id, source, delivery_hash, received_at, outcome, sealed_body FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id LIMIT ?",
			from, to, drainRows).Rows()
		if err != nil {
			return fmt.Errorf("read the inbox: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for size := 0; size < drainBytes && rows.Next(); {
			var row inboxRow
			if err := rows.Scan(&row.ID, &row.Source, &row.DeliveryHash, &row.ReceivedAt, &row.Outcome, &row.SealedBody); err != nil {
				return fmt.Errorf("read the inbox: %w", err)
			}
			var d sealedDelivery
			if err := s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", row.SealedBody, &d); err != nil {
				return err
			}
			size += len(d.Body)
			out = append(out, intake.Row{ID: row.ID, Reprocessed: slices.Contains(suppressedOutcomes, row.Outcome), WasUndecodable: row.Outcome == outcomeUndecodable, Delivery: d.delivery(row)})
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read the inbox: %w", err)
		}
		return nil
	})
	return out, err
}

func (d sealedDelivery) delivery(row inboxRow) intake.Delivery {
	return intake.Delivery{Source: row.Source, ID: d.ID, Header: d.Header, Body: d.Body, Received: row.ReceivedAt.UTC(), Sender: d.Sender, Verified: d.Verified}
}

// listChunk bounds the list of one IN.
const listChunk = 512

// padToPowerOfTwo repeats the last of a list until its length is a power of two: lists of every length would each be a statement
// of their own to compile.
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
		err := t.db.Raw("SELECT id FROM inbox WHERE id IN ? AND handled_at IS NULL ORDER BY id"+t.lock, padToPowerOfTwo(chunk)).Scan(&ids).Error
		if err != nil {
			return nil, fmt.Errorf("claim inbox rows: %w", err)
		}
		claimed = append(claimed, ids...)
	}
	return claimed, nil
}

// MarkHandled marks rows with one statement for many; those with a reason each have their own.
func (t domainTx) MarkHandled(rows []response.DeliveryOutcome) error {
	now := t.s.now()
	plain := make([]any, 0, len(rows)*6)
	for _, row := range rows {
		if row.Reason == "" {
			plain = append(plain, row.Row, row.Outcome, int64(row.Incident), row.Alert, row.Rule, row.Routing)
			continue
		}
		reason, err := t.sealReason(row)
		if err != nil {
			return err
		}
		err = t.db.Exec("UPDATE inbox SET handled_at = ?, outcome = ?, incident_id = ?, alert_id = ?, rule = ?, routing_id = ?, sealed_reason = ? WHERE id = ? AND handled_at IS NULL",
			now, row.Outcome, int64(row.Incident), row.Alert, row.Rule, row.Routing, reason, row.Row).Error
		if err != nil {
			return fmt.Errorf("settle an inbox row: %w", err)
		}
	}
	for len(plain) > 0 {
		n := chunkSize(len(plain)/6, inboxChunk)
		err := t.db.Exec("WITH settled (id, outcome, incident_id, alert_id, rule, routing_id) AS (VALUES "+
			valuesClause("(CAST(? AS bigint), CAST(? AS text), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint), CAST(? AS bigint))", n)+
			`) UPDATE`+t.tx.queue.orFailClause()+` inbox SET handled_at = ?, outcome = settled.outcome, incident_id = settled.incident_id, alert_id = settled.alert_id, rule = settled.rule,
			routing_id = settled.routing_id, sealed_reason = NULL FROM settled WHERE inbox.id = settled.id AND inbox.handled_at IS NULL`,
			append(slices.Clone(plain[:n*6]), now)...).Error
		if err != nil {
			return fmt.Errorf("settle inbox rows: %w", err)
		}
		plain = plain[n*6:]
	}
	return nil
}

func (t domainTx) sealReason(settled response.DeliveryOutcome) ([]byte, error) {
	if settled.Reason == "" {
		return nil, nil
	}
	var row inboxRow
	if err := t.db.Raw("SELECT source, delivery_hash FROM inbox WHERE id = ?", settled.Row).Scan(&row).Error; err != nil {
		return nil, fmt.Errorf("find an inbox row: %w", err)
	}
	return t.s.seal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_reason", settled.Reason)
}
