package control

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// ReloadReport is the state of the configuration of a running process.
type ReloadReport struct {
	LoadedAt time.Time `json:"loaded_at"` // when the configuration in force was loaded
	// Changed are the keys that the last reload changed.
	Changed []string `json:"changed,omitempty"`
	// Content are the rule files and playbooks that the last reload added, changed or
	// removed.
	Content []ContentChange `json:"content,omitempty"`
	// Error is why the last reload was refused, and FailedAt when the first of
	// the refused reloads was. Empty if the file is in force.
	Error    string    `json:"error,omitempty"`
	FailedAt time.Time `json:"failed_at,omitzero"`
	// Left are the people who left the configuration, with everything they held:
	// after a reload those whom it removed, in a status all of them.
	Left []incident.FormerPerson `json:"left,omitempty"`
}

// ContentChange is a rule file or a playbook that a reload added, changed or removed.
type ContentChange struct {
	Change string   `json:"change"`          // added, changed or removed
	Kind   string   `json:"kind"`            // rule file or playbook
	File   string   `json:"file,omitempty"`  // empty for a built-in playbook
	Names  []string `json:"names,omitempty"` // of the rules in the file, or of the playbook
}

// String returns the change on one line.
func (c ContentChange) String() string {
	names, file := strings.Join(c.Names, ", "), cmp.Or(c.File, "built-in")
	if c.Kind == "playbook" {
		return fmt.Sprintf("%s playbook %s (%s)", c.Change, names, file)
	}
	if names == "" {
		return fmt.Sprintf("%s %s %s", c.Change, c.Kind, file)
	}
	return fmt.Sprintf("%s %s %s (%s)", c.Change, c.Kind, file, names)
}

func (c *Server) reloadConfig(ctx context.Context, by incident.Identity, _ Request) (any, error) {
	report, err := c.Reload(context.WithoutCancel(ctx), by) // a client that hangs up does not stop it halfway
	if err != nil {
		return nil, incident.Invalid("configuration", "the old configuration stays in force: %s", err)
	}
	return report, nil
}

func (c *Server) reloadStatus(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.ReloadStatus(ctx)
}
