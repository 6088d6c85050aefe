package incident

import "cmp"

// Meets reports whether the signature was made at a level or a higher one.
func (s Signature) Meets(level AuthLevel) bool {
	switch level {
	case AuthPasskey:
		return s.Proof != nil
	case AuthMFA:
		return s.Proof != nil || s.Via == ViaWeb && s.SecondFactor
	}
	return true
}

// Method returns how the signature was made, as part of a sentence: "with a passkey".
func (s Signature) Method() string {
	via := cmp.Or(s.Via, Via(s.Auth)) // an earlier version stored Auth only
	switch {
	case s.Proof != nil:
		return "with a passkey"
	case via == ViaWeb && s.SecondFactor:
		return "on the pages with a second factor"
	case via == ViaWeb && s.Through == ThroughHost:
		return "on the pages through a login link of the host, without a second factor"
	case via == ViaWeb:
		return "on the pages without a second factor"
	case via == ViaSlack:
		return "in Slack without a second factor"
	case via == ViaCLI, s.Auth == "unix socket":
		return "by the command line of the host (local), without a second factor"
	case s.Auth == "":
		return "in an unknown way"
	}
	return "through " + s.Auth
}

// SignedBelow returns the departments whose signatures on the current digest do not meet the level
// of the policy: it was raised after they signed. They do not count until these people sign again.
func (i Incident) SignedBelow(p Policy) []Department {
	var out []Department
	for _, team := range RequiredDepartments() {
		if s := i.SignedBy(team); s != nil && !s.Meets(p.SignLevel) {
			out = append(out, team)
		}
	}
	return out
}
