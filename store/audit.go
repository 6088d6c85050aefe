package store

import (
	"encoding/json"
	"fmt"
	"strconv"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// auditDetail is the encrypted part of an access. The identity can be an email address, and a person wrote the reason.
type auditDetail struct {
	Handle incident.Identity `json:"identity"`
	Reason string            `json:"reason,omitempty"`
}

// auditEntry is an entry of the audit log that has no place in the chain yet.
type auditEntry struct {
	id      int64
	content []byte
}

func (t domainTx) Audit(a response.Access) error {
	var id int64
	err := t.db.Raw("INSERT INTO audit (at, person, action, incident_id, allowed, sealed_detail) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
		dbTime(a.At), string(a.Person), a.Action, int64(a.Incident), a.Allowed, []byte{}).Scan(&id).Error
	if err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	detail := auditDetail{a.Handle, a.Reason}
	sealed, err := t.s.seal("audit", rowKey(id), "sealed_detail", detail)
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE audit SET sealed_detail = ? WHERE id = ?", sealed, id).Error; err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	plain, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode audit entry: %w", err)
	}
	t.tx.audits = append(t.tx.audits, auditEntry{id, auditContent(id, dbTime(a.At), string(a.Person), a.Action, int64(a.Incident), a.Allowed, plain)})
	return nil
}

// auditContent returns the part of an entry that the chain binds to: its columns except those of the chain.
func auditContent(id int64, at, person, action, incidentID, allowed any, detail []byte) []byte {
	b := appendContent(nil, "audit", id)
	b = appendColumn(b, "at", at)
	b = appendColumn(b, "person", person)
	b = appendColumn(b, "action", action)
	b = appendColumn(b, "incident_id", incidentID)
	b = appendColumn(b, "allowed", allowed)
	return appendColumn(b, "sealed_detail", detail)
}

// auditHead is the end of the chain of the audit log.
type auditHead struct {
	Position int64
	Chain    string
}

// next returns the head after an entry. The hash is keyed, so only an instance with the keyset can continue the chain.
func (h auditHead) next(s *Store, content []byte) auditHead {
	position := h.Position + 1
	return auditHead{position, s.hash("audit", "chain", h.Chain, strconv.FormatInt(position, 10), string(content))}
}

// chainAudit adds the entries of the transaction to the chain of the audit log. It locks the head until the commit.
func (s *Store) chainAudit(t *tx) error {
	if len(t.audits) == 0 {
		return nil
	}
	var head auditHead
	if err := t.db.Raw("SELECT position, chain FROM audit_head WHERE id = 1" + t.queue.rowLockClause()).Scan(&head).Error; err != nil {
		return fmt.Errorf("read head of the audit log: %w", err)
	}
	for _, entry := range t.audits {
		head = head.next(s, entry.content)
		if err := t.db.Exec("UPDATE audit SET position = ?, chain = ? WHERE id = ?", head.Position, head.Chain, entry.id).Error; err != nil {
			return fmt.Errorf("chain audit log: %w", err)
		}
		t.note(subjectAudit, entry.id, entry.id)
	}
	if err := t.db.Exec("UPDATE audit_head SET position = ?, chain = ? WHERE id = 1", head.Position, head.Chain).Error; err != nil {
		return fmt.Errorf("write head of the audit log: %w", err)
	}
	return nil
}
