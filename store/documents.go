package store

import (
	"fmt"

	"tocsin/bot/incident"
)

func (r reader) Document(id incident.ID, revision int) (incident.Document, error) {
	var d incident.Document
	var sealed [][]byte
	err := r.db.Raw("SELECT sealed_body FROM documents WHERE incident_id = ? AND revision = ?", int64(id), revision).Scan(&sealed).Error
	if err != nil {
		return d, fmt.Errorf("read document: %w", err)
	}
	if len(sealed) == 0 {
		return d, incident.Unknown("revision", "%s has no postmortem with revision %d", id, revision)
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
		return fmt.Errorf("write document: %w", err)
	}
	return nil
}
