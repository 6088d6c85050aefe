package incident

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
)

var testSite = RelyingParty{ID: "tocsin.example.com", Origin: "https://tocsin.example.com"}

// authenticator is a passkey that signs any statement of a test.
type authenticator struct {
	key        crypto.Signer
	spki       []byte
	credential []byte
}

func newAuthenticator(t tester, name string, key crypto.Signer) authenticator {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return authenticator{key, spki, []byte("credential of " + name)}
}

var ecKeys sync.Map // by name: keys take long to make

func ecAuthenticator(t tester, name string) authenticator {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, _ := ecKeys.LoadOrStore(name, key)
	return newAuthenticator(t, name, made.(*ecdsa.PrivateKey))
}

// signature has the data that an authenticator and a browser sign. Tests change parts of it.
type signature struct {
	statement  ActStatement
	rpID       string
	flags      byte
	extra      []byte // after the authenticator data
	client     string // the client data, with %s for the challenge
	rp, origin string // of the proof
}

func testStatement(act Verb, w *fixture, person PersonID, team Department) ActStatement {
	digest := ""
	if w.inc.Submission != nil {
		digest = w.inc.Submission.Digest
	}
	w.salts++
	nonce := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(w.salts)))
	return ActStatement{Act: string(act), Incident: w.inc.ID.String(), Digest: digest, Attestation: w.policy.Attestation(team).Text, Department: team, Person: person,
		Time: StatementTime(w.now), Nonce: base64.RawURLEncoding.EncodeToString(nonce[:])}
}

const honestClient = `{"type":"webauthn.get","challenge":"%s","origin":"https://tocsin.example.com","crossOrigin":false}`

func honest(s ActStatement) signature {
	return signature{statement: s, rpID: testSite.ID, flags: flagUserPresent | flagUserVerified, client: honestClient, rp: testSite.ID, origin: testSite.Origin}
}

// sign returns the proof. hash is the algorithm of the signature over a digest, 0 for Ed25519.
func (a authenticator) sign(t tester, s signature) Proof {
	rp := sha256.Sum256([]byte(s.rpID))
	data := append(append(rp[:], s.flags), 0, 0, 0, 1)
	data = append(data, s.extra...)
	client := []byte(s.client)
	if n := countVerbs(s.client); n == 1 {
		client = fmt.Appendf(nil, s.client, base64.RawURLEncoding.EncodeToString(s.statement.Challenge()))
	}
	sum := sha256.Sum256(client)
	signed := append(append([]byte{}, data...), sum[:]...)
	var sig []byte
	var err error
	if _, ed := a.key.(ed25519.PrivateKey); ed {
		sig, err = a.key.Sign(rand.Reader, signed, crypto.Hash(0))
	} else {
		digest := sha256.Sum256(signed)
		sig, err = a.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return Proof{Statement: s.statement, RelyingParty: s.rp, Origin: s.origin, Credential: a.credential, PublicKey: a.spki, AuthenticatorData: data, ClientData: client, Signature: sig}
}

func countVerbs(format string) (n int) {
	for i := range len(format) - 1 {
		if format[i:i+2] == "%s" {
			n++
		}
	}
	return n
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
