package store

import (
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// auditDetail is the encrypted part of an access. The identity can be an email address, and a person wrote the reason.
type auditDetail struct {
	Handle incident.Identity `json:"identity"`
	Reason string            `json:"reason,omitempty"`
}

func (t domainTx) Audit(a response.Access) error {
	var id int64
	err := t.db.Raw("INSERT INTO audit (at, person, action, incident_id, allowed, sealed_detail) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
		dbTime(a.At), string(a.Person), a.Action, int64(a.Incident), a.Allowed, []byte{}).Scan(&id).Error
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	sealed, err := t.s.seal("audit", rowKey(id), "sealed_detail", auditDetail{a.Handle, a.Reason})
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE audit SET sealed_detail = ? WHERE id = ?", sealed, id).Error; err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}
