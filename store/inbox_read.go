package store

import (
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// FirstDelivery implements [response.Reader]. It scans the inbox, because an index would slow every delivery and only
// interactive requests need it.
func (r reader) FirstDelivery(alert int64) (row int64, err error) {
	err = r.db.Raw(`SELECT coalesce(min(id), 0) FROM inbox WHERE alert_id = ? OR alert_id IN (SELECT id FROM moved_alerts WHERE moved_to = ?)`, alert, alert).Scan(&row).Error
	if err != nil {
		return 0, fmt.Errorf("find first delivery of alert: %w", err)
	}
	return row, nil
}

func (r reader) UndecodableDeliveries(source string, limit int) (out []incident.StoredDelivery, err error) {
	var rows []inboxRow
	err = r.db.Raw("SELECT * FROM inbox WHERE source = ? AND outcome = 'undecodable' ORDER BY id DESC LIMIT ?", source, limit).Scan(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("list undecodable deliveries: %w", err)
	}
	for _, row := range rows {
		one := incident.StoredDelivery{ID: row.ID, Source: row.Source, At: row.ReceivedAt.UTC(), Outcome: row.Outcome}
		if len(row.SealedReason) > 0 {
			if err := r.s.unseal("inbox", inboxKey(row.Source, row.DeliveryHash), "sealed_reason", row.SealedReason, &one.Reason); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

func (r reader) Delivery(id int64) (out incident.StoredDelivery, outcome response.DeliveryOutcome, err error) {
	var rows []inboxRow
	if err := r.db.Raw("SELECT * FROM inbox JOIN delivery_bodies ON inbox_id = id WHERE id = ?", id).Scan(&rows).Error; err != nil {
		return out, outcome, fmt.Errorf("read delivery: %w", err)
	}
	if len(rows) == 0 {
		return out, outcome, incident.NoDelivery(id)
	}
	row := rows[0]
	var d sealedDelivery
	key := inboxKey(row.Source, row.DeliveryHash)
	if err := r.s.unseal("inbox", key, "sealed_body", row.SealedBody, &d); err != nil {
		return out, outcome, err
	}
	outcome = row.deliveryOutcome()
	if len(row.SealedReason) > 0 {
		if err := r.s.unseal("inbox", key, "sealed_reason", row.SealedReason, &outcome.Reason); err != nil {
			return out, outcome, err
		}
	}
	return incident.StoredDelivery{ID: id, Source: row.Source, At: row.ReceivedAt.UTC(), Sender: d.Sender, Verified: d.Verified, SHA256: d.sha256(),
		Outcome: row.Outcome, Reason: outcome.Reason, Body: d.Body}, outcome, nil
}
