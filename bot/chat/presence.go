package chat

import "tocsin/bot/incident"

const hereLabel = "I'm here"

// hereButton returns the button I'm here, or nothing if the status does not allow it.
func (m *builder) hereButton() []Action {
	buttons := m.verbButton(hereLabel, incident.VerbHere)
	for n := range buttons {
		buttons[n].Style = StylePrimary
	}
	return buttons
}

// Who returns who was called to an incident, when and how, and who is here.
func Who(b incident.Brief) Message {
	m := newBuilder(b)
	roster := b.Incident.Roster()
	m.iconLine("busts_in_silhouette", "%s: %d here", Strong{m.inc.ID}, b.Incident.Present())
	if absent := len(b.Incident.Absent(b.Now)); absent > 0 {
		m.line("%d without a sign after %d minutes", absent, int(incident.AbsenceTimeout.Minutes()))
	}
	if len(roster) == 0 {
		m.line("No person was called yet.")
	}
	for start := 0; start < len(roster); start += maxRosterLines {
		var lines []any
		for _, p := range roster[start:min(len(roster), start+maxRosterLines)] {
			lines = append(lines, m.presence(p))
		}
		m.line("%s", Joined{"\n", lines})
	}
	m.line("To page another person, type %s.", Typed("page @PERSON because REASON"))
	m.buttons(m.hereButton()...)
	return m.message()
}

// maxRosterLines is the number of people in one paragraph of the list.
const maxRosterLines = 15

// presence returns one line about a person. The name is plain text: a list must not
// notify the people in it.
func (m *builder) presence(p incident.Presence) Text {
	var facts []any
	for _, f := range p.Facts(m.inc, m.brief.Now) {
		facts = append(facts, f)
	}
	icon := Icon("hourglass_flowing_sand")
	switch {
	case !p.Here.IsZero():
		icon = "white_check_mark"
	case p.NotInvited != "":
		icon = "warning"
	}
	return textf("%s %s: %s", icon, Plain(m.Directory.Name(p.Person)), Joined{", ", facts})
}
