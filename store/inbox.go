package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/intake"
	"tocsin/bot/response"
)

// kindDrain is the job that decodes the inbox rows in a range of ids.
const kindDrain = "drain"

// inboxChunk bounds the rows of one INSERT.
const inboxChunk = 200

// inboxRow is a row of the table inbox, as far as it is read.
type inboxRow struct {
	ID           int64
	Source       string
	DeliveryHash string
	ReceivedAt   time.Time
	HandledAt    *time.Time
	Again        bool
	Outcome      string
	IncidentID   int64
	AlertID      int64
	Rule         int
	RoutingID    int64
	SealedBody   []byte
	SealedReason []byte
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

func sealable(d intake.Delivery) sealedDelivery {
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

// Accept implements intake.Store.
func (s *Store) Accept(ctx context.Context, ds []intake.Delivery) error {
	s.sealing.RLock()
	defer s.sealing.RUnlock()
	values := make([]any, 0, len(ds)*4) // sealed before the transaction: the writer is not kept waiting for it
	for _, d := range ds {
		hash := s.hash("inbox", "delivery", d.Source, d.ID)
		sealed, err := s.seal("inbox", inboxKey(d.Source, hash), "sealed_body", sealable(d))
		if err != nil {
			return err
		}
		values = append(values, d.Source, hash, stamp(d.Received), sealed)
	}
	return s.transact(ctx, func(t *tx) error {
		var fresh []int64
		for chunk := range slices.Chunk(values, inboxChunk*4) {
			var ids []int64
			err := t.db.Raw("INSERT INTO inbox (source, delivery_hash, received_at, sealed_body) VALUES "+
				strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?), ", len(chunk)/4), ", ")+
				" ON CONFLICT (source, delivery_hash) DO NOTHING RETURNING id", chunk...).Scan(&ids).Error
			if err != nil {
				return fmt.Errorf("keep deliveries: %w", err)
			}
			fresh = append(fresh, ids...)
		}
		if len(fresh) == 0 {
			return nil
		}
		return t.enqueue(job{kind: kindDrain, queue: queueIntake, ids: []int64{slices.Min(fresh), slices.Max(fresh)}})
	})
}

// Rows implements intake.Store.
func (s *Store) Rows(ctx context.Context, from, to int64) ([]intake.Row, error) {
	var rows []inboxRow
	err := s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT id, source, delivery_hash, received_at, again, sealed_body FROM inbox WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id",
			from, to).Scan(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("read the inbox: %w", err)
	}
	out := make([]intake.Row, len(rows))
	for i, row := range rows {
		var d sealedDelivery
		if err := s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_body", row.SealedBody, &d); err != nil {
			return nil, err
		}
		out[i] = intake.Row{ID: row.ID, Again: row.Again, Delivery: d.delivery(row)}
	}
	return out, nil
}

func (d sealedDelivery) delivery(row inboxRow) intake.Delivery {
	return intake.Delivery{Source: row.Source, ID: d.ID, Header: d.Header, Body: d.Body, Received: row.ReceivedAt.UTC(), Sender: d.Sender, Verified: d.Verified}
}

func (t domainTx) Claim(rows []int64) ([]int64, error) {
	claimed := []int64{}
	for chunk := range slices.Chunk(rows, 1000) {
		var ids []int64
		err := t.db.Raw("SELECT id FROM inbox WHERE id IN ? AND handled_at IS NULL ORDER BY id"+t.lock, chunk).Scan(&ids).Error
		if err != nil {
			return nil, fmt.Errorf("claim inbox rows: %w", err)
		}
		claimed = append(claimed, ids...)
	}
	return claimed, nil
}

// Settle marks rows of the same fate with one statement; those with a reason each have their own.
func (t domainTx) Settle(rows []response.Settled) error {
	fates := map[response.Settled][]int64{}
	for _, row := range rows {
		fate := row
		fate.Row = 0
		if row.Reason != "" {
			fate.Row = row.Row
		}
		fates[fate] = append(fates[fate], row.Row)
	}
	now := t.s.now()
	for fate, ids := range fates {
		reason, err := t.sealReason(fate)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, 1000) {
			err := t.db.Exec("UPDATE inbox SET handled_at = ?, outcome = ?, incident_id = ?, alert_id = ?, rule = ?, routing_id = ?, again = false, sealed_reason = ? WHERE id IN ? AND handled_at IS NULL",
				now, fate.Outcome, int64(fate.Incident), fate.Alert, fate.Rule, fate.Routing, reason, chunk).Error
			if err != nil {
				return fmt.Errorf("settle inbox rows: %w", err)
			}
		}
	}
	return nil
}

func (t domainTx) sealReason(fate response.Settled) ([]byte, error) {
	if fate.Reason == "" {
		return nil, nil
	}
	var row inboxRow
	if err := t.db.Raw("SELECT source, delivery_hash FROM inbox WHERE id = ?", fate.Row).Scan(&row).Error; err != nil {
		return nil, fmt.Errorf("find an inbox row: %w", err)
	}
	return t.s.seal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_reason", fate.Reason)
}
