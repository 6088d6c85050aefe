package chat

import "tocsin/bot/incident"

// accessRequested requests an endorsement from the commander and security.
func (m *builder) accessRequested() {
	m.call("May this person read the incident?", append([]incident.PersonID{m.inc.Commander}, m.teamWithout(incident.Security, m.event.By)...)...)
	m.note("access ends after %d days · to decline, type %s", int(incident.AccessTTL.Hours()/24), Typed("revoke PERSON because REASON"))
	m.buttons(m.button("Endorse", incident.Command{Verb: incident.VerbEndorseAccess, Person: m.event.By})...)
}

// brokenGlass explains the limits of break-glass.
func (m *builder) brokenGlass() {
	m.line("The person reads the incident with Tocsin and is not in this channel. The next review agenda lists this use. To end it, type %s.",
		Typed("revoke PERSON because REASON"))
}
