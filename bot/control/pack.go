package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"tocsin/bot/incident"
)

// pack writes the evidence pack of an incident, if the user may read the incident. The
// command of the request names the incident.
func (c *Server) pack(w http.ResponseWriter, r *http.Request, who incident.Identity, ask Request) {
	id, err := incident.ParseID(ask.Command)
	if err != nil {
		writeControlError(w, err, "")
		return
	}
	data, err := c.Desk().Pack(r.Context(), who, id, ask.Reason)
	if err != nil {
		writeControlError(w, err, "")
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the client sees that the connection ended early
}

// ExportPack writes the evidence pack of an incident to w.
func (c *Client) ExportPack(ctx context.Context, id incident.ID, reason string, w io.Writer) error {
	res, err := c.post(ctx, "pack", Request{Command: id.String(), Reason: reason})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("receive the evidence pack of %s: %w", id, err)
	}
	return nil
}
