package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// packDesk is the part of [Desk] that exports evidence packs.
type packDesk interface {
	Pack(ctx context.Context, who incident.Identity, id incident.ID, reason string) ([]byte, error)
}

// packRoutes registers the download of evidence packs.
func (s *Server) packRoutes() { s.private("GET /incidents/{id}/pack", s.downloadPack) }

// packTimeout is how long the download of a pack may take.
const packTimeout = 10 * time.Minute

// downloadPack sends the evidence pack of an incident.
func (s *Server) downloadPack(w http.ResponseWriter, r *http.Request, v visitor) error {
	id, err := incident.ParseID(r.PathValue("id"))
	if err != nil {
		return err
	}
	data, err := s.Desk().Pack(r.Context(), v.identity(), id, "pages")
	if err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(s.Now().Add(packTimeout)) // not every writer has a deadline
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-evidence.zip"`, id))
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = bytes.NewReader(data).WriteTo(w) // the browser sees that the connection ended early
	return nil
}
