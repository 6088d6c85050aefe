package idp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// requestAge is how long a sign-in may take.
const requestAge = 10 * time.Minute

// storage is the memory of a provider.
type storage struct {
	clock func() time.Time

	mu        sync.Mutex
	redirects []string
	requests  map[string]*request
	codes     map[string]string // id of the request by code
	key       signingKey
	oldKey    signingKey // before the last rotation
}

// request is a sign-in. It implements [op.AuthRequest].
type request struct {
	oidc.AuthRequest
	id       string
	began    time.Time
	subject  string // "" until the person signed in
	factors  []string
	authTime time.Time
}

func (r *request) GetID() string                      { return r.id }
func (r *request) GetACR() string                     { return "" }
func (r *request) GetAMR() []string                   { return r.factors }
func (r *request) GetAudience() []string              { return []string{r.ClientID} }
func (r *request) GetAuthTime() time.Time             { return r.authTime }
func (r *request) GetClientID() string                { return r.ClientID }
func (r *request) GetSubject() string                 { return r.subject }
func (r *request) Done() bool                         { return r.subject != "" }
func (r *request) GetNonce() string                   { return r.Nonce }
func (r *request) GetScopes() []string                { return r.Scopes }
func (r *request) GetResponseMode() oidc.ResponseMode { return r.ResponseMode }
func (r *request) GetCodeChallenge() *oidc.CodeChallenge {
	if r.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

// signIn completes a request as a person.
func (s *storage) signIn(id, subject string, secondFactor bool) (*request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, known := s.requests[id]
	if !known || subject == "" {
		return nil, false
	}
	r := new(request)
	*r = *found
	s.requests[id] = r
	r.subject, r.authTime, r.factors = subject, s.clock(), []string{"pwd"}
	if secondFactor {
		r.factors = append(r.factors, "mfa")
	}
	return r, true
}

var errUnknown = errors.New("unknown request, code or client")

// CreateAuthRequest implements [op.Storage].
func (s *storage) CreateAuthRequest(_ context.Context, a *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for id, r := range s.requests {
		if now.Sub(r.began) > requestAge {
			delete(s.requests, id)
		}
	}
	r := &request{AuthRequest: *a, id: rand.Text(), began: now}
	s.requests[r.id] = r
	return r, nil
}

// AuthRequestByID implements [op.Storage].
func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, known := s.requests[id]; known {
		return r, nil
	}
	return nil, errUnknown
}

// AuthRequestByCode implements [op.Storage].
func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, known := s.requests[s.codes[code]]
	if !known {
		return nil, errUnknown
	}
	return r, nil
}

// SaveAuthCode implements [op.Storage].
func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// DeleteAuthRequest implements [op.Storage]. The code of the request then counts no more.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	maps.DeleteFunc(s.codes, func(_, of string) bool { return of == id })
	return nil
}

// CreateAccessToken implements [op.Storage]. Nothing accepts the token.
func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return rand.Text(), time.Now().Add(time.Minute), nil // the library computes with its own clock
}

// GetClientByClientID implements [op.Storage].
func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != ClientID {
		return nil, errUnknown
	}
	return client{slices.Clone(s.redirects)}, nil
}

// AuthorizeClientIDSecret implements [op.Storage].
func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != ClientID || secret != ClientSecret {
		return errUnknown
	}
	return nil
}

// signingKey implements [op.SigningKey] and [op.Key].
type signingKey struct {
	id     string
	key    *rsa.PrivateKey
	public bool
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Use() string                                 { return "sig" }
func (k signingKey) Key() any {
	if k.public {
		return &k.key.PublicKey
	}
	return k.key
}

// SigningKey implements [op.Storage].
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, nil
}

// SignatureAlgorithms implements [op.Storage].
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

// KeySet implements [op.Storage].
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []op.Key{signingKey{s.key.id, s.key.key, true}}, nil
}

// Health implements [op.Storage].
func (s *storage) Health(context.Context) error { return nil }

// errUnsupported is the error of the parts of OpenID Connect that a sign-in does not need.
var errUnsupported = errors.New("the sandbox does not support this grant")

// CreateAccessAndRefreshTokens implements [op.Storage].
func (s *storage) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, errUnsupported
}

// TokenRequestByRefreshToken implements [op.Storage].
func (s *storage) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, errUnsupported
}

// TerminateSession implements [op.Storage].
func (s *storage) TerminateSession(context.Context, string, string) error { return nil }

// RevokeToken implements [op.Storage].
func (s *storage) RevokeToken(context.Context, string, string, string) *oidc.Error { return nil }

// GetRefreshTokenInfo implements [op.Storage].
func (s *storage) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

// SetUserinfoFromScopes implements [op.Storage].
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, subject, _ string, _ []string) error {
	info.Subject = subject
	return nil
}

// SetUserinfoFromToken implements [op.Storage].
func (s *storage) SetUserinfoFromToken(context.Context, *oidc.UserInfo, string, string, string) error {
	return errUnsupported
}

// SetIntrospectionFromToken implements [op.Storage].
func (s *storage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errUnsupported
}

// GetPrivateClaimsFromScopes implements [op.Storage].
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

// GetKeyByIDAndClientID implements [op.Storage].
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnsupported
}

// ValidateJWTProfileScopes implements [op.Storage].
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnsupported
}
