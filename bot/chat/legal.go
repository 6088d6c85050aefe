package chat

import (
	"tocsin/bot/incident"
)

// legalDuty follows a fact that concerns legal: personal data, or the awareness that starts
// a deadline.
func (m *builder) legalDuty() {
	switch incident.FactName(m.event.Field("fact")) {
	case incident.FactAware:
		if line := m.deadlineLine(); m.event.Field("regime") == incident.RegimeGDPR && !isEmpty(line) {
			m.line("%s.", line)
		}
	case incident.FactPersonalData:
		people := m.inc.Representatives(m.brief.Directory, incident.Legal, m.brief.Now)
		if p := m.inc.Roles[incident.LegalLead]; p != "" {
			people = []incident.PersonID{p}
		}
		m.call("decide when the company became aware, because the GDPR gives a controller 72 hours from then to notify the authority. Record it as the fact “aware”.", people...)
		m.buttons(ask("Set “aware”", "fact "+m.inc.ID.String()+" aware"))
	}
}
