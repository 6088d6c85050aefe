package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// routingRow is a row of the table routings.
type routingRow struct {
	ID          int64
	At          time.Time
	SealedRules []byte
}

func (r reader) Routing(id int64) ([]byte, time.Time, error) {
	var rows []routingRow
	if err := r.db.Raw("SELECT id, at, sealed_rules FROM routings WHERE id = ?", id).Scan(&rows).Error; err != nil {
		return nil, time.Time{}, fmt.Errorf("read a routing: %w", err)
	}
	if len(rows) == 0 {
		return nil, time.Time{}, incident.Unknown("routing", "no routing %d was kept", id)
	}
	var source []byte
	err := r.s.unseal("routings", rowKey(id), "sealed_rules", rows[0].SealedRules, &source)
	return source, rows[0].At.UTC(), err
}

func (t domainTx) PutRouting(digest string, source []byte) (int64, error) {
	var row routingRow
	err := t.db.Raw(`INSERT INTO routings (digest, at, sealed_rules) VALUES (?, ?, ?)
		ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING id, sealed_rules`, digest, t.s.now(), []byte{}).Scan(&row).Error
	if err != nil {
		return 0, fmt.Errorf("keep a routing: %w", err)
	}
	if len(row.SealedRules) > 0 {
		return row.ID, nil
	}
	sealed, err := t.s.seal("routings", rowKey(row.ID), "sealed_rules", source)
	if err != nil {
		return 0, err
	}
	if err := t.db.Exec("UPDATE routings SET sealed_rules = ? WHERE id = ?", sealed, row.ID).Error; err != nil {
		return 0, fmt.Errorf("keep a routing: %w", err)
	}
	return row.ID, nil
}

func (r reader) Delivery(id int64) (out incident.Received, settled response.Settled, err error) {
	var rows []inboxRow
	if err := r.db.Raw("SELECT * FROM inbox WHERE id = ?", id).Scan(&rows).Error; err != nil {
		return out, settled, fmt.Errorf("read a delivery: %w", err)
	}
	if len(rows) == 0 {
		return out, settled, incident.Unknown("delivery", "there is no delivery D%d", id)
	}
	row := rows[0]
	var d sealedDelivery
	key := inboxKey(row.Source, row.DeliveryHash)
	if err := r.s.unseal("inbox", key, "sealed_body", row.SealedBody, &d); err != nil {
		return out, settled, err
	}
	settled = response.Settled{Row: id, Outcome: row.Outcome, Incident: incident.ID(row.IncidentID), Alert: row.AlertID, Rule: row.Rule, Routing: row.RoutingID}
	if len(row.SealedReason) > 0 {
		if err := r.s.unseal("inbox", key, "sealed_reason", row.SealedReason, &settled.Reason); err != nil {
			return out, settled, err
		}
	}
	return incident.Received{ID: id, Source: row.Source, At: row.ReceivedAt.UTC(), Sender: d.Sender, Verified: d.Verified, SHA256: d.hash(),
		Outcome: row.Outcome, Reason: settled.Reason}, settled, nil
}
