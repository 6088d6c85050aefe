package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
)

// The limits of a session. A use is stored at most once per touchInterval, because every
// write costs a transaction.
const (
	sessionIdle   = time.Hour
	sessionLife   = 12 * time.Hour
	touchInterval = time.Minute
)

// The values of a session. All are strings.
const (
	valuePerson  = "person"  // [incident.PersonID]
	valueThrough = "through" // see [incident.Command.Through]
	valueFactors = "factors" // "2" if a second factor is proven
	valueCreated = "created" // RFC 3339
)

// newSessions returns the manager of the sessions of a website. It does not use the time
// limits of the library, because they ignore the clock of the program.
func newSessions(store session.Store, https bool, now func() time.Time, log *slog.Logger) *scs.SessionManager {
	m := scs.New()
	m.Store, m.Codec, m.HashTokenInStore = sessionStore{store, now, log}, sessionCodec{}, true
	m.IdleTimeout, m.Lifetime = 0, sessionLife
	m.Cookie.Name, m.Cookie.HttpOnly, m.Cookie.SameSite, m.Cookie.Secure = "tocsin", true, http.SameSiteLaxMode, https
	if https {
		m.Cookie.Name = "__Host-tocsin"
	}
	m.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		log.WarnContext(r.Context(), "read or write session failed", "err", err)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("Tocsin cannot answer at the moment. Try again in a minute.\n"))
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

// request is what the server knows about a request besides the request itself.
type request struct {
	sender    string          // address of the client
	isPassive bool            // the browser sent it by itself, so it does not prolong the session
	found     session.Session // with which the request began, or zero
}

type requestKey struct{}

// requestOf returns the request of a context. It is empty outside a request.
func requestOf(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// sessionStore adapts a [session.Store] to scs.
type sessionStore struct {
	session.Store
	now func() time.Time
	log *slog.Logger
}

// expiry returns when a session ends that is used now.
func expiry(created, now time.Time) time.Time {
	if end := created.Add(sessionLife); end.Before(now.Add(sessionIdle)) {
		return end
	}
	return now.Add(sessionIdle)
}

// FindCtx returns a session and prolongs it.
func (s sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	found, ok, err := s.FindSession(ctx, token)
	if err != nil || !ok {
		return nil, false, err
	}
	r, now := requestOf(ctx), s.now()
	r.found = found
	if !r.isPassive && now.Sub(found.UsedAt) >= touchInterval {
		if err := s.TouchSession(ctx, token, now, expiry(found.CreatedAt, now)); err != nil { // reading works without it
			s.log.WarnContext(ctx, "prolong session failed", "err", err)
		}
	}
	return found.Body, true, nil
}

// CommitCtx writes a session. One that ended during the request stays ended.
func (s sessionStore) CommitCtx(ctx context.Context, token string, b []byte, _ time.Time) error {
	var body sessionBody
	if err := json.Unmarshal(b, &body); err != nil {
		return err
	}
	value := func(name string) string {
		v, _ := body.Values[name].(string)
		return v
	}
	r, now := requestOf(ctx), s.now()
	exists := r.found.TokenHash == token
	created, err := time.Parse(time.RFC3339, value(valueCreated))
	switch {
	case err == nil:
	case exists:
		created = r.found.CreatedAt
	default:
		created = now
	}
	next := session.Session{TokenHash: token, Person: incident.PersonID(value(valuePerson)), Through: value(valueThrough), SecondFactor: value(valueFactors) == "2",
		CreatedAt: created, UsedAt: now, ExpiresAt: expiry(created, now), Body: b}
	if exists {
		return s.UpdateSession(ctx, next)
	}
	r.found = session.Session{TokenHash: token, CreatedAt: created}
	return s.PutSession(ctx, next)
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
