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
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// statementDomain separates the challenges of statements from all other challenges. It
// changes with the fields of [ActStatement].
const statementDomain = "tocsin-statement-v1\n"

// ActStatement is the text that a person signs with a passkey: one act in one incident.
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

// SignedAt returns the time of the statement, or the zero time if it is malformed.
func (s ActStatement) SignedAt() time.Time {
	at, err := time.Parse(time.RFC3339, s.Time)
	if err != nil || StatementTime(at) != s.Time {
		return time.Time{}
	}
	return at
}

// StatementTime returns a time as statements have it.
func StatementTime(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }

// nonceSize is the number of bytes of a nonce.
const nonceSize = 32

// verify checks the form of the statement. Two statements of this form have equal
// challenges only if they are equal.
func (s ActStatement) verify() error {
	for _, text := range []string{s.Act, s.Incident, s.Digest, s.Attestation, string(s.Department), string(s.Person)} {
		if !utf8.ValidString(text) {
			return errors.New("the statement is not UTF-8")
		}
	}
	if s.SignedAt().IsZero() {
		return errors.New("the time of the statement is malformed")
	}
	nonce, err := base64.RawURLEncoding.Strict().DecodeString(s.Nonce)
	if err != nil || len(nonce) != nonceSize || base64.RawURLEncoding.EncodeToString(nonce) != s.Nonce {
		return errors.New("the nonce of the statement does not have 32 bytes")
	}
	return nil
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

// KeyFingerprint returns the fingerprint of a public key in DER, for people who compare keys.
func KeyFingerprint(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Fingerprint returns the fingerprint of the key of the proof.
func (p Proof) Fingerprint() string { return KeyFingerprint(p.PublicKey) }

// The flags of authenticator data.
const (
	flagUserPresent    = 1 << 0
	flagUserVerified   = 1 << 2
	flagBackupEligible = 1 << 3
	flagBackedUp       = 1 << 4
	flagAttestedData   = 1 << 6
	flagExtensions     = 1 << 7
)

// authenticatorDataSize is the size of authenticator data without extensions: the hash of the relying party, the
// flags and the counter.
const authenticatorDataSize = sha256.Size + 1 + 4

// Counter returns the counter of the authenticator, or 0 if the data is malformed.
func (p Proof) Counter() uint32 {
	if len(p.AuthenticatorData) != authenticatorDataSize {
		return 0
	}
	c := p.AuthenticatorData[sha256.Size+1:]
	return uint32(c[0])<<24 | uint32(c[1])<<16 | uint32(c[2])<<8 | uint32(c[3])
}

// The maximum sizes of the parts of a proof, in bytes. An RSA key of 8192 bits has 1 KiB.
const (
	maxCredential = 1023
	maxPublicKey  = 2048
	maxClientData = 8192
	maxSignature  = 1024
)

// Verify reports whether the key of the proof signed its statement, with the person present and verified. It does not
// know whose key it is, and which relying party is right.
func (p Proof) Verify() error {
	if err := p.Statement.verify(); err != nil {
		return err
	}
	if err := p.verifyOrigin(); err != nil {
		return err
	}
	if n := len(p.Credential); n == 0 || n > maxCredential {
		return errors.New("the credential ID is missing or too long")
	}
	if err := p.verifyClientData(); err != nil {
		return err
	}
	if err := p.verifyAuthenticatorData(); err != nil {
		return err
	}
	return p.verifySignature()
}

// verifyOrigin checks that the origin is a website of the relying party: its host is the
// relying party or below it.
func (p Proof) verifyOrigin() error {
	u, err := url.Parse(p.Origin)
	if err != nil || u.Scheme+"://"+u.Host != p.Origin || strings.ToLower(p.Origin) != p.Origin {
		return errors.New("the origin is malformed")
	}
	host := u.Hostname()
	if p.RelyingParty == "" || host != p.RelyingParty && !strings.HasSuffix(host, "."+p.RelyingParty) {
		return errors.New("the origin does not belong to the relying party")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || host != "localhost" && !strings.HasSuffix(host, ".localhost")) {
		return errors.New("the origin is not protected by TLS")
	}
	return nil
}

// verifyAuthenticatorData checks what the authenticator signed besides the client data.
func (p Proof) verifyAuthenticatorData() error {
	if len(p.AuthenticatorData) != authenticatorDataSize {
		return errors.New("the authenticator data has another size")
	}
	if rp := sha256.Sum256([]byte(p.RelyingParty)); !bytes.Equal(p.AuthenticatorData[:sha256.Size], rp[:]) {
		return errors.New("the passkey signed for another website")
	}
	flags := p.AuthenticatorData[sha256.Size]
	switch {
	case flags&flagUserPresent == 0:
		return errors.New("the person was not present at the passkey")
	case flags&flagUserVerified == 0:
		return errors.New("the passkey did not verify the person")
	case flags&(flagAttestedData|flagExtensions) != 0:
		return errors.New("the authenticator data announces parts that it does not have")
	case flags&flagBackedUp != 0 && flags&flagBackupEligible == 0:
		return errors.New("the flags of the authenticator data contradict each other")
	}
	return nil
}

// verifySignature checks the signature with the algorithm that belongs to the type of the key: ES256, EdDSA or RS256.
// The key must be in its only DER form. An ECDSA signature in another form than DER is refused as well.
func (p Proof) verifySignature() error {
	if len(p.PublicKey) > maxPublicKey || len(p.Signature) > maxSignature {
		return errors.New("the public key or the signature is too long")
	}
	key, err := parseKey(p.PublicKey)
	if err != nil {
		return err
	}
	client := sha256.Sum256(p.ClientData)
	signed := append(bytes.Clone(p.AuthenticatorData), client[:]...)
	sum := sha256.Sum256(signed)
	valid := false
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		valid = ecdsa.VerifyASN1(key, sum[:], p.Signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, signed, p.Signature)
	case *rsa.PublicKey:
		valid = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], p.Signature) == nil
	}
	if !valid {
		return errors.New("the signature does not belong to the key")
	}
	return nil
}

// CheckKey returns an error unless a public key in DER can sign proofs.
func CheckKey(spki []byte) error {
	_, err := parseKey(spki)
	return err
}

// parseKey returns a public key for ES256, EdDSA or RS256.
func parseKey(spki []byte) (crypto.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, errors.New("the public key is malformed")
	}
	if der, err := x509.MarshalPKIXPublicKey(key); err != nil || !bytes.Equal(der, spki) {
		return nil, errors.New("the public key is not in canonical form")
	}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return nil, errors.New("the key is on another curve than P-256")
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("the RSA key has fewer than %d bits", minRSABits)
		}
	default:
		return nil, fmt.Errorf("a key of the type %T is not supported", key)
	}
	return key, nil
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

// AuthLevels returns the levels, from the highest to the lowest.
func AuthLevels() []AuthLevel { return []AuthLevel{AuthPasskey, AuthMFA, AuthAny} }

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
