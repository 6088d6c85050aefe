package story

import (
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
)

// cast is who plays which part.
type cast struct {
	first, second company.Person   // acknowledge, the second only where it is paged again
	scribe        company.Person   // writes and submits the record, and therefore does not sign it
	roles         []roleAssignment // handed out by the commander
	counsel       company.Person   // the legal lead, called in later
	impostor      company.Person   // an engineer who tries to sign for legal
	objector      company.Person
	consulted     company.Person // of the affected team
	signers       map[string]company.Person
	chair         company.Person // of the review meeting
}

type roleAssignment struct {
	role   string
	person company.Person
}

// signing are the departments that sign.
func signing() []string { return company.Departments()[:4] }

func (p *play) assignRoles() cast {
	in := p.Company.In
	engineers, security := in("engineering"), in("security")
	c := cast{first: engineers[0], second: security[0], scribe: engineers[3], signers: map[string]company.Person{}}
	if p.rng.IntN(2) == 0 {
		c.first, c.second = c.second, c.first
	}
	c.counsel = pick(p.rng, in("legal")...)
	c.roles = []roleAssignment{{"scribe", c.scribe}, {"operations", engineers[2]}, {"security", pick(p.rng, security[1:]...)}, {"communicator", pick(p.rng, in("communications")...)}}
	c.impostor = pick(p.rng, engineers[:3]...)
	c.consulted = pick(p.rng, in("payments")...)
	for _, d := range signing() {
		people := in(d)
		if d == "engineering" {
			people = people[:3] // the scribe submits
		}
		c.signers[d] = pick(p.rng, people...)
	}
	c.chair = pick(p.rng, engineers[0], security[0], in("communications")[0])
	return c
}

// scenario is what the seed decided about the course of things.
type scenario struct {
	source    string
	issue     *feed.Issue // of Sentry, or nil
	calls     []feed.Call // of CloudTrail: what happened first, and what followed
	copies    int         // of the first alert
	secret    []string    // words of the alert that stay inside the channel
	ackBy     string
	severity  string // what it is graded as
	late      bool   // the other alerts come after it was graded
	personal  string // suspected or confirmed
	consult   bool   // the payments team is asked, and blocks until it answers
	objecting string
	audience  string
	leftOpen  bool // the stale digest comes from a form left open, not from typing
	order     []string
	prose     prose
}

func (p *play) chooseScenario() scenario {
	r := p.rng
	s := scenario{copies: 10 + r.IntN(6), ackBy: pick(r, "pagerduty", "button", "command"), personal: pick(r, "suspected", "suspected", "confirmed"),
		consult: r.IntN(2) == 0, objecting: pick(r, signing()...), audience: pick(r, "all", "responders", "legal_and_security"), leftOpen: r.IntN(2) == 0, late: r.IntN(2) == 0}
	for _, q := range p.Company.In(s.objecting) {
		if q.ID != p.cast.scribe.ID && (p.cast.objector.ID == "" || r.IntN(2) == 0) {
			p.cast.objector = q
		}
	}
	s.order = append([]string{}, signing()...)
	r.Shuffle(len(s.order), func(i, j int) { s.order[i], s.order[j] = s.order[j], s.order[i] })
	switch r.IntN(4) {
	case 0, 1:
		issue := feed.NewIssue(feed.DataLeak, p.Seed)
		s.source, s.issue, s.severity, s.prose = "Sentry: data leak", &issue, pick(r, "sev2", "sev3"), leakProse
		s.secret = []string{issue.Type, issue.Value, issue.Project.Slug}
	case 2:
		s.cloudTrailAlerts("CloudTrail: access key", keyProse, feed.CreateAccessKey(p.Seed), feed.StopLogging(p.Seed))
	default:
		s.cloudTrailAlerts("CloudTrail: audit trail stopped", trailProse, feed.StopLogging(p.Seed), feed.CreateAccessKey(p.Seed))
	}
	if s.issue == nil {
		s.severity = pick(r, "sev1", "sev3")
	}
	return s
}

// cloudTrailAlerts tells of two calls that one and the same user made.
func (s *scenario) cloudTrailAlerts(source string, words prose, first, then feed.Call) {
	then.Account, then.Identity, then.SourceIP, then.UserAgent = first.Account, first.Identity, first.SourceIP, first.UserAgent
	s.source, s.calls, s.prose = source, []feed.Call{first, then}, words
	s.secret = []string{first.Name, first.Account, first.SourceIP}
	if arn, ok := first.Identity["arn"].(string); ok {
		s.secret = append(s.secret, arn)
	}
}
