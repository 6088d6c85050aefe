package web

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"tocsin/bot/outbound"
)

const (
	// CallbackPath is the path to which a provider sends people back.
	CallbackPath     = "/sign-in/callback"
	attemptTTL       = 10 * time.Minute
	discoveryTTL     = 24 * time.Hour
	providerTimeout  = 10 * time.Second
	maxProviderReply = 1 << 20     // bytes
	clockSkew        = time.Minute // between this machine and a provider
)

// attempt is a sign-in at a provider that began. The browser keeps it in a cookie, because
// visitors who did not sign in must not fill the database.
type attempt struct {
	Issuer   string    `json:"issuer"` // name
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Then     string    `json:"then"`
	Began    time.Time `json:"began"`
}

// openID is an OpenID provider. It is discovered at the first sign-in, because an outage of
// the provider must not stop the start. It is safe for concurrent use.
type openID struct {
	Issuer
	callback string
	client   *http.Client
	lock     chan struct{} // guards the fields below
	found    *oidc.Provider
	foundAt  time.Time
}

// newOpenID returns the provider of an issuer. The provider sends people back to callback.
func newOpenID(i Issuer, callback string) *openID {
	return &openID{Issuer: i, callback: callback, lock: make(chan struct{}, 1), client: outbound.NewClient(providerTimeout, outbound.Limits{MaxResponse: maxProviderReply})}
}

// discover returns the endpoints and keys of the provider.
func (o *openID) discover(ctx context.Context, now time.Time) (*oidc.Provider, error) {
	select {
	case o.lock <- struct{}{}:
		defer func() { <-o.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if o.found != nil && now.Sub(o.foundAt) < discoveryTTL {
		return o.found, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.Issuer.Issuer)
	if err != nil {
		if o.found != nil { // the endpoints seldom change
			return o.found, nil
		}
		return nil, &providerError{o.Name, fmt.Errorf("discover provider: %w", err)}
	}
	o.found, o.foundAt = found, now
	return found, nil
}

// providerError is a failure of a provider or of the way to it.
type providerError struct {
	issuer string
	err    error
}

func (e *providerError) Error() string { return e.issuer + ": " + e.err.Error() }
func (e *providerError) Unwrap() error { return e.err }

func (o *openID) oauth(p *oidc.Provider) *oauth2.Config {
	endpoint := p.Endpoint()
	endpoint.AuthStyle = o.authStyle(p)
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), Endpoint: endpoint, RedirectURL: o.callback, Scopes: []string{oidc.ScopeOpenID}}
}

// authStyle returns how the provider wants the client secret. Trying both, as the library
// does, can use up the code.
func (o *openID) authStyle(p *oidc.Provider) oauth2.AuthStyle {
	var discovered struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	_ = p.Claims(&discovered) // without the list, the standard is basic
	if o.ClientSecret.IsZero() || len(discovered.Methods) > 0 && !slices.Contains(discovered.Methods, "client_secret_basic") {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// start begins a sign-in and returns the address at the provider.
func (o *openID) start(ctx context.Context, now time.Time, then string) (attempt, string, error) {
	p, err := o.discover(ctx, now)
	if err != nil {
		return attempt{}, "", err
	}
	a := attempt{Issuer: o.Name, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Then: then, Began: now.UTC()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)}
	if o.MaxAge > 0 {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(o.MaxAge.Seconds()))))
	}
	switch o.SecondFactor.Claim {
	case "acr":
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(o.SecondFactor.Values, " ")))
	case "acrs": // the authentication context of Microsoft Entra
		claims, err := json.Marshal(map[string]any{"id_token": map[string]any{"acrs": map[string]any{"essential": true, "values": o.SecondFactor.Values}}})
		if err != nil {
			return attempt{}, "", err
		}
		options = append(options, oauth2.SetAuthURLParam("claims", string(claims)))
	}
	return a, o.oauth(p).AuthCodeURL(a.State, options...), nil
}

