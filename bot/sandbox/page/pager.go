package page

import (
	"slices"

	"tocsin/bot/sandbox/pager"
)

type pagerAction struct {
	User     string `json:"user"`
	Incident string `json:"incident"`
	Text     string `json:"text,omitempty"`
}

// pagerUser returns the pager's user id of a workspace user with this mail
// address. Other ids are returned unchanged.
func (p *Page) pagerUser(id string) string {
	people := p.people()
	if i := slices.IndexFunc(people, func(x person) bool { return x.ID == id && x.Pager != "" }); i >= 0 {
		return people[i].Pager
	}
	return id
}

// acknowledgePage acknowledges a page. Without an incident it is the newest one that
// nobody acknowledged, and without a user the first person who was paged.
func (p *Page) acknowledgePage(in pagerAction) error {
	for _, one := range slices.Backward(p.cfg.Pager.Snapshot().Incidents) {
		if in.Incident == "" && one.Status == pager.Triggered {
			in.Incident = one.ID
		}
		if in.User == "" && one.ID == in.Incident && len(one.Assignees) > 0 {
			in.User = one.Assignees[0]
		}
	}
	return p.cfg.Pager.Acknowledge(in.Incident, p.pagerUser(in.User))
}

// pagerState returns the pager account for the page, without deliveries, which
// are in the log.
func (p *Page) pagerState() any {
	s := p.cfg.Pager.Snapshot()
	slices.Reverse(s.Incidents)
	if s.Incidents == nil {
		s.Incidents = []pager.Incident{}
	}
	if s.Pages == nil {
		s.Pages = []pager.Page{}
	}
	return map[string]any{"users": s.Users, "services": s.Services, "incidents": s.Incidents, "pages": s.Pages}
}
