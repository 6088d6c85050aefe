package chat

import (
	"context"
	"fmt"
	"strconv"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxBriefedSteps is the maximum number of open steps in a briefing.
const maxBriefedSteps = 12

func fmtSeq(n int) string { return "#" + strconv.Itoa(n) }

// Briefing sends the state of the incident to the person who takes the command over.
func (c *Effects) Briefing(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	person := incident.PersonID(e.Args["person"])
	if b.Incident.Commander != person {
		return noCommand, nil // the command moved on
	}
	_, err := c.sendToEach(ctx, b, []incident.PersonID{person}, BriefingMessage(b))
	return noCommand, err
}

// BriefingMessage returns the briefing of a new commander: the text of the former one and
// the state of the incident.
func BriefingMessage(b incident.Brief) Message {
	m := newEventBuilder(b)
	inc := m.inc
	m.iconLine("handshake", "%s made you the commander of %s.", m.event.By, Strong{inc.ID})
	m.quoteText("reason")
	m.quote(inc.Title)
	m.state()
	var steps []string
	for _, r := range inc.Runs {
		for _, s := range r.Plan {
			if s.Action != "" || s.Started.IsZero() || s.Finished() {
				continue
			}
			line := text.Truncate(s.Title, 150)
			if s.Role != "" {
				line += " (" + string(s.Role) + ")"
			}
			if s.Status == incident.StepLate {
				line = "LATE: " + line
			}
			steps = append(steps, line)
		}
	}
	if len(steps) > 0 {
		m.heading(fmt.Sprintf("Open steps: %d", len(steps)))
		m.bullets(steps[:min(len(steps), maxBriefedSteps)])
	}
	id := inc.ID.String()
	if c := inc.Links[incident.LinkChannel]; c != "" {
		m.line("Continue in %s.", Channel(c))
	}
	m.buttons(ask("Status", "status "+id), ask("Timeline", "timeline "+id), ask("Updates", "timeline "+id+" updates"))
	return m.message()
}
