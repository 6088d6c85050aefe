package chat

import (
	"strconv"

	"tocsin/bot/incident"
)

// maxChanges is the number of changes through a distrusted provider that the card lists.
const maxChanges = 5

// changesToConfirm lists the changes through a distrusted provider that wait for a person.
func (m *builder) changesToConfirm() {
	changes := m.inc.DistrustedChanges
	if len(changes) == 0 {
		return
	}
	m.iconLine("no_entry", "%s %d. Type %s, or %s after you undid one.", Strong{textf("Changes through %s to confirm or undo:", Plain(changes[0].Provider))}, len(changes),
		Code("confirm "+strconv.Itoa(changes[0].Seq)), Code("confirm "+strconv.Itoa(changes[0].Seq)+" undone HOW"))
	for n, c := range changes {
		if n == maxChanges {
			m.note("Others: %d.", len(changes)-n)
			break
		}
		m.note("%s", Plain(c.Label(m.Directory)))
	}
	m.buttons(m.verbButton("Confirm changes", incident.VerbConfirmChange)...)
}

// distrusted names the next steps after acts through a provider were undone.
func (m *builder) distrusted() {
	if len(m.event.DistrustedChanges()) > 0 {
		m.line("The card lists the changes that people must confirm or undo.")
	}
	m.buttons(m.ackButton()...)
}
