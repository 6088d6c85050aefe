package page

import (
	"slices"

	"tocsin/bot/sandbox/pager"
)

type paged struct {
	User     string `json:"user"`
	Incident string `json:"incident"`
	Text     string `json:"text,omitempty"`
}

// pagerUser finds the pager's user behind an id of the workspace, by e-mail
// address. An id that is the pager's own, or nobody's, stays as it is.
func (p *Page) pagerUser(id string) string {
	people := p.people()
	if i := slices.IndexFunc(people, func(x person) bool { return x.ID == id && x.Pager != "" }); i >= 0 {
		return people[i].Pager
	}
	return id
}

// pagerState is the account as the page shows it; deliveries are in the log.
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
