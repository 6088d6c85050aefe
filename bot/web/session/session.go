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

// Filter selects sessions of people: those that match every field that is set.
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
	// PutSession writes a session, also one that exists.
	PutSession(ctx context.Context, s Session) error
	// DropSession deletes the session with the hash of a token.
	DropSession(ctx context.Context, tokenHash string) error
	// Sessions returns the selected sessions without their bodies, the newest first.
	Sessions(ctx context.Context, f Filter) ([]Session, error)
	// EndSessions deletes the selected sessions and returns their number.
	EndSessions(ctx context.Context, f Filter) (int, error)
}
