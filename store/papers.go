package store

import (
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// The directory is one row; documents are one for each revision; the audit log only grows.

func (r reader) Directory() (incident.Directory, error) {
	var d incident.Directory
	var sealed [][]byte
	if err := r.db.Raw("SELECT sealed_body FROM directory WHERE id = 1").Scan(&sealed).Error; err != nil {
		return d, fmt.Errorf("read the directory: %w", err)
	}
	if len(sealed) == 0 {
		return d, nil
	}
	err := r.s.unseal("directory", "1", "sealed_body", sealed[0], &d)
	return d, err
}

func (t domainTx) PutDirectory(d incident.Directory) error {
	sealed, err := t.s.seal("directory", "1", "sealed_body", d)
	if err != nil {
		return err
	}
	err = t.db.Exec("INSERT INTO directory (id, at, sealed_body) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, sealed_body = excluded.sealed_body",
		t.s.now(), sealed).Error
	if err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	return nil
}

func (r reader) Document(id incident.ID, revision int) (incident.Document, error) {
	var d incident.Document
	var sealed [][]byte
	err := r.db.Raw("SELECT sealed_body FROM documents WHERE incident_id = ? AND revision = ?", int64(id), revision).Scan(&sealed).Error
	if err != nil {
		return d, fmt.Errorf("read a document: %w", err)
	}
	if len(sealed) == 0 {
		return d, incident.Unknown("revision", "%s has no postmortem of revision %d", id, revision)
	}
	err = r.s.unseal("documents", rowKey(int(id), revision), "sealed_body", sealed[0], &d)
	return d, err
}

func (t domainTx) PutDocument(id incident.ID, d incident.Document) error {
	sealed, err := t.s.seal("documents", rowKey(int(id), d.Revision), "sealed_body", d)
	if err != nil {
		return err
	}
	err = t.db.Exec(`INSERT INTO documents (incident_id, revision, digest, at, sealed_body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (incident_id, revision) DO UPDATE SET digest = excluded.digest, at = excluded.at, sealed_body = excluded.sealed_body`,
		int64(id), d.Revision, d.Digest, t.s.now(), sealed).Error
	if err != nil {
		return fmt.Errorf("write a document: %w", err)
	}
	return nil
}

// auditDetail is what of an access is sealed: a handle may be an address, a reason is somebody's words.
type auditDetail struct {
	Handle incident.Identity `json:"identity"`
	Reason string            `json:"reason,omitempty"`
}

func (t domainTx) Audit(a response.Access) error {
	var id int64
	err := t.db.Raw("INSERT INTO audit (at, person, action, incident_id, allowed, sealed_detail) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
		dbTime(a.At), string(a.Person), a.Action, int64(a.Incident), a.Allowed, []byte{}).Scan(&id).Error
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	sealed, err := t.s.seal("audit", rowKey(id), "sealed_detail", auditDetail{a.Handle, a.Reason})
	if err != nil {
		return err
	}
	if err := t.db.Exec("UPDATE audit SET sealed_detail = ? WHERE id = ?", sealed, id).Error; err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}
