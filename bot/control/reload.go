package control

import (
	"context"
	"time"

	"tocsin/bot/incident"
)

// ReloadReport is the state of the configuration of a running process.
type ReloadReport struct {
	LoadedAt time.Time `json:"loaded_at"` // when the configuration in force was loaded
	// Changed are the keys that the last reload changed.
	Changed []string `json:"changed,omitempty"`
	// Error is why the last reload was refused, and FailedAt when the first of
	// the refused reloads was. Empty if the file is in force.
	Error    string    `json:"error,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// Left are the people who left the configuration, with everything they held:
	// after a reload those whom it removed, in a status all of them.
	Left []incident.FormerPerson `json:"left,omitempty"`
}

func (c *Server) reloadConfig(ctx context.Context, by incident.Identity, _ Request) (any, error) {
	report, err := c.Reload(context.WithoutCancel(ctx), by) // a client that hangs up does not stop it halfway
	if err != nil {
		return nil, incident.Invalid("configuration", "the old configuration stays in force. %s", err)
	}
	return report, nil
}

func (c *Server) reloadStatus(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.ReloadStatus(ctx)
}
