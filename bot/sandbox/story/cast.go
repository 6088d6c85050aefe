package story

import (
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
)

// cast contains the people of the story.
type cast struct {
	first, second company.Person   // first acknowledges and commands, second acknowledges repeated pages
	scribe        company.Person   // writes and submits the record, so cannot sign it
	roles         []roleAssignment // assigned by the commander
	counsel       company.Person   // legal lead, involved later
	wrongSigner   company.Person   // engineer who tries to sign for legal
	objector      company.Person
	consulted     company.Person // member of the payments team
	signers       map[string]company.Person
	chair         company.Person // leads the review meeting
}

type roleAssignment struct {
	role   string
	person company.Person
}

// signingDepartments returns the departments that sign the closing record.
func signingDepartments() []string { return company.Departments()[:4] }

func (p *player) assignRoles() cast {
	in := p.Company.In
	engineers, security := in("engineering"), in("security")
	c := cast{first: engineers[0], second: security[0], scribe: engineers[3], signers: map[string]company.Person{}}
	if p.rng.IntN(2) == 0 {
		c.first, c.second = c.second, c.first
	}
	c.counsel = pick(p.rng, in("legal")...)
	c.roles = []roleAssignment{{"scribe", c.scribe}, {"operations", engineers[2]}, {"security", pick(p.rng, security[1:]...)}, {"communicator", pick(p.rng, in("communications")...)}}
	c.wrongSigner = pick(p.rng, engineers[:3]...)
	c.consulted = pick(p.rng, in("payments")...)
	for _, d := range signingDepartments() {
		people := in(d)
		if d == "engineering" {
			people = people[:3] // without the scribe, who submits the record
		}
		c.signers[d] = pick(p.rng, people...)
	}
	c.chair = pick(p.rng, engineers[0], security[0], in("communications")[0])
	return c
}

// scenario is the course of the story that the seed selects.
type scenario struct {
	source             string
	issue              *feed.Issue // issue in Sentry, or nil
	calls              []feed.Call // CloudTrail calls in order, if issue is nil
	copies             int         // repeats of the first alert
	restrictedWords    []string    // words of the alert that must not be announced
	ackBy              string
	severity           string // set by the commander
	alertsAfterGrading bool   // the other alerts are sent after the severity was set
	personalData       string // "suspected" or "confirmed"
	consult            bool   // the payments team is consulted and blocks approval until it answers
	objecting          string // department
	audience           string
	staleForm          bool // the old digest is signed in an open form instead of by a command
	signOrder          []string
	texts              texts
}

func (p *player) chooseScenario() scenario {
	r := p.rng
	s := scenario{copies: 10 + r.IntN(6), ackBy: pick(r, "pagerduty", "button", "command"), personalData: pick(r, "suspected", "suspected", "confirmed"),
		consult: r.IntN(2) == 0, objecting: pick(r, signingDepartments()...), audience: pick(r, "all", "responders", "legal_and_security"), staleForm: r.IntN(2) == 0, alertsAfterGrading: r.IntN(2) == 0}
	for _, q := range p.Company.In(s.objecting) {
		if q.ID != p.cast.scribe.ID && (p.cast.objector.ID == "" || r.IntN(2) == 0) {
			p.cast.objector = q
		}
	}
	s.signOrder = append([]string{}, signingDepartments()...)
	r.Shuffle(len(s.signOrder), func(i, j int) { s.signOrder[i], s.signOrder[j] = s.signOrder[j], s.signOrder[i] })
	switch r.IntN(4) {
	case 0, 1:
		issue := feed.NewIssue(feed.DataLeak, p.Seed)
		s.source, s.issue, s.severity, s.texts = "Sentry: data leak", &issue, pick(r, "sev2", "sev3"), leakTexts
		s.restrictedWords = []string{issue.Type, issue.Value, issue.Project.Slug}
	case 2:
		s.cloudTrailAlerts("CloudTrail: access key", keyTexts, feed.CreateAccessKey(p.Seed), feed.StopLogging(p.Seed))
	default:
		s.cloudTrailAlerts("CloudTrail: audit trail stopped", trailTexts, feed.StopLogging(p.Seed), feed.CreateAccessKey(p.Seed))
	}
	if s.issue == nil {
		s.severity = pick(r, "sev1", "sev3")
	}
	return s
}

// cloudTrailAlerts sets two CloudTrail calls of one user as the alerts.
func (s *scenario) cloudTrailAlerts(source string, words texts, first, then feed.Call) {
	then.Account, then.Identity, then.SourceIP, then.UserAgent = first.Account, first.Identity, first.SourceIP, first.UserAgent
	s.source, s.calls, s.texts = source, []feed.Call{first, then}, words
	s.restrictedWords = []string{first.Name, first.Account, first.SourceIP}
	if arn, ok := first.Identity["arn"].(string); ok {
		s.restrictedWords = append(s.restrictedWords, arn)
	}
}
