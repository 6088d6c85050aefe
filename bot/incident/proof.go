package incident

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// statementDomain separates the challenges of statements from all other challenges. It
// changes with the fields of [ActStatement].
const statementDomain = "tocsin-statement-v1\n"

// ActStatement is what a person signs with a passkey: one act in one incident.
type ActStatement struct {
	Act         string     `json:"act"` // the [Verb]
	Incident    string     `json:"incident"`
	Digest      string     `json:"digest"`      // of the closing record, or of the command for acts without a record
	Attestation string     `json:"attestation"` // the sentence that the person confirms, word for word
	Department  Department `json:"department"`  // that the person acts for, or ""
	Person      PersonID   `json:"person"`
	Time        string     `json:"time"`  // RFC 3339, UTC, in seconds
	Nonce       string     `json:"nonce"` // 32 random bytes, base64url
}

// Challenge returns the challenge that the passkey signs: the SHA-256 of the domain and of
// the statement as RFC 8785 JSON.
func (s ActStatement) Challenge() []byte {
	sum := sha256.Sum256(append([]byte(statementDomain), canonical(s)...))
	return sum[:]
}

// Proof is a statement that was signed with a passkey. It can be verified without Tocsin.
type Proof struct {
	Statement         ActStatement `json:"statement"`
	RelyingParty      string       `json:"rp_id"`
	Origin            string       `json:"origin"`
	Credential        []byte       `json:"credential_id"`
	PublicKey         []byte       `json:"public_key_spki"` // DER
	AuthenticatorData []byte       `json:"authenticator_data"`
	ClientData        []byte       `json:"client_data_json"`
	Signature         []byte       `json:"signature"`
}

// KeyFingerprint returns the fingerprint of a public key in DER, by which people compare keys.
func KeyFingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Fingerprint returns the fingerprint of the key of the proof.
func (p Proof) Fingerprint() string { return KeyFingerprint(p.PublicKey) }

// The flags of authenticator data.
const (
	flagUserPresent  = 1 << 0
	flagUserVerified = 1 << 2
)

// authenticatorDataSize is the size of authenticator data without extensions: the hash of the relying party, the
// flags and the counter.
const authenticatorDataSize = 37

// Verify reports whether the key of the proof signed its statement, with the person present and verified. It does not
// know whose key it is.
func (p Proof) Verify() error {
	if _, err := time.Parse(time.RFC3339, p.Statement.Time); err != nil {
		return errors.New("the time of the statement is malformed")
	}
	if err := p.verifyClientData(); err != nil {
		return err
	}
	if len(p.AuthenticatorData) != authenticatorDataSize {
		return errors.New("the authenticator data has another size")
	}
	if rp := sha256.Sum256([]byte(p.RelyingParty)); !bytes.Equal(p.AuthenticatorData[:sha256.Size], rp[:]) {
		return errors.New("the passkey signed for another website")
	}
	if flags := p.AuthenticatorData[sha256.Size]; flags&flagUserPresent == 0 || flags&flagUserVerified == 0 {
		return errors.New("the passkey did not verify the person")
	}
	return p.verifySignature()
}

// verifyClientData checks what the browser signed.
func (p Proof) verifyClientData() error {
	var client struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}
	if err := json.Unmarshal(p.ClientData, &client); err != nil {
		return errors.New("the client data is not JSON")
	}
	switch {
	case client.Type != "webauthn.get":
		return errors.New("the client data is not about a signature")
	case client.Challenge != base64.RawURLEncoding.EncodeToString(p.Statement.Challenge()):
		return errors.New("the passkey signed another statement")
	case client.Origin != p.Origin || client.CrossOrigin:
		return errors.New("the page belongs to another origin")
	}
	return nil
}

// verifySignature checks the signature with the algorithm that belongs to the type of the key: ES256, EdDSA or RS256.
func (p Proof) verifySignature() error {
	key, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		return errors.New("the public key is malformed")
	}
	client := sha256.Sum256(p.ClientData)
	signed := append(bytes.Clone(p.AuthenticatorData), client[:]...)
	sum := sha256.Sum256(signed)
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = key.Curve == elliptic.P256() && ecdsa.VerifyASN1(key, sum[:], p.Signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, signed, p.Signature)
	case *rsa.PublicKey:
		valid = key.N.BitLen() >= minRSABits && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], p.Signature) == nil
	default:
		return fmt.Errorf("a key of the type %T is not supported", key)
	}
	if !valid {
		return errors.New("the signature does not belong to the key")
	}
	return nil
}

// minRSABits is the smallest accepted size of an RSA key.
const minRSABits = 2048

// Passkey is a key of a person that Tocsin knows.
type Passkey struct {
	Person       PersonID  `json:"person"`
	Fingerprint  string    `json:"fingerprint"` // see [KeyFingerprint]
	Credential   []byte    `json:"credential_id"`
	PublicKey    []byte    `json:"public_key_spki"` // DER
	RegisteredAt time.Time `json:"registered_at"`
	RevokedAt    time.Time `json:"revoked_at,omitzero"`
}

// ActiveAt reports whether the key counts at a time.
func (k Passkey) ActiveAt(at time.Time) bool {
	return !at.Before(k.RegisteredAt) && (k.RevokedAt.IsZero() || at.Before(k.RevokedAt))
}

// AuthLevel is how surely the author of an act must be recognised.
type AuthLevel string

// The levels, from the lowest to the highest.
const (
	AuthAny     AuthLevel = "any"     // an account of a provider, such as Slack
	AuthMFA     AuthLevel = "mfa"     // a session on the pages with a second factor
	AuthPasskey AuthLevel = "passkey" // a signature with the person's own passkey
)

// RelyingParty is the website that passkeys belong to.
type RelyingParty struct {
	ID     string // host name
	Origin string // "https://tocsin.example.com"
}

// Distrust is a provider or issuer whose accounts an attacker used.
type Distrust struct {
	Provider string    `json:"provider"` // "slack", or the name of an issuer
	Since    time.Time `json:"since"`    // acts after it do not count
	At       time.Time `json:"at"`       // when a person declared it
}
