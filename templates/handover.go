package templates

import (
	"strings"

	"tocsin/bot/incident"
)

// heldTexts describes each kind of [incident.Held]. %s is the reference.
var heldTexts = map[string]string{
	incident.HeldRole:       "the role %s",
	incident.HeldAccess:     "read access",
	incident.HeldDelegation: "a delegation for %s",
	incident.HeldSignature:  "a signature for %s, which no longer counts",
	incident.HeldObjection:  "the open objection %s",
	incident.HeldProposal:   "a proposed %s, which no longer counts",
	incident.HeldStep:       "the open step %s",
	incident.HeldAction:     "the action item %s, which has a new owner",
	incident.HeldReview:     "the review meeting on %s",
}

// HandoverText returns the text for the people who take over from a person who left
// the configuration: the heading, and one line for each incident. It names
// incidents by number only, because the readers may not be allowed to read them.
func HandoverText(args map[string]string, dir incident.Directory) (heading string, lines []string) {
	name := strings.TrimSuffix(personName(dir, incident.PersonID(args["person"])), " (former)")
	heading = name + " left the configuration of Tocsin. Please hand over the open work"
	last := ""
	for _, entry := range strings.Split(args["held"], "; ") {
		id, rest, _ := strings.Cut(entry, " ")
		kind, ref, _ := strings.Cut(rest, " ")
		text, known := heldTexts[kind]
		if !known {
			continue
		}
		text = strings.ReplaceAll(text, "%s", oneLine(ref))
		if id == last {
			lines[len(lines)-1] += ", " + text
			continue
		}
		last = id
		lines = append(lines, id+": "+text)
	}
	if more := args["more"]; more != "" && more != "0" {
		lines = append(lines, "and "+more+" more")
	}
	return heading, lines
}

// HandoverAdvice follows the lines of [HandoverText].
const HandoverAdvice = "Roles, access, delegations and proposals have ended. Assign the roles again and find people for the open steps, objections and meetings. Tocsin did not remove the person from Slack channels: do it there if the account stays active."

// HandoverMail returns the text of [HandoverText] as a mail.
func HandoverMail(args map[string]string, dir incident.Directory) Message {
	heading, lines := HandoverText(args, dir)
	l := mailLayout{Heading: heading, Lines: append(lines, HandoverAdvice),
		Small: "You receive this mail because you are the head of a department of this person, or represent security."}
	return l.message("Tocsin: " + heading)
}
