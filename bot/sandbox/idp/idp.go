// Package idp is an OpenID provider for a sandbox company. A person signs in by choosing a
// name. It is a real provider by zitadel/oidc: discovery, keys, code with PKCE and
// signed tokens. Tests change what it answers with [Provider.Answer] and
// [Provider.RotateKey]:
//
//	p, err := idp.New(idp.Options{Issuer: "http://localhost:9004", People: people})
//	http.Serve(listener, p)
//	p.Allow("http://localhost:8080/sign-in/callback")
package idp

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// The client that [New] registers.
const (
	ClientID     = "tocsin"
	ClientSecret = "sandbox-client-secret-of-tocsin"
)

// Person is an account of the provider.
type Person struct {
	Subject string // claim sub
	Name    string
	Email   string
	Note    string // such as the department
}

// Options configure a [Provider].
type Options struct {
	Issuer string // address of the provider
	People []Person
	Clock  func() time.Time // of the tokens, time.Now if nil
}

// Answer are the differences from a sound provider.
type Answer struct {
	Claims map[string]any // of ID tokens. A nil value removes the claim
	Refuse string         // error code instead of a code, such as access_denied
	Down   bool           // every request gets status 503
	OldKey bool           // signs with the key before the last rotation, which is no longer published
}

// Provider is an OpenID provider. It is safe for concurrent use.
type Provider struct {
	options  Options
	provider *op.Provider
	storage  *storage

	mu     sync.Mutex
	answer Answer
}

// New returns a provider.
func New(o Options) (*Provider, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	p := &Provider{options: o, storage: &storage{clock: o.Clock, requests: map[string]*request{}, codes: map[string]string{}}}
	if err := p.RotateKey(); err != nil {
		return nil, err
	}
	var key [sha256.Size]byte
	_, _ = rand.Read(key[:]) // never fails
	var err error
	p.provider, err = op.NewProvider(&op.Config{CryptoKey: key, CodeMethodS256: true, AuthMethodPost: true, SupportedUILocales: []language.Tag{language.English}, SupportedClaims: []string{"sub", "name", "email", "acr", "amr", "auth_time"}},
		p.storage, op.StaticIssuer(o.Issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, fmt.Errorf("open OpenID provider: %w", err)
	}
	return p, nil
}

// Allow adds a redirect address of the client.
func (p *Provider) Allow(redirect string) {
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	p.storage.redirects = append(p.storage.redirects, redirect)
}

// Answer changes the answers of the provider.
func (p *Provider) Answer(a Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = a
}

func (p *Provider) current() Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answer
}

// keyBits is the size of the signing keys.
const keyBits = 2048

// RotateKey replaces the signing key. The provider no longer publishes the old one.
func (p *Provider) RotateKey() error {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("create signing key: %w", err)
	}
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	p.storage.oldKey, p.storage.key = p.storage.key, signingKey{id: rand.Text(), key: key}
	return nil
}

//go:embed login.html.tmpl
var loginHTML string

var loginTemplate = template.Must(template.New("login").Parse(loginHTML))

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := p.current()
	switch {
	case answer.Down:
		http.Error(w, "the provider is down", http.StatusServiceUnavailable)
	case r.URL.Path == loginPath && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = loginTemplate.Execute(w, map[string]any{"Request": r.URL.Query().Get("request"), "People": p.options.People})
	case r.URL.Path == loginPath && r.Method == http.MethodPost:
		p.login(w, r, answer)
	case r.URL.Path == op.DefaultEndpoints.Token.Relative():
		p.token(w, r, answer)
	default:
		p.provider.ServeHTTP(w, r)
	}
}

// login signs a person in and sends the browser back.
func (p *Provider) login(w http.ResponseWriter, r *http.Request, answer Answer) {
	id := r.PostFormValue("request")
	back, known := p.storage.signIn(id, r.PostFormValue("person"), r.PostFormValue("second_factor") != "")
	switch {
	case !known:
		http.Error(w, "this sign-in is over. Begin again in Tocsin", http.StatusBadRequest)
	case answer.Refuse != "":
		http.Redirect(w, r, back.RedirectURI+"?error="+answer.Refuse+"&state="+back.State, http.StatusFound)
	default:
		http.Redirect(w, r, op.DefaultEndpoints.Authorization.Relative()+"/callback?id="+id, http.StatusFound)
	}
}

// token serves the token endpoint. Times follow the clock of the options. The claims of the
// answer replace claims of the token.
func (p *Provider) token(w http.ResponseWriter, r *http.Request, answer Answer) {
	rec := httptest.NewRecorder()
	p.provider.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	var reply map[string]any
	if rec.Code == http.StatusOK && json.Unmarshal(body, &reply) == nil {
		if raw, ok := reply["id_token"].(string); ok {
			signed, err := p.sign(raw, answer)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			reply["id_token"] = signed
			body, _ = json.Marshal(reply)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(rec.Code)
	_, _ = w.Write(body)
}

// sign returns an ID token with other claims, signed with the key of the answer.
func (p *Provider) sign(raw string, answer Answer) (string, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "", errors.New("the token has no payload")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	claims := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil {
		return "", err
	}
	now := p.options.Clock()
	claims["iat"], claims["exp"] = now.Unix(), now.Add(time.Hour).Unix()
	for name, value := range answer.Claims {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	p.storage.mu.Lock()
	key := p.storage.key
	if answer.OldKey {
		key = p.storage.oldKey
	}
	p.storage.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: key.SignatureAlgorithm(), Key: jose.JSONWebKey{Key: key.Key(), KeyID: key.ID()}}, nil)
	if err != nil {
		return "", err
	}
	if payload, err = json.Marshal(claims); err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// loginPath is the path of the page with the names.
const loginPath = "/login"

// client is the only client of the provider.
type client struct{ redirects []string }

func (c client) GetID() string                       { return ClientID }
func (c client) RedirectURIs() []string              { return c.redirects }
func (c client) PostLogoutRedirectURIs() []string    { return nil }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c client) LoginURL(id string) string            { return loginPath + "?request=" + id }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration       { return time.Hour }
func (c client) DevMode() bool                        { return true } // plain HTTP
func (c client) IsScopeAllowed(string) bool           { return false }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}
