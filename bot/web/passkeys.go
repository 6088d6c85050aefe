package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"golang.org/x/time/rate"

	"tocsin/bot/incident"
	"tocsin/bot/text"
	"tocsin/bot/trust"
)

// PasskeyDesk has the methods of the write path for passkeys.
type PasskeyDesk interface {
	// Trust returns the state of the log of keys, and the present for decisions about it.
	Trust(ctx context.Context) (trust.State, trust.Env, error)
	// Passkeys lists the passkeys of a person, or of all people.
	Passkeys(ctx context.Context, person incident.PersonID) (trust.PasskeyList, error)
	RegisterPasskey(ctx context.Context, a trust.Actor, r trust.Registration, counter uint32) (trust.Event, error)
	RevokePasskey(ctx context.Context, a trust.Actor, r trust.Revocation) ([]trust.Event, error)
	Vouch(ctx context.Context, a trust.Actor, v trust.Vouching) (trust.Event, error)
	// UsePasskey counts the use of a passkey whose signature was verified, and refuses a revoked or copied one.
	UsePasskey(ctx context.Context, a trust.Actor, credential []byte, counter uint32, action string) (trust.Key, error)
	// RefusePasskey writes a refusal to the audit log and returns it.
	RefusePasskey(ctx context.Context, a trust.Actor, action string, refusal error) error
}

// The values of a session about passkeys. All are strings.
const (
	valueKey      = "key"      // fingerprint of the passkey that was used last
	valueKeyAt    = "key_at"   // RFC 3339
	valueCeremony = "ceremony" // JSON of a ceremony that began
)

const (
	ceremonyTTL     = 5 * time.Minute
	maxCeremonyBody = 64 << 10
	maxAnonymous    = 30 // refused sign-ins with a passkey per minute
)

// ceremony is a ceremony between its beginning and its end.
type ceremony struct {
	Kind      string                 `json:"kind"` // see the kinds below
	At        time.Time              `json:"at"`
	Data      webauthn.SessionData   `json:"data"`
	Name      string                 `json:"name,omitempty"` // of the new passkey
	Code      string                 `json:"code,omitempty"`
	For       incident.PersonID      `json:"for,omitempty"` // whom the voucher is for
	Statement *incident.ActStatement `json:"statement,omitempty"`
	Act       *incident.Command      `json:"act,omitempty"` // that the statement is about
	Then      string                 `json:"then,omitempty"`
}

// The kinds of ceremonies, which are also their actions in the audit log.
const (
	ceremonyRegister = "passkey register"
	ceremonySignIn   = "passkey sign-in"
	ceremonyConfirm  = "passkey confirm"
	ceremonyVouch    = "passkey vouch"
)

// passkeyParts are the parts of the server for passkeys.
type passkeyParts struct {
	library  *webauthn.WebAuthn // nil if the website cannot have passkeys
	refusals *rate.Limiter      // of visitors who did not sign in
}

// passkeyRoutes registers the pages and ceremonies of passkeys.
func (s *Server) passkeyRoutes() {
	s.refusals = rate.NewLimiter(rate.Every(time.Minute/maxAnonymous), maxAnonymous)
	var err error
	if s.library, err = newWebAuthn(s.RelyingParty()); err != nil {
		s.Log.Warn("website cannot have passkeys", "err", err)
	}
	s.private("GET /account/passkeys", s.passkeysPage)
	s.private("POST /account/passkeys/revoke", s.revokePasskey)
	s.ceremony("/account/passkeys/register", ceremonyRegister, s.beginRegistration, s.finishRegistration)
	s.ceremony("/account/passkeys/confirm", ceremonyConfirm, s.beginConfirmation, s.finishConfirmation)
	s.ceremony("/account/passkeys/vouch", ceremonyVouch, s.beginVoucher, s.finishVoucher)
	s.mux.HandleFunc("POST /sign-in/passkey/begin", s.step(ceremonySignIn, s.anonymous(s.beginSignIn)))
	s.mux.HandleFunc("POST /sign-in/passkey/finish", s.step(ceremonySignIn, s.anonymous(s.finishSignIn)))
}

// ceremonyStep is one request of a ceremony. Its result is the JSON of the answer.
type ceremonyStep func(r *http.Request, v visitor) (any, error)

// began is the answer to the beginning of a ceremony: the options for the browser.
type began struct {
	PublicKey any `json:"publicKey"`
}

// finished is the answer to the end of a ceremony: where the browser goes.
type finished struct {
	Location string `json:"location"`
}

// ceremony registers both steps of a ceremony of people who signed in.
func (s *Server) ceremony(path, action string, begin, finish ceremonyStep) {
	for name, f := range map[string]ceremonyStep{"begin": begin, "finish": finish} {
		s.private("POST "+path+"/"+name, func(w http.ResponseWriter, r *http.Request, v visitor) error {
			s.answer(w, r, v, action, f)
			return nil
		})
	}
}

// step returns the handler of a step for visitors who did not sign in.
func (s *Server) step(action string, f ceremonyStep) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, visitor{}, action, f) }
}

// anonymous limits a step of visitors who did not sign in, because a refusal writes to the audit log.
func (s *Server) anonymous(f ceremonyStep) ceremonyStep {
	return func(r *http.Request, v visitor) (any, error) {
		if s.refusals.TokensAt(s.Now()) < 1 {
			return nil, errTooMany
		}
		return f(r, v)
	}
}

var errTooMany = errors.New("too many attempts")