// claims are the claims of an ID token that a sign-in needs.
type claims struct {
	Subject         string   `json:"sub"`
	AuthorizedParty string   `json:"azp"`
	AuthTime        *float64 `json:"auth_time"`
	ACR             texts    `json:"acr"`
	AMR             texts    `json:"amr"`
	ACRS            texts    `json:"acrs"`
}

// texts is a claim that is a text or a list of texts. Any other value is empty.
type texts []string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *texts) UnmarshalJSON(b []byte) error {
	var list []string
	var one string
	switch {
	case json.Unmarshal(b, &list) == nil:
		*t = list
	case json.Unmarshal(b, &one) == nil:
		*t = texts{one}
	}
	return nil
}

// finish verifies the answer of the provider to a sign-in. The error is a [*rejection], or a
// [*providerError] if the provider does not work.
func (o *openID) finish(ctx context.Context, a attempt, query url.Values, now time.Time) (claims, error) {
	if iss := query.Get("iss"); iss != "" && iss != o.Issuer.Issuer {
		return claims{}, reject("the answer comes from another provider than %s", o.Name)
	}
	if code := query.Get("error"); code != "" {
		return claims{}, reject("%s refused the sign-in (%s)", o.Name, plainCode(code))
	}
	p, err := o.discover(ctx, now)
	if err != nil {
		return claims{}, err
	}
	ctx = oidc.ClientContext(ctx, o.client)
	token, err := o.oauth(p).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return claims{}, o.exchangeError(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := p.VerifierContext(ctx, &oidc.Config{ClientID: o.ClientID, Now: func() time.Time { return now }}).Verify(ctx, raw)
	if err != nil {
		return claims{}, &rejection{sentence: o.explainToken(raw, now), cause: err}
	}
	var c claims
	if err := verified.Claims(&c); err != nil {
		return claims{}, &rejection{sentence: "the token of " + o.Name + " is malformed", cause: err}
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(a.Nonce)) != 1:
		return c, reject("the token of %s belongs to another sign-in", o.Name)
	case len(verified.Audience) > 1 && c.AuthorizedParty != o.ClientID:
		return c, reject("the token of %s was issued to another program", o.Name)
	case verified.IssuedAt.After(now.Add(clockSkew)):
		return c, reject("the token of %s is from the future. Check the clocks of both machines", o.Name)
	case c.Subject == "":
		return c, reject("the token of %s names no person", o.Name)
	}
	return c, o.checkFactors(c, now)
}

// checkFactors checks when and how the person proved to the provider who they are.
func (o *openID) checkFactors(c claims, now time.Time) error {
	if o.MaxAge > 0 {
		if c.AuthTime == nil {
			return reject("%s does not state when you signed in there. Ask an administrator to make it send auth_time, or to omit max_age", o.Name)
		}
		at := time.Unix(int64(*c.AuthTime), 0)
		switch {
		case at.After(now.Add(clockSkew)):
			return reject("%s states a sign-in in the future. Check the clocks of both machines", o.Name)
		case now.Sub(at) > o.MaxAge+clockSkew:
			return reject("your sign-in at %s is older than %s. Sign out there first", o.Name, o.MaxAge)
		}
	}
	if o.SecondFactor.Claim != "" && !o.provesSecondFactor(c) {
		return reject("%s did not prove a second factor. Set one up there, such as an authenticator app, and use it", o.Name)
	}
	return nil
}

// provesSecondFactor reports whether a token proves a second factor.
func (o *openID) provesSecondFactor(c claims) bool {
	values := map[string]texts{"acr": c.ACR, "amr": c.AMR, "acrs": c.ACRS}[o.SecondFactor.Claim]
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(o.SecondFactor.Values, v) })
}

// exchangeError returns the error of the exchange of a code.
func (o *openID) exchangeError(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response.StatusCode >= http.StatusInternalServerError || answer.Response.StatusCode == http.StatusTooManyRequests {
		return &providerError{o.Name, err}
	}
	switch answer.ErrorCode {
	case "invalid_grant":
		return &rejection{sentence: "the answer of " + o.Name + " was used before or is too old", cause: err}
	case "invalid_client", "unauthorized_client":
		return &rejection{sentence: o.Name + " does not accept the client_id and client_secret of Tocsin. Ask an administrator to correct them", cause: err}
	}
	return &rejection{sentence: o.Name + " does not accept its own answer", cause: err}
}

