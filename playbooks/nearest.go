package playbooks

import (
	"strings"

	"tocsin/bot/incident"
)

// suggest ends a message about a word that nothing knows: with the nearest
// known one, or, where none is near, with all of them.
func suggest(got string, known []string) string {
	if near := incident.Nearest(got, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return "; known are " + strings.Join(known, ", ")
}
