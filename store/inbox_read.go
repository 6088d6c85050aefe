package store

import (
	"fmt"
	"slices"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// Deliveries implements [response.InboxReader]. For an alert it scans the inbox, because an index would slow every
// delivery and only interactive requests need it.
func (r reader) Deliveries(q response.DeliveryQuery) (out []response.Delivery, err error) {
	table := "inbox"
	if q.Bodies {
		table = "inbox JOIN delivery_bodies ON inbox_id = id"
	}
	limit := int64(noUpperBound)
	if q.Limit > 0 {
		limit = int64(q.Limit)
	}
	read := func(where, order string, args ...any) error {
		var rows []inboxRow
		if err := r.db.Raw("SELECT * FROM "+table+" WHERE "+where+" ORDER BY "+order+" LIMIT ?", append(args, limit)...).Scan(&rows).Error; err != nil {
			return fmt.Errorf("read deliveries: %w", err)
		}
		for _, row := range rows {
			d, err := r.delivery(row)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	}
	switch {
	case q.Alert != 0:
		err = read("alert_id = ? OR alert_id IN (SELECT id FROM moved_alerts WHERE moved_to = ?)", "id", q.Alert, q.Alert)
	case !q.To.IsZero():
		return r.deliveriesBetween(DeliveryFilter{From: q.From, To: q.To}, q.After)
	case q.Undecodable != "":
		err = read("source = ? AND (outcome = ? OR unread)", "id DESC", q.Undecodable, outcomeUndecodable)
	default:
		for chunk := range slices.Chunk(q.Rows, listChunk) {
			if err = read("id IN ?", "id", padToPowerOfTwo(chunk)); err != nil {
				break
			}
		}
	}
	return out, err
}

// delivery decodes a row. Its body is absent if the row has none.
func (r reader) delivery(row inboxRow) (out response.Delivery, err error) {
	out.Outcome = row.deliveryOutcome()
	out.Stored = incident.StoredDelivery{ID: row.ID, Source: row.Source, At: row.ReceivedAt.UTC(), Outcome: row.Outcome}
	key := inboxKey(row.Source, row.DeliveryHash)
	if len(row.SealedReason) > 0 {
		if err := r.s.unseal("inbox", key, "sealed_reason", row.SealedReason, &out.Outcome.Reason); err != nil {
			return out, err
		}
		out.Stored.Reason = out.Outcome.Reason
	}
	if len(row.SealedBody) > 0 {
		var d sealedDelivery
		if err := r.s.unseal("inbox", key, "sealed_body", row.SealedBody, &d); err != nil {
			return out, err
		}
		if out.Stored.Origin, err = d.origin(); err != nil {
			return out, fmt.Errorf("read origin of delivery %d: %w", row.ID, err)
		}
		out.Stored.Sender, out.Stored.Verified, out.Stored.SHA256, out.Stored.Body, out.Stored.Header = d.Sender, d.Verified, d.sha256(), d.Body, d.Header
	}
	return out, nil
}

// deliveriesBetween returns the next batch of deliveries after a row.
func (r reader) deliveriesBetween(filter DeliveryFilter, after int64) ([]response.Delivery, error) {
	batch, err := r.s.readDeliveries(r.db, filter, after)
	out := make([]response.Delivery, len(batch))
	for n, d := range batch {
		out[n].Outcome = d.Outcome
		out[n].Stored = incident.StoredDelivery{ID: d.Row, Source: d.Delivery.Source, Origin: d.Delivery.Origin, At: d.Delivery.Received, Sender: d.Delivery.Sender,
			Verified: d.Delivery.Verified, SHA256: d.SHA256, Outcome: d.Outcome.Outcome, Body: d.Delivery.Body, Header: d.Delivery.Header}
	}
	return out, err
}
