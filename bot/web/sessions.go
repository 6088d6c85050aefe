package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
)

// The limits of a session.
const (
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
)

// The values of a session. All are strings.
const (
	valuePerson  = "person"  // [incident.PersonID]
	valueThrough = "through" // see [incident.Command.Through]
	valueFactors = "factors" // "2" if a second factor is proven
	valueCreated = "created" // RFC 3339
)

// newSessions returns the manager of the sessions of a website.
func newSessions(store session.Store, https bool, now func() time.Time) *scs.SessionManager {
	m := scs.New()
	m.Store, m.Codec, m.HashTokenInStore = sessionStore{store, now}, sessionCodec{}, true
	m.IdleTimeout, m.Lifetime = sessionIdle, sessionLife
	m.Cookie.Name, m.Cookie.HttpOnly, m.Cookie.SameSite, m.Cookie.Secure = "tocsin", true, http.SameSiteLaxMode, https
	if https {
		m.Cookie.Name = "__Host-tocsin"
	}
	return m
}

// sessionCodec encodes the values of a session as JSON.
type sessionCodec struct{}

type sessionBody struct {
	Deadline time.Time      `json:"deadline"`
	Values   map[string]any `json:"values"`
}

func (sessionCodec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	return json.Marshal(sessionBody{deadline, values})
}

func (sessionCodec) Decode(b []byte) (time.Time, map[string]any, error) {
	var body sessionBody
	err := json.Unmarshal(b, &body)
	return body.Deadline, body.Values, err
}

// sessionStore adapts a [session.Store] to scs.
type sessionStore struct {
	session.Store
	now func() time.Time
}

func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	found, ok, err := s.FindSession(ctx, token)
	return found.Body, ok, err
}

func (s sessionStore) CommitCtx(ctx context.Context, token string, b []byte, expires time.Time) error {
	var body sessionBody
	if err := json.Unmarshal(b, &body); err != nil {
		return err
	}
	value := func(name string) string {
		v, _ := body.Values[name].(string)
		return v
	}
	now := s.now()
	created, err := time.Parse(time.RFC3339, value(valueCreated))
	if err != nil {
		created = now
	}
	return s.PutSession(ctx, session.Session{TokenHash: token, Person: incident.PersonID(value(valuePerson)), Through: value(valueThrough), SecondFactor: value(valueFactors) == "2",
		CreatedAt: created, UsedAt: now, ExpiresAt: expires, Body: b})
}

func (s sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.DropSession(ctx, token)
}

func (s sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s sessionStore) Commit(token string, b []byte, expires time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expires)
}

func (s sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
