package chat

import (
	"fmt"
	"slices"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxListedPlaybooks is the maximum number of playbooks with a button to start them.
const maxListedPlaybooks = 15

// Playbooks lists the running playbooks of an incident and the other ones, with buttons.
func Playbooks(v incident.View, now time.Time) Message {
	m := newBuilder(briefOf(v, now))
	var running []string
	for _, r := range m.inc.Runs {
		running = append(running, fmt.Sprintf("%s: %s, %d of %d steps", r.Playbook, text.Truncate(r.Title, 100), r.FinishedSteps(), len(r.Plan)))
	}
	if len(running) == 0 {
		m.line("No playbook runs in %s.", Strong{m.inc.ID})
	} else {
		m.line("Playbooks that run in %s:", Strong{m.inc.ID})
		m.bullets(running)
	}
	var others []incident.PlaybookInfo
	for _, p := range v.Playbooks {
		if m.inc.Run(p.Name) == nil {
			others = append(others, p)
		}
	}
	if len(others) == 0 {
		m.line("There is no other playbook to start.")
		return m.message()
	}
	mayStart := slices.Contains(v.Possible, incident.VerbStartPlaybook)
	m.heading("Others:")
	for n, p := range others {
		if n == maxListedPlaybooks {
			m.note("%d more. Type %s with the name.", len(others)-n, Typed("playbook start"))
			break
		}
		m.line("%s: %s", Code(p.Name), Plain(text.Truncate(p.Title, 150)))
		if mayStart {
			m.buttons(m.action("Start "+text.Truncate(p.Name, 40), incident.Command{Verb: incident.VerbStartPlaybook, Playbook: p.Name}))
		}
	}
	if !mayStart {
		m.note("Responders and the commander can start a playbook until the record is submitted.")
	}
	return m.message()
}
