package web

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// beginRegistration checks that the visitor may register a passkey and requests one from the browser.
func (s *Server) beginRegistration(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	state, env, err := s.Desk().Trust(ctx)
	if err != nil {
		return nil, err
	}
	a, code := s.actor(ctx, v), r.FormValue("code")
	if _, err := state.MayRegister(a, code, env); err != nil {
		return nil, s.Desk().RefusePasskey(ctx, a, ceremonyRegister, err)
	}
	h, err := holder(state, env, v.ID)
	if err != nil {
		return nil, err
	}
	made, data, err := s.library.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.credentials).CredentialDescriptors()), webauthn.WithCredentialParameters(algorithms()))
	if err != nil {
		return nil, err
	}
	return began{made.Response}, s.begin(ctx, ceremony{Kind: ceremonyRegister, Data: *data, Name: r.FormValue("name"), Code: code})
}

// finishRegistration verifies the new passkey and registers it.
func (s *Server) finishRegistration(r *http.Request, v visitor) (any, error) {
	ctx := r.Context()
	a := s.actor(ctx, v)
	registration, counter, err := s.verifyRegistration(r, v)
	if err != nil {
		return nil, s.Desk().RefusePasskey(ctx, a, ceremonyRegister, err)
	}
	e, err := s.Desk().RegisterPasskey(ctx, a, registration, counter)
	if err != nil {
		return nil, err
	}
	s.noteKey(ctx, trust.Key{Passkey: incident.Passkey{Fingerprint: e.Fingerprint}})
	return finished{"/account/passkeys?done=registered"}, nil
}

// verifyRegistration verifies the answer of the browser to the request for a new passkey.
func (s *Server) verifyRegistration(r *http.Request, v visitor) (out trust.Registration, counter uint32, err error) {
	c, err := s.take(r.Context(), ceremonyRegister)
	if err != nil {
		return out, 0, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return out, 0, incident.Invalid("credential", "the answer of the browser is too large. Try again")
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(body)
	if err != nil {
		return out, 0, incident.Invalid("credential", "the answer of the browser is malformed. Try again, or use another browser")
	}
	made, err := s.library.CreateCredential(keyHolder{Person: v.Person}, c.Data, parsed)
	if err != nil {
		return out, 0, s.explainRefusal(c.Data.Challenge, protocol.CreateCeremony, parsed.Response.CollectedClientData, parsed.Response.AttestationObject.AuthData, err)
	}
	counter = made.Authenticator.SignCount
	out = trust.Registration{Name: c.Name, Code: c.Code, Credential: made.ID}
	if out.PublicKey, err = publicKeyDER(made.PublicKey); err != nil {
		return out, 0, incident.Invalid("public_key", "the passkey has a key that cannot be used. Use another passkey")
	}
	made.Attestation, made.AttestationType, made.AttestationFormat = webauthn.CredentialAttestation{}, "", "" // not used
	out.Record, err = json.Marshal(made)
	return out, counter, err
}

// publicKeyDER returns a COSE key in the format that all tools read.
func publicKeyDER(cose []byte) ([]byte, error) {
	parsed, err := webauthncose.ParsePublicKey(cose)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	switch key := parsed.(type) {
	case webauthncose.EC2PublicKeyData:
		point, err := key.ToECDSA()
		if err != nil {
			return nil, fmt.Errorf("read public key: %w", err)
		}
		return x509.MarshalPKIXPublicKey(point)
	case webauthncose.RSAPublicKeyData:
		exponent := new(big.Int).SetBytes(key.Exponent)
		if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
			return nil, errors.New("the exponent of the public key is too large")
		}
		return x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(key.Modulus), E: int(exponent.Int64())})
	case webauthncose.OKPPublicKeyData:
		if len(key.XCoord) != ed25519.PublicKeySize {
			return nil, errors.New("the public key has another size")
		}
		return x509.MarshalPKIXPublicKey(ed25519.PublicKey(key.XCoord))
	}
	return nil, fmt.Errorf("a key of the type %T is not supported", parsed)
}
