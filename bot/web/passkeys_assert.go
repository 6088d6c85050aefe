package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// beginSignIn starts the sign-in with a passkey that names its owner.
func (s *Server) beginSignIn(r *http.Request, _ visitor) (any, error) {
	asked, data, err := s.library.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, err
	}
	return began{asked.Response}, s.begin(r.Context(), ceremony{Kind: ceremonySignIn, Data: *data, Then: localPath(r.FormValue("then"))})
}

func (s *Server) finishSignIn(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	c, key, err := s.assertion(r, v, ceremonySignIn)
	if err != nil {
		return nil, err
	}
	return finished{c.Then}, s.enterWithKey(ctx, key)
}

// enterWithKey signs the owner of a passkey in.
func (s *Server) enterWithKey(ctx context.Context, key trust.Key) error {
	if err := s.enter(ctx, key.Person, incident.ThroughPasskey, true); err != nil {
		return err
	}
	s.noteKey(ctx, key)
	return nil
}

// noteKey remembers which passkey was used last in the session.
func (s *Server) noteKey(ctx context.Context, key trust.Key) {
	s.sessions.Put(ctx, valueKey, key.Fingerprint)
	s.sessions.Put(ctx, valueKeyAt, s.Now().UTC().Format(time.RFC3339))
}

// beginConfirmation requests a passkey of the visitor as the second factor of the session.
func (s *Server) beginConfirmation(r *http.Request, v visitor) (any, error) {
	options, data, err := s.beginAssertion(r.Context(), v, nil)
	if err != nil {
		return nil, err
	}
	return options, s.begin(r.Context(), ceremony{Kind: ceremonyConfirm, Data: data, Then: localPath(r.FormValue("then"))})
}

// finishConfirmation gives the session a second factor. The session of a login link becomes one of the passkey, because a link proves
// no factor.
func (s *Server) finishConfirmation(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	c, key, err := s.assertion(r, v, ceremonyConfirm)
	if err != nil {
		return nil, err
	}
	if v.Through == incident.ThroughHost {
		return finished{c.Then}, s.enterWithKey(ctx, key)
	}
	if err := s.sessions.RenewToken(ctx); err != nil {
		return nil, err
	}
	s.sessions.Put(ctx, valueFactors, "2")
	s.noteKey(ctx, key)
	return finished{c.Then}, nil
}

// beginAssertion requests the signature of a passkey of the visitor under a challenge, or under a random one.
func (s *Server) beginAssertion(ctx context.Context, v visitor, challenge []byte) (began, webauthn.SessionData, error) {
	state, env, err := s.Desk().Trust(ctx)
	if err != nil {
		return began{}, webauthn.SessionData{}, err
	}
	h, err := holder(state, env, v.ID)
	if err != nil {
		return began{}, webauthn.SessionData{}, err
	}
	if len(h.credentials) == 0 {
		return began{}, webauthn.SessionData{}, incident.Forbidden("you have no passkey. Register one on the page Passkeys")
	}
	options := []webauthn.LoginOption{webauthn.WithUserVerification(protocol.VerificationRequired)}
	if challenge != nil {
		options = append(options, webauthn.WithChallenge(challenge))
	}
	asked, data, err := s.library.BeginLogin(h, options...)
	if err != nil {
		return began{}, webauthn.SessionData{}, err
	}
	return began{asked.Response}, *data, nil
}

// assertion verifies the answer to a request for a signature and counts the use of the passkey. A refusal is in the audit log.
func (s *Server) assertion(r *http.Request, v visitor, kind string) (ceremony, trust.Key, error) {
	ctx := r.Context()
	a := s.actor(ctx, v)
	c, parsed, key, err := s.verifyAssertion(r, v, kind)
	if err != nil {
		if a.Person == "" {
			a.Person = key.Person
		}
		return c, key, s.Desk().RefusePasskey(ctx, a, kind, err)
	}
	key, err = s.Desk().UsePasskey(ctx, a, parsed.RawID, parsed.Response.AuthenticatorData.Counter, kind)
	return c, key, err
}

