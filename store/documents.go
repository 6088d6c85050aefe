package store

import (
	"fmt"

	"tocsin/bot/incident"
)

// storedDocument is a document as it is stored. Markdown and HTML are the files of
// documents that were stored before documents had a list of files.
type storedDocument struct {
	Revision       int
	Digest         string
	Files          []incident.File
	Markdown, HTML string `json:",omitempty"`
}

// document returns the document of an incident.
func (d storedDocument) document(id incident.ID) incident.Document {
	for _, old := range []struct{ format, extension, mediaType, content string }{{"Markdown", "md", "text/markdown", d.Markdown}, {"HTML", "html", "text/html", d.HTML}} {
		if old.content != "" {
			d.Files = append(d.Files, incident.File{Name: fmt.Sprintf("%s-postmortem-r%d.%s", id, d.Revision, old.extension),
				Title: fmt.Sprintf("Postmortem of %s (%s)", id, old.format), MediaType: old.mediaType, Content: old.content})
		}
	}
	return incident.Document{Revision: d.Revision, Digest: d.Digest, Files: d.Files}
}

func (r reader) Document(id incident.ID, revision int) (incident.Document, error) {
	var d storedDocument
	var sealed [][]byte
	err := r.db.Raw("SELECT sealed_body FROM documents WHERE incident_id = ? AND revision = ?", int64(id), revision).Scan(&sealed).Error
	if err != nil {
		return incident.Document{}, fmt.Errorf("read document: %w", err)
	}
	if len(sealed) == 0 {
		return incident.Document{}, incident.Unknown("revision", "%s has no postmortem with revision %d", id, revision)
	}
	err = r.s.unseal("documents", rowKey(int(id), revision), "sealed_body", sealed[0], &d)
	return d.document(id), err
}

func (t domainTx) PutDocument(id incident.ID, d incident.Document) error {
	sealed, err := t.s.seal("documents", rowKey(int(id), d.Revision), "sealed_body", storedDocument{Revision: d.Revision, Digest: d.Digest, Files: d.Files})
	if err != nil {
		return err
	}
	var row int64
	err = t.db.Raw(`INSERT INTO documents (incident_id, revision, digest, at, sealed_body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (incident_id, revision) DO UPDATE SET digest = excluded.digest, at = excluded.at, sealed_body = excluded.sealed_body RETURNING id`,
		int64(id), d.Revision, d.Digest, t.s.now(), sealed).Scan(&row).Error
	if err != nil {
		return fmt.Errorf("write document: %w", err)
	}
	t.tx.note(subjectDocuments, row, row)
	return nil
}