// explainToken returns why a token is not valid. Only the library decides that it is not.
func (o *openID) explainToken(raw string, now time.Time) string {
	var c struct {
		Issuer    string  `json:"iss"`
		Audience  texts   `json:"aud"`
		Expires   float64 `json:"exp"`
		NotBefore float64 `json:"nbf"`
	}
	parts := strings.Split(raw, ".")
	if len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &c) // the zero value has no issuer
	}
	switch {
	case raw == "":
		return o.Name + " sent no token. Ask an administrator to allow the scope openid"
	case c.Issuer != o.Issuer.Issuer:
		return "the token is from another issuer than " + o.Name
	case !slices.Contains(c.Audience, o.ClientID):
		return "the token of " + o.Name + " was issued to another program"
	case now.After(time.Unix(int64(c.Expires), 0)):
		return "the token of " + o.Name + " has expired. Check the clocks of both machines"
	case time.Unix(int64(c.NotBefore), 0).After(now):
		return "the token of " + o.Name + " is from the future. Check the clocks of both machines"
	}
	return "the token of " + o.Name + " does not have a valid signature"
}

// rejection is a sign-in that Tocsin rejects.
type rejection struct {
	sentence string // for the person, without its full stop
	cause    error  // for the audit log, or nil
}

func (e *rejection) Error() string { return e.sentence }
func (e *rejection) Unwrap() error { return e.cause }

func reject(format string, args ...any) *rejection {
	return &rejection{sentence: fmt.Sprintf(format, args...)}
}

// plainCode returns an error code of OAuth, or "unknown error" for any other text.
func plainCode(code string) string {
	if len(code) > 60 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "unknown error"
	}
	return code
}

// providers returns the providers of all issuers in order.
func providers(c SignIn, site *url.URL) []*openID {
	out := make([]*openID, len(c.Issuers))
	for n, one := range c.Issuers {
		out[n] = newOpenID(one, site.JoinPath(CallbackPath).String())
	}
	return out
}

// provider returns the provider with a name, or nil.
func (s *Server) provider(name string) *openID {
	for _, one := range s.providers {
		if one.Name == name {
			return one
		}
	}
	return nil
}

// attemptCookie returns the cookie of an attempt.
func (s *Server) attemptCookie(value string, age time.Duration) *http.Cookie {
	name, maxAge := "tocsin-sign-in", int(age.Seconds())
	if s.https() {
		name = "__Host-" + name
	}
	if value == "" {
		maxAge = -1 // removes it
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: s.https(), SameSite: http.SameSiteLaxMode} //nolint:gosec // plain HTTP has no secure cookies
}

// keepAttempt stores an attempt in the browser.
func (s *Server) keepAttempt(w http.ResponseWriter, a attempt) error {
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.attemptCookie(base64.RawURLEncoding.EncodeToString(raw), attemptTTL))
	return nil
}

// takeAttempt returns the attempt of the browser that has a state, and removes it there.
func (s *Server) takeAttempt(w http.ResponseWriter, r *http.Request) (attempt, error) {
	var a attempt
	gone := s.attemptCookie("", 0)
	if cookie, err := r.Cookie(gone.Name); err == nil {
		http.SetCookie(w, gone)
		raw, _ := base64.RawURLEncoding.DecodeString(cookie.Value)
		_ = json.Unmarshal(raw, &a) // the zero value has no state
	}
	switch {
	case a.State == "" || subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("state")), []byte(a.State)) != 1:
		return attempt{}, reject("this sign-in did not begin in this browser, or another one replaced it")
	case s.Now().Sub(a.Began) > attemptTTL || a.Began.After(s.Now()):
		return attempt{}, reject("this sign-in took longer than %d minutes", int(attemptTTL.Minutes()))
	}
	return a, nil
}