// verifyAssertion verifies the answer to a request for a signature. It returns the key also with an error, if it is known.
func (s *Server) verifyAssertion(r *http.Request, v visitor, kind string) (c ceremony, parsed *protocol.ParsedCredentialAssertionData, key trust.Key, err error) {
	if c, err = s.take(r.Context(), kind); err != nil {
		return c, nil, key, err
	}
	if parsed, err = readAssertion(r); err != nil {
		return c, nil, key, err
	}
	state, env, err := s.Desk().Trust(r.Context())
	if err != nil {
		return c, nil, key, err
	}
	key, _ = state.Key(parsed.RawID)
	usable, err := state.Usable(v.ID, parsed.RawID, env)
	if err != nil {
		return c, parsed, key, err
	}
	h, err := holder(state, env, usable.Person)
	if err != nil {
		return c, parsed, key, err
	}
	if v.ID == "" {
		_, _, err = s.library.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return h, nil }, c.Data, parsed)
	} else {
		_, err = s.library.ValidateLogin(h, c.Data, parsed)
	}
	if err != nil {
		client := parsed.Response.CollectedClientData
		return c, parsed, key, s.explainRefusal(c.Data.Challenge, protocol.AssertCeremony, client, parsed.Response.AuthenticatorData, err)
	}
	return c, parsed, key, nil
}

// explainRefusal returns a refusal of the library as an error for the person, which names the first check that fails.
func (s *Server) explainRefusal(challenge string, ceremony protocol.CeremonyType, client protocol.CollectedClientData, data protocol.AuthenticatorData, err error) error {
	rp := s.RelyingParty()
	hash := sha256.Sum256([]byte(rp.ID))
	switch {
	case client.Type != ceremony:
		return incident.Forbidden("the passkey answered another kind of request. Try again")
	case client.Challenge != challenge:
		return incident.Forbidden("the passkey answered another request than this one. Try again")
	case client.Origin != rp.Origin || client.CrossOrigin:
		return incident.Forbidden("the passkey was used on another website. Open the pages at %s", rp.Origin)
	case !bytes.Equal(data.RPIDHash, hash[:]):
		return incident.Forbidden("the passkey belongs to another website. Use the one for %s", rp.ID)
	case !data.Flags.HasUserPresent() || !data.Flags.HasUserVerified():
		return incident.Forbidden("the passkey did not verify you. Use one with a PIN, a fingerprint or face recognition")
	}
	s.Log.Info("passkey refused", "err", err)
	return incident.Forbidden("the answer of the passkey is not valid. Use the passkey that you registered, or another one")
}

// beginVoucher requests a signature under the statement of a voucher.
func (s *Server) beginVoucher(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	_, env, err := s.Desk().Trust(ctx)
	if err != nil {
		return nil, err
	}
	person := incident.PersonID(r.FormValue("person"))
	if _, known := env.Directory.Person(person); !known {
		return nil, incident.Unknown("person", "unknown person. Choose one from the list")
	}
	statement := trust.VouchStatement(env.Directory, v.ID, person, s.Now(), newNonce())
	options, data, err := s.beginAssertion(ctx, v, statement.Challenge())
	if err != nil {
		return nil, err
	}
	return options, s.begin(ctx, ceremony{Kind: ceremonyVouch, Data: data, For: person, Statement: &statement})
}

// newNonce returns the nonce of a statement.
func newNonce() string {
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(nonce)
}

func (s *Server) finishVoucher(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	a := s.actor(ctx, v)
	c, parsed, key, err := s.verifyAssertion(r, v, ceremonyVouch)
	if err != nil {
		return nil, s.Desk().RefusePasskey(ctx, a, ceremonyVouch, err)
	}
	proof := s.newProof(*c.Statement, key, parsed)
	if _, err := s.Desk().Vouch(ctx, a, trust.Vouching{Person: c.For, Proof: &proof}); err != nil {
		return nil, err
	}
	s.noteKey(ctx, key)
	return finished{"/account/passkeys?done=vouched"}, nil
}

// newProof returns the proof of a statement that a passkey signed.
func (s *Server) newProof(statement incident.ActStatement, key trust.Key, parsed *protocol.ParsedCredentialAssertionData) incident.Proof {
	rp, raw := s.RelyingParty(), parsed.Raw.AssertionResponse
	return incident.Proof{Statement: statement, RelyingParty: rp.ID, Origin: rp.Origin, Credential: key.Credential, PublicKey: key.PublicKey,
		AuthenticatorData: raw.AuthenticatorData, ClientData: raw.ClientDataJSON, Signature: raw.Signature}
}
