// Package session describes the sessions on the pages as the database stores them.
package session

import (
	"context"
	"time"

	"tocsin/bot/incident"
)

// Session is a stored session.
type Session struct {
	ID           int64 // set by the store
	TokenHash    string
	Person       incident.PersonID // "" before the sign-in
	Through      string            // see [incident.Command.Through]
	SecondFactor bool
	CreatedAt    time.Time
	UsedAt       time.Time
	ExpiresAt    time.Time
	Body         []byte // stored encrypted
}

// ThroughLink is [Session.Through] of an unused login link. Its row is not a session.
const ThroughLink = "login-link"

// Filter selects the sessions of people that match every field that is set.
type Filter struct {
	ID      int64
	Person  incident.PersonID
	Through []string  // any of them
	Since   time.Time // created at or after it
}

// Store is the database of sessions.
type Store interface {
	// FindSession returns the session with the hash of a token. It reports false if there is
	// none or it expired.
	FindSession(ctx context.Context, tokenHash string) (Session, bool, error)
	// PutSession writes a new session.
	PutSession(ctx context.Context, s Session) error
	// UpdateSession writes a session that exists. One that ended stays ended.
	UpdateSession(ctx context.Context, s Session) error
	// TouchSession sets when a session was used last and when it expires.
	TouchSession(ctx context.Context, tokenHash string, used, expires time.Time) error
	// DropSession deletes the session with the hash of a token.
	DropSession(ctx context.Context, tokenHash string) error
	// Sessions returns the selected sessions without their bodies, the newest first.
	Sessions(ctx context.Context, f Filter) ([]Session, error)
	// EndSessions deletes the selected sessions and returns their number. A session is
	// counted by one call only.
	EndSessions(ctx context.Context, f Filter) (int, error)
}
