package store

import (
	"fmt"

	"tocsin/bot/incident"
)

func (r reader) Directory() (incident.Directory, error) {
	var d incident.Directory
	var sealed [][]byte
	if err := r.db.Raw("SELECT sealed_body FROM directory WHERE id = 1").Scan(&sealed).Error; err != nil {
		return d, fmt.Errorf("read directory: %w", err)
	}
	if len(sealed) == 0 {
		return d, nil
	}
	return r.s.directory.unseal(r.s, "directory", 1, "1", "sealed_body", sealed[0])
}

func (t domainTx) PutDirectory(d incident.Directory) error {
	t.wroteDirectory()
	sealed, err := t.s.seal("directory", "1", "sealed_body", d)
	if err != nil {
		return err
	}
	err = t.db.Exec("INSERT INTO directory (id, at, sealed_body) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, sealed_body = excluded.sealed_body",
		t.s.now(), sealed).Error
	if err != nil {
		return fmt.Errorf("write directory: %w", err)
	}
	return nil
}
