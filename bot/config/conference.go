package config

import (
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// IncidentID stands for the ID of the incident in conference_url.
const IncidentID = "{id}"

// CallURL returns the address of the call of an incident, or "" without conference_url.
func (c Config) CallURL(id incident.ID) string {
	return strings.ReplaceAll(c.ConferenceURL, IncidentID, id.String())
}

func (c Config) validateConference(p *setting.Problems) {
	if c.ConferenceURL != "" && !setting.IsPage(c.CallURL(1)) {
		p.Add("conference_url", "is not the address of a page. Write one such as https://meet.example.com/security-%s, or omit the key", IncidentID)
	}
}
