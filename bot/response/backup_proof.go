package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// recordedProofTTL is how long a report is remembered. Older ones are not read again.
const recordedProofTTL = 60 * 24 * 3600e9

// AuditBackupProof writes the result of the proof of a backup to the audit log, once for
// all replicas. key is the name of the report.
func (d *Desk) AuditBackupProof(ctx context.Context, key, result string, isProof bool) error {
	err := d.Store.Tx(ctx, func(tx Tx) error {
		values, err := tx.Values(NamespaceBackupProof, key)
		if err != nil || values[key] != nil {
			return err
		}
		now := d.Now()
		if err := putValue(tx, NamespaceBackupProof, key, isProof, now.Add(recordedProofTTL)); err != nil {
			return err
		}
		return tx.Audit(Access{At: now, Handle: incident.System, Action: "backup proof", Reason: result, Allowed: isProof})
	})
	if err != nil {
		return fmt.Errorf("audit backup proof: %w", err)
	}
	return nil
}
