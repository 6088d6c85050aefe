package playbooks

import (
	"strings"

	"tocsin/bot/incident"
)

// suggestion returns the end of a message about the unknown word got. It
// contains the most similar known word, or all known words if none is similar.
func suggestion(got string, known []string) string {
	if near := incident.Nearest(got, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return " (use one of " + strings.Join(known, ", ") + ")"
}
