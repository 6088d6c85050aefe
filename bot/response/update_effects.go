package response

import "tocsin/bot/incident"

// withholdUpdate reports whether an update must not be sent any more: the incident became
// restricted after the approval, and the audience may not get its texts. The register of
// the update says so.
func (a *attempt) withholdUpdate(s *session) (bool, error) {
	dr, err := s.draft(a.effect.Incident)
	if err != nil {
		return false, err
	}
	name := a.effect.Args["audience"]
	audience, _ := s.dir.Audience(name) // none if it left the configuration
	if !dr.inc.Restricted || audience.Restricted {
		return false, nil
	}
	cmd := incident.UpdateSentCommand(a.effect, name)
	cmd.Reason = "restricted"
	err = s.doAsBot(a.effect.Incident, cmd)
	return true, err
}
