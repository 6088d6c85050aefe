package incident

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
)

func TestProof_Algorithms(t *testing.T) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, a := range map[string]authenticator{"ES256": ecAuthenticator(t, "es"), "EdDSA": newAuthenticator(t, "ed", ed), "RS256": newAuthenticator(t, "rsa", rsaKey(t, 2048))} {
		p := a.sign(t, honest(testStatement(VerbSign, newFixture(t), "leg1", Legal)))
		if err := p.Verify(); err != nil {
			t.Errorf("%s: got %v, want a valid proof", name, err)
		}
		stored, err := json.Marshal(p)
		var back Proof
		if err != nil || json.Unmarshal(stored, &back) != nil || back.Verify() != nil {
			t.Errorf("%s: the stored proof is not valid", name)
		}
	}
}

// TestProof_EachCheckRefuses has one forged proof for each check of the verifier. Everything else about it is right, so
// without the check it would be valid.
func TestProof_EachCheckRefuses(t *testing.T) {
	es := ecAuthenticator(t, "es")
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	statement := testStatement(VerbSign, newFixture(t), "leg1", Legal)
	for name, c := range map[string]struct {
		by     authenticator
		change func(*signature)
		after  func(*Proof)
		want   string
	}{
		"statement not UTF-8":   {change: func(s *signature) { s.statement.Attestation = "a\xff" }, want: "not UTF-8"},
		"local time":            {change: func(s *signature) { s.statement.Time = "2026-11-24T02:00:00+01:00" }, want: "time of the statement"},
		"fractions of a second": {change: func(s *signature) { s.statement.Time = "2026-11-24T02:00:00.5Z" }, want: "time of the statement"},
		"short nonce":           {change: func(s *signature) { s.statement.Nonce = "AAAA" }, want: "nonce"},
		"nonce in another form": {change: func(s *signature) { s.statement.Nonce = s.statement.Nonce[:42] + "B" }, want: "nonce"},
		"no credential":         {after: func(p *Proof) { p.Credential = nil }, want: "credential ID"},
		"long credential":       {after: func(p *Proof) { p.Credential = make([]byte, 1024) }, want: "credential ID"},
		"origin of another site": {change: func(s *signature) {
			s.origin, s.client = "https://evil.example", strings.Replace(honestClient, testSite.Origin, "https://evil.example", 1)
		}, want: "does not belong to the relying party"},
		"origin with a longer name": {change: func(s *signature) {
			s.origin, s.client = "https://eviltocsin.example.com", strings.Replace(honestClient, testSite.Origin, "https://eviltocsin.example.com", 1)
		}, want: "does not belong to the relying party"},
		"origin without TLS": {change: func(s *signature) {
			s.origin, s.client = "http://tocsin.example.com", strings.Replace(honestClient, "https:", "http:", 1)
		}, want: "not protected by TLS"},
		"origin with a path": {change: func(s *signature) {
			s.origin, s.client = testSite.Origin+"/x", strings.Replace(honestClient, testSite.Origin, testSite.Origin+"/x", 1)
		}, want: "origin is malformed"},
		"another type":      {change: func(s *signature) { s.client = strings.Replace(honestClient, "webauthn.get", "webauthn.create", 1) }, want: "not about a signature"},
		"another challenge": {change: func(s *signature) { s.client = strings.Replace(honestClient, "%s", "AAAA", 1) }, want: "another statement"},
		"another origin": {change: func(s *signature) {
			s.client = strings.Replace(honestClient, testSite.Origin, "https://evil.example", 1)
		}, want: "another origin"},
		"inside another page": {change: func(s *signature) { s.client = strings.Replace(honestClient, "false", "true", 1) }, want: "inside a page"},
		"with a top origin": {change: func(s *signature) {
			s.client = strings.Replace(honestClient, "}", `,"topOrigin":"https://evil.example"}`, 1)
		}, want: "inside a page"},
		"duplicate member":          {change: func(s *signature) { s.client = strings.Replace(honestClient, "{", `{"type":"webauthn.create",`, 1) }, want: "unique members"},
		"bytes after the object":    {change: func(s *signature) { s.client = honestClient + "{}" }, want: "unique members"},
		"member in capitals":        {change: func(s *signature) { s.client = strings.Replace(honestClient, `"type"`, `"Type"`, 1) }, want: "not about a signature"},
		"client data not UTF-8":     {change: func(s *signature) { s.client = strings.Replace(honestClient, "}", ",\"x\":\"\xff\"}", 1) }, want: "unique members"},
		"long client data":          {change: func(s *signature) { s.client = honestClient + strings.Repeat(" ", maxClientData) }, want: "unique members"},
		"extra authenticator data":  {change: func(s *signature) { s.extra = []byte{0xa0} }, want: "another size"},
		"another relying party":     {change: func(s *signature) { s.rpID = "evil.example" }, want: "another website"},
		"person not present":        {change: func(s *signature) { s.flags = flagUserVerified }, want: "not present"},
		"person not verified":       {change: func(s *signature) { s.flags = flagUserPresent }, want: "did not verify"},
		"extensions announced":      {change: func(s *signature) { s.flags |= flagExtensions }, want: "announces parts"},
		"attested data announced":   {change: func(s *signature) { s.flags |= flagAttestedData }, want: "announces parts"},
		"contradictory flags":       {change: func(s *signature) { s.flags |= flagBackedUp }, want: "contradict"},
		"another curve":             {by: newAuthenticator(t, "p384", p384), want: "P-256"},
		"small RSA key":             {by: newAuthenticator(t, "rsa", rsaKey(t, 1024)), want: "fewer than 2048 bits"},
		"another key":               {after: func(p *Proof) { p.PublicKey = ecAuthenticator(t, "other").spki }, want: "does not belong to the key"},
		"key of another algorithm":  {after: func(p *Proof) { p.PublicKey = newAuthenticator(t, "rsa", rsaKey(t, 2048)).spki }, want: "does not belong to the key"},
		"bytes after the key":       {after: func(p *Proof) { p.PublicKey = append(bytes.Clone(p.PublicKey), 0) }, want: "malformed"},
		"bytes after the signature": {after: func(p *Proof) { p.Signature = append(bytes.Clone(p.Signature), 0) }, want: "does not belong to the key"},
		"long signature":            {after: func(p *Proof) { p.Signature = make([]byte, maxSignature+1) }, want: "too long"},
		"changed statement":         {after: func(p *Proof) { p.Statement.Department = Security }, want: "another statement"},
		"counter changed":           {after: func(p *Proof) { p.AuthenticatorData = bytes.Clone(p.AuthenticatorData); p.AuthenticatorData[36]++ }, want: "does not belong to the key"},
	} {
		t.Run(name, func(t *testing.T) {
			by := c.by
			if by.key == nil {
				by = es
			}
			s := honest(statement)
			if c.change != nil {
				c.change(&s)
			}
			p := by.sign(t, s)
			if c.after != nil {
				c.after(&p)
			}
			if err := p.Verify(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestProof_EveryByteCounts changes each byte of a proof that is not part of its JSON.
func TestProof_EveryByteCounts(t *testing.T) {
	p := ecAuthenticator(t, "es").sign(t, honest(testStatement(VerbSign, newFixture(t), "leg1", Legal)))
	for name, part := range map[string]*[]byte{"public key": &p.PublicKey, "authenticator data": &p.AuthenticatorData, "client data": &p.ClientData, "signature": &p.Signature} {
		good := *part
		for n := range good {
			*part = bytes.Clone(good)
			(*part)[n] ^= 0x01
			if p.Verify() == nil {
				t.Errorf("%s: byte %d has no effect", name, n)
			}
		}
		*part = good
	}
}

// FuzzProof_Verify never panics, and accepts nothing but the signed bytes.
func FuzzProof_Verify(f *testing.F) {
	p := ecAuthenticator(f, "es").sign(f, honest(testStatement(VerbSign, newFixture(f), "leg1", Legal)))
	f.Add(p.AuthenticatorData, p.ClientData, p.Signature, p.PublicKey, p.Origin)
	f.Add([]byte{}, []byte(`{"type":1}`), []byte{0x30}, []byte{0x30, 0}, "https://[::1]")
	f.Fuzz(func(t *testing.T, data, client, sig, key []byte, origin string) {
		forged := p
		forged.AuthenticatorData, forged.ClientData, forged.Signature, forged.PublicKey, forged.Origin = data, client, sig, key, origin
		if forged.Verify() == nil && (!bytes.Equal(data, p.AuthenticatorData) || !bytes.Equal(client, p.ClientData)) && bytes.Equal(key, p.PublicKey) {
			t.Errorf("got a valid proof of other bytes")
		}
	})
}
