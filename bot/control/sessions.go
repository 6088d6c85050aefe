package control

import (
	"context"
	"time"

	"tocsin/bot/incident"
)

// WebSession is a session on the pages.
type WebSession struct {
	ID           int64             `json:"id"`
	Person       incident.PersonID `json:"person"`
	Name         string            `json:"name"`
	Through      string            `json:"through"`
	SecondFactor bool              `json:"second_factor"`
	SignedIn     time.Time         `json:"signed_in"`
	Used         time.Time         `json:"used"`
	Ends         time.Time         `json:"ends"` // at the latest, without another use
}

// SessionQuery selects sessions on the pages.
type SessionQuery struct {
	ID     int64  `json:"id,omitempty"`
	Person string `json:"person,omitempty"` // a name, a mail address or an account
	All    bool   `json:"all,omitempty"`
}

// EndedSessions is the number of sessions that ended.
type EndedSessions struct {
	Sessions int `json:"sessions"`
}

// LoginLink is a login link for a person.
type LoginLink struct {
	Name    string    `json:"name"`
	Link    string    `json:"link"`
	Expires time.Time `json:"expires"`
}

// Sessions are the sessions on the pages.
type Sessions interface {
	ListSessions(ctx context.Context, q SessionQuery) ([]WebSession, error)
	EndSessions(ctx context.Context, q SessionQuery) (int, error)
	// NewLoginLink makes a login link for a person, and notifies security.
	NewLoginLink(ctx context.Context, by incident.Identity, person string) (LoginLink, error)
}

// listSessions is the operation of `tocsin sessions list`.
func (c *Server) listSessions(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	return c.Sessions.ListSessions(ctx, ask.Session)
}

// endSessions is the operation of `tocsin sessions end`.
func (c *Server) endSessions(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	if ask.Session == (SessionQuery{}) {
		return nil, incident.Invalid("session", "no session is selected. Name one, a person, or all")
	}
	n, err := c.Sessions.EndSessions(ctx, ask.Session)
	return EndedSessions{n}, err
}

// loginLink is the operation of `tocsin login-link`.
func (c *Server) loginLink(ctx context.Context, by incident.Identity, ask Request) (any, error) {
	return c.Sessions.NewLoginLink(ctx, by, ask.Session.Person)
}