// errNoPasskeys is about a website with an address in place of a name.
var errNoPasskeys error = incident.Conflict("passkeys need a host name, such as localhost or tocsin.example.com. Ask an administrator to change public_url")

// answer carries out a step and writes its result or its error as JSON.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, v visitor, action string, f ceremonyStep) {
	r.Body = http.MaxBytesReader(w, r.Body, maxCeremonyBody)
	var out any
	err := errNoPasskeys
	if s.library != nil {
		out, err = f(r, v)
	}
	status := http.StatusOK
	if err != nil {
		status, out = s.refusal(r, v, action, err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

// refusal returns the answer to a step that failed.
func (s *Server) refusal(r *http.Request, v visitor, action string, err error) (int, any) {
	type message struct {
		Code    incident.Code `json:"code"`
		Message string        `json:"message"`
	}
	var refused *incident.Error
	switch {
	case errors.As(err, &refused):
		if v.ID == "" {
			s.refusals.AllowN(s.Now(), 1)
		}
		return statusOf(refused), map[string]message{"error": {refused.Code, text.Capital(refused.String()) + "."}}
	case errors.Is(err, errTooMany):
		return http.StatusTooManyRequests, map[string]message{"error": {"busy", "There were too many attempts. Try again in a minute."}}
	}
	s.Log.WarnContext(r.Context(), "passkey ceremony failed", "action", action, "err", err)
	return http.StatusServiceUnavailable, map[string]message{"error": {"unavailable", "Tocsin cannot answer at the moment. Try again in a minute."}}
}

// statusOf returns the HTTP status of a domain error.
func statusOf(e *incident.Error) int {
	switch e.Code {
	case incident.CodeInvalid:
		return http.StatusBadRequest
	case incident.CodeUnknown:
		return http.StatusNotFound
	case incident.CodeConflict, incident.CodeStale:
		return http.StatusConflict
	}
	return http.StatusForbidden
}

// actor returns the visitor as the actor of a decision about passkeys.
func (s *Server) actor(ctx context.Context, v visitor) trust.Actor {
	at := func(name string) time.Time {
		t, _ := time.Parse(time.RFC3339, s.sessions.GetString(ctx, name)) // zero is too old
		return t
	}
	return trust.Actor{Person: v.ID, Handle: v.identity(), Through: v.Through, SecondFactor: v.SecondFactor, SignedIn: at(valueCreated),
		Asserted: s.sessions.GetString(ctx, valueKey), AssertedAt: at(valueKeyAt)}
}

// begin remembers a ceremony until it ends.
func (s *Server) begin(ctx context.Context, c ceremony) error {
	c.At = s.Now().UTC()
	raw, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode ceremony: %w", err)
	}
	s.sessions.Put(ctx, valueCeremony, string(raw))
	return nil
}

// take returns the ceremony that began in the session, which ends with it.
func (s *Server) take(ctx context.Context, kind string) (ceremony, error) {
	var c ceremony
	raw := s.sessions.PopString(ctx, valueCeremony)
	if err := json.Unmarshal([]byte(raw), &c); raw == "" || err != nil || c.Kind != kind || s.Now().Sub(c.At) > ceremonyTTL {
		return ceremony{}, incident.Forbidden("the request with the passkey expired or was answered before. Try again")
	}
	return c, nil
}

// keyHolder is a person for the library of the ceremonies.
type keyHolder struct {
	incident.Person
	credentials []webauthn.Credential
}

func (h keyHolder) WebAuthnID() []byte                         { return []byte(h.ID) }
func (h keyHolder) WebAuthnName() string                       { return h.Name }
func (h keyHolder) WebAuthnDisplayName() string                { return h.Name }
func (h keyHolder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

// holder returns a person with the passkeys that are active.
func holder(state trust.State, env trust.Env, person incident.PersonID) (keyHolder, error) {
	h := keyHolder{}
	h.Person, _ = env.Directory.Person(person)
	for _, k := range state.Keys {
		if k.Person != person || !k.ActiveAt(env.Now) {
			continue
		}
		var c webauthn.Credential
		if err := json.Unmarshal(k.Record, &c); err != nil {
			return h, fmt.Errorf("read passkey %s: %w", k.Fingerprint, err)
		}
		h.credentials = append(h.credentials, c)
	}
	return h, nil
}

// newWebAuthn returns the library of the ceremonies for the website. Every passkey must verify its owner, and can sign in without a user name.
func newWebAuthn(rp incident.RelyingParty) (*webauthn.WebAuthn, error) {
	required := true
	lib, err := webauthn.New(&webauthn.Config{RPID: rp.ID, RPDisplayName: "Tocsin", RPOrigins: []string{rp.Origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired}})
	if err != nil {
		return nil, fmt.Errorf("public_url cannot have passkeys: %w", err)
	}
	return lib, nil
}

// algorithms returns the algorithms that [incident.Proof] can verify.
func algorithms() []protocol.CredentialParameter {
	var out []protocol.CredentialParameter
	for _, a := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		out = append(out, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: a})
	}
	return out
}

// readAssertion reads the answer of the browser to a request for a signature.
func readAssertion(r *http.Request) (*protocol.ParsedCredentialAssertionData, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, incident.Invalid("credential", "the answer of the browser is too large. Try again")
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(body)
	if err != nil {
		return nil, incident.Invalid("credential", "the answer of the browser is malformed. Try again, or use another browser")
	}
	return parsed, nil
}
