package control

import (
	"context"
	"encoding/json"
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

// auditLine is a line of an export: an entry or the end.
type auditLine struct {
	*store.AuditEntry
	End bool `json:"end,omitempty"`
}

// auditExport writes the entries of the audit log that match as JSON lines, the oldest
// first. An error aborts the connection, because a partial export must not look complete.
func (c *Server) auditExport(w http.ResponseWriter, r *http.Request, _ incident.Identity, ask Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := c.Store.EachAudit(r.Context(), ask.Audit, func(e store.AuditEntry) error { return out.Encode(auditLine{AuditEntry: &e}) })
	if err == nil {
		err = out.Encode(auditLine{End: true})
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// ExportAudit calls fn for each entry of the audit log that matches the query of a
// request, the oldest first. It stops at the first error.
func (c *Client) ExportAudit(ctx context.Context, ask Request, fn func(store.AuditEntry) error) error {
	res, err := c.post(ctx, "audit-export", ask)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	for in := json.NewDecoder(res.Body); ; {
		var line auditLine
		if err := in.Decode(&line); err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		if line.AuditEntry != nil {
			if err := fn(*line.AuditEntry); err != nil {
				return err
			}
		}
		if line.End {
			return nil
		}
	}
}
