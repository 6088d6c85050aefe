package store

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// configurationRow is a row of the table configurations. It holds routing and detection rules that were active
// together.
type configurationRow struct {
	ID              int64
	Digest          string
	DetectionDigest string
	At              time.Time
	SealedRules     []byte
	SealedDetection []byte // nil without detection rules, and in rows from before they were stored
}

func (r reader) Configuration(id int64) (c response.Configuration, err error) {
	var rows []configurationRow
	if err := r.db.Raw("SELECT * FROM configurations WHERE id = ?", id).Scan(&rows).Error; err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if len(rows) == 0 {
		return c, incident.Unknown("configuration", "there is no configuration %d", id)
	}
	row := rows[0]
	c.Since, c.Routing.Digest, c.Detection.Digest = row.At.UTC(), row.Digest, row.DetectionDigest
	if err := r.s.unseal("configurations", rowKey(id), "sealed_rules", row.SealedRules, &c.Routing.Source); err != nil {
		return c, err
	}
	if len(row.SealedDetection) > 0 {
		err = r.s.unseal("configurations", rowKey(id), "sealed_detection", row.SealedDetection, &c.Detection.Source)
	}
	return c, err
}

func (t domainTx) PutConfiguration(c response.Configuration) (int64, error) {
	var row configurationRow
	err := t.db.Raw(`INSERT INTO configurations (digest, detection_digest, at, sealed_rules) VALUES (?, ?, ?, ?)
		ON CONFLICT (digest, detection_digest) DO UPDATE SET digest = excluded.digest RETURNING id, sealed_rules`,
		c.Routing.Digest, c.Detection.Digest, t.s.now(), []byte{}).Scan(&row).Error
	if err != nil {
		return 0, fmt.Errorf("write configuration: %w", err)
	}
	if len(row.SealedRules) > 0 {
		return row.ID, nil
	}
	if row.SealedRules, err = t.s.seal("configurations", rowKey(row.ID), "sealed_rules", c.Routing.Source); err != nil {
		return 0, err
	}
	if c.Detection.Digest != "" {
		if row.SealedDetection, err = t.s.seal("configurations", rowKey(row.ID), "sealed_detection", c.Detection.Source); err != nil {
			return 0, err
		}
	}
	if err := t.db.Exec("UPDATE configurations SET sealed_rules = ?, sealed_detection = ? WHERE id = ?", row.SealedRules, row.SealedDetection, row.ID).Error; err != nil {
		return 0, fmt.Errorf("write configuration: %w", err)
	}
	t.tx.note(subjectConfigurations, row.ID, row.ID)
	return row.ID, nil
}
