package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tocsin/bot/incident"
	"tocsin/store"
)

// AuditPage is the result of `tocsin audit list`.
type AuditPage struct {
	Entries []store.AuditEntry `json:"entries"` // newest first
	Older   bool               `json:"older"`   // others match before these
}

// auditList lists the newest entries of the audit log that match.
func (c *Server) auditList(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	list, older, err := c.Store.ListAudit(ctx, ask.Audit)
	return AuditPage{list, older}, err
}

// auditLine is a line of an export, or the end.
type auditLine struct {
	store.AuditLine
	End   bool            `json:"end,omitempty"`
	Error *incident.Error `json:"error,omitempty"` // ends the export too
}

// auditExport writes the entries of the audit log that match as JSON lines, the oldest
// first. An error aborts the connection, because a partial export must not look complete.
func (c *Server) auditExport(w http.ResponseWriter, r *http.Request, _ incident.Identity, ask Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := c.Store.ExportAudit(r.Context(), ask.Audit, ask.Proofs, func(line store.AuditLine) error { return out.Encode(auditLine{AuditLine: line}) })
	end := auditLine{End: true}
	if errors.Is(err, store.ErrNotVouched) {
		err = incident.Conflict("%s", err)
	}
	if errors.As(err, &end.Error) {
		err = nil
	}
	if err == nil {
		err = out.Encode(end)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// ExportAudit calls fn for each line of an export of the audit log, the oldest entry
// first. operation is audit-export or audit-prove. It stops at the first error.
func (c *Client) ExportAudit(ctx context.Context, operation string, ask Request, fn func(store.AuditLine) error) error {
	res, err := c.post(ctx, operation, ask)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for in := json.NewDecoder(res.Body); ; {
		var line auditLine
		if err := in.Decode(&line); err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		if line.Error != nil {
			return line.Error
		}
		if line.AuditEntry != nil || line.Leaf != nil || line.Checkpoint != "" {
			if err := fn(line.AuditLine); err != nil {
				return err
			}
		}
		if line.End {
			return nil
		}
	}
}
