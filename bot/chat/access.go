package chat

import "tocsin/bot/incident"

// accessRequested requests an endorsement from the commander and security.
func (m *builder) accessRequested() {
	var commander Text
	if m.inc.Commander != "" {
		commander = textf("%s, ", m.inc.Commander)
	}
	m.line("%s%s: may this person read the incident for %d days? To decline, type %s.", commander, Team(incident.Security),
		int(incident.AccessTTL.Hours()/24), Typed("revoke PERSON because REASON"))
	m.buttons(m.button("Endorse", incident.Command{Verb: incident.VerbEndorseAccess, Person: m.event.By})...)
}

// brokenGlass explains the limits of break-glass.
func (m *builder) brokenGlass() {
	m.line("The person reads the incident with Tocsin and is not in this channel. The next review agenda lists this use. To end it, type %s.",
		Typed("revoke PERSON because REASON"))
}
