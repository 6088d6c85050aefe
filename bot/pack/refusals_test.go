package pack

import (
	"bytes"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/trust"
)

// TestVerify_RefusesProofs signs for legal in wrong ways. The server and the verifier of the pack refuse this signature, and
// only this one.
func TestVerify_RefusesProofs(t *testing.T) {
	type lawyer struct {
		w   *world
		key *authenticator
		s   incident.ActStatement
	}
	for name, c := range map[string]struct {
		change func(*lawyer)
		after  func(*lawyer, *incident.Proof)
		want   string
	}{
		"wrong relying party":   {change: func(l *lawyer) { l.key.rp = "evil.example.com" }},
		"wrong origin":          {change: func(l *lawyer) { l.key.origin = "https://evil.example.com" }},
		"registration":          {change: func(l *lawyer) { l.key.kind = "webauthn.create" }},
		"wrong challenge":       {change: func(l *lawyer) { l.key.challenge = bytes.Repeat([]byte{1}, 32) }},
		"no verification":       {change: func(l *lawyer) { l.key.flags = 1 }},
		"no presence":           {change: func(l *lawyer) { l.key.flags = 4 }},
		"extra bytes":           {change: func(l *lawyer) { l.key.extra = []byte{0} }},
		"another act":           {change: func(l *lawyer) { l.s.Act = string(incident.VerbDismiss) }, want: "another act"},
		"another incident":      {change: func(l *lawyer) { l.s.Incident = "INC-8" }, want: `about "INC-8"`},
		"another record":        {change: func(l *lawyer) { l.s.Digest = "sha256:" + strings.Repeat("0", 64) }, want: "another act, record"},
		"another department":    {change: func(l *lawyer) { l.s.Department = incident.Security }, want: "another act, record or department"},
		"another person":        {change: func(l *lawyer) { l.s.Person = "eve" }, want: "by another person"},
		"another attestation":   {change: func(l *lawyer) { l.s.Attestation = "I have not read it." }, want: "another attestation"},
		"old statement":         {change: func(l *lawyer) { l.s.Time = "2026-11-19T09:00:00Z" }, want: "another time"},
		"key of another":        {change: func(l *lawyer) { l.key = l.w.keys["sam"] }, want: "belongs to Sam Carter"},
		"unknown key":           {change: func(l *lawyer) { l.key = newAuthenticator(l.w.t, "ES256") }, want: "not registered"},
		"revoked key":           {change: func(l *lawyer) { l.w.revoke(l.key); l.w.step() }, want: "revoked before"},
		"revoked key, one step": {change: func(l *lawyer) { l.w.revoke(l.key) }, want: "revoked before"},
		"key registered late": {change: func(l *lawyer) { l.key = newAuthenticator(l.w.t, "ES256") },
			after: func(l *lawyer, _ *incident.Proof) { l.w.step(); l.w.register("lea", l.key) }, want: "registered after"},
		"algorithm confusion":         {after: func(l *lawyer, p *incident.Proof) { p.PublicKey = l.w.keys["sam"].spki }},
		"changed signature":           {after: func(_ *lawyer, p *incident.Proof) { p.Signature[9] ^= 1 }},
		"bytes after the signature":   {after: func(_ *lawyer, p *incident.Proof) { p.Signature = append(p.Signature, 0) }},
		"bytes after the client data": {after: func(_ *lawyer, p *incident.Proof) { p.ClientData = append(p.ClientData, ' ') }},
		"another credential":          {after: func(_ *lawyer, p *incident.Proof) { p.Credential = []byte("x") }, want: "another public key or credential"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for _, team := range incident.RequiredDepartments() {
				w.register(signers[team], newAuthenticator(t, "ES256"))
			}
			w.open()
			w.step()
			for _, team := range incident.RequiredDepartments() {
				l := &lawyer{w, w.keys[signers[team]], w.statement(team)}
				if team == incident.Legal && c.change != nil {
					c.change(l)
				}
				p := l.key.sign(t, l.s)
				if team == incident.Legal && c.after != nil && name != "key registered late" {
					c.after(l, &p)
				}
				if err := w.decide(team, p); (err == nil) != (team != incident.Legal) {
					t.Errorf("the server: got %v for the signature of %s", err, team)
				}
				w.sign(team, &p)
				if team == incident.Legal && name == "key registered late" {
					c.after(l, &p)
				}
			}
			w.step()
			w.approve()
			w.step()
			r := Verify(build(t, w.parts()), Options{})
			if got := problems(r); r.Verified || !strings.Contains(got, "the signature of legal by Lea Stein") || !strings.Contains(got, c.want) {
				t.Errorf("got problems %q, want %q about the signature of legal", got, c.want)
			}
			if strings.Contains(problems(r), "signature of engineering") {
				t.Errorf("got problems %q, want none about other signatures", problems(r))
			}
		})
	}
}

// decide returns the decision of the server about a signature at the level passkey.
func (w *world) decide(team incident.Department, p incident.Proof) error {
	inc := w.state()
	env := incident.Env{Now: w.now, Actor: signers[team], Passkeys: trust.Fold(w.log).Passkeys(signers[team]),
		Policy: incident.Policy{SignLevel: incident.AuthPasskey, RelyingParty: incident.RelyingParty{ID: testRP, Origin: testOrigin}, SubmitterMaySign: true, Attestations: map[incident.Department]incident.Attestation{}}}
	for dept, person := range signers {
		env.Directory.People = append(env.Directory.People, incident.Person{ID: person, Name: string(person)})
		env.Directory.Teams = append(env.Directory.Teams, incident.Team{Name: dept, Members: []incident.Membership{{Person: person}}, Head: person})
		env.Policy.Attestations[dept] = incident.Attestation{Version: "1", Text: "I have read this record."}
	}
	_, err := incident.Decide(incident.Command{Verb: incident.VerbSign, For: w.id, By: incident.Identity{Provider: incident.ProviderWeb, ID: string(signers[team])}, Department: team,
		Expect: inc.Submission.Digest, Attested: env.Policy.Attestations[team].ID(), Proof: &p, SecondFactor: true, Via: incident.ViaWeb, Key: "k"}, inc, env)
	return err
}

// TestVerify_LaterRevocation accepts signatures whose leaf precedes the revocation of their key, and those that precede
// it in one step. Without the revocation the pack is refused.
func TestVerify_LaterRevocation(t *testing.T) {
	w := closed(t)
	w.revoke(w.keys["lea"])
	w.step()
	p := w.parts()
	r := mustVerify(t, build(t, p), Options{})
	if got := r.Signatures[2].Registration; !strings.Contains(got, "revoked later") {
		t.Errorf("got %q, want the revocation named", got)
	}
	p.Proofs.Keys = p.Proofs.Keys[:len(p.Proofs.Keys)-1]
	if got := problems(Verify(build(t, p), Options{})); !strings.Contains(got, "revocation of the key (event 5") {
		t.Errorf("the revocation is closed: got problems %q", got)
	}
	p.Proofs.Leaves = p.Proofs.Leaves[:len(p.Proofs.Leaves)-1]
	if got := problems(Verify(build(t, p), Options{})); !strings.Contains(got, "event 5 of 5 of the log of keys is not in the pack") {
		t.Errorf("the leaf of the revocation is missing: got problems %q", got)
	}
}

// TestVerify_Vouchers accepts a key that two people vouched for, and refuses a person's voucher for their own key.
func TestVerify_Vouchers(t *testing.T) {
	for _, by := range []incident.PersonID{"sam", "lea"} {
		w := newWorld(t)
		for _, team := range incident.RequiredDepartments() {
			w.register(signers[team], newAuthenticator(t, "ES256"))
		}
		first, second := w.vouch("ada", "lea"), w.vouch(by, "lea")
		w.register("lea", newAuthenticator(t, "ES256"), first, second)
		w.open()
		for _, team := range incident.RequiredDepartments() {
			p := w.keys[signers[team]].sign(t, w.statement(team))
			w.sign(team, &p)
		}
		w.approve()
		w.step()
		r := Verify(build(t, w.parts()), Options{})
		if got := problems(r); r.Verified != (by == "sam") || by == "lea" && !strings.Contains(got, "nobody vouches for their own key") {
			t.Errorf("voucher by %s: got problems %q", by, got)
		}
	}
}

// TestVerify_Approvals refuses approvals without four departments and four people, and repeated proofs.
func TestVerify_Approvals(t *testing.T) {
	w := newWorld(t)
	w.open()
	for _, team := range []incident.Department{incident.Engineering, incident.Security, incident.Legal} {
		w.sign(team, nil)
	}
	w.approve()
	w.documents = nil
	w.step()
	if got := problems(Verify(build(t, w.parts()), Options{})); !strings.Contains(got, "without a signature of communications") {
		t.Errorf("three departments: got problems %q", got)
	}
	w = newWorld(t)
	w.register("lea", newAuthenticator(t, "ES256"))
	w.open()
	p := w.keys["lea"].sign(t, w.statement(incident.Legal))
	w.sign(incident.Legal, &p)
	w.add(incident.EventSignatureWithdrawn, "lea", incident.AudienceResponders, map[string]string{"department": "legal", "digest": w.state().Submission.Digest}, nil)
	if err := w.decide(incident.Legal, p); err == nil {
		t.Error("the server accepts a repeated proof")
	}
	w.sign(incident.Legal, &p)
	w.step()
	if got := problems(Verify(build(t, w.parts()), Options{})); !strings.Contains(got, "the proof repeats the one of event 4") {
		t.Errorf("repeated proof: got problems %q", got)
	}
	signers[incident.Communications] = "lea"
	defer func() { signers[incident.Communications] = "cora" }()
	w = newWorld(t)
	w.open()
	for _, team := range incident.RequiredDepartments() {
		w.sign(team, nil)
	}
	w.approve()
	w.documents = nil
	w.step()
	if got := problems(Verify(build(t, w.parts()), Options{})); !strings.Contains(got, "signed for") {
		t.Errorf("three people: got problems %q", got)
	}
}

// TestVerify_Outside refuses another notary, another log and other keys than the verifier knows.
func TestVerify_Outside(t *testing.T) {
	w, other := closed(t), closed(t)
	data := build(t, w.parts())
	foreign := newWorld(t)
	foreign.leaf([]byte("step\n"))
	foreign.leaf([]byte("step\n"))
	foreign.checkpoint() // the same key signs another log
	for name, o := range map[string]Options{
		"notary":     {Key: strings.Replace(w.notary.Verifier().String(), "+", "+0", 1)},
		"pin":        {Pins: []string{other.keys["ada"].fingerprint()}},
		"checkpoint": {Published: []string{"no checkpoint"}},
	} {
		if Verify(data, o).Verified {
			t.Errorf("another %s: the pack is accepted", name)
		}
	}
	w.published[0].Root = foreign.last.Root
	v := verification{report: &Report{}, checkpoint: w.last}
	f := findings{}
	c := foreign.last
	own := w.published[0]
	c.Size = own.Size
	own.Root[0] ^= 1
	v.comparePublished(&f, c, map[int64]notary.Checkpoint{c.Size: own})
	if len(f.problems) != 1 {
		t.Errorf("another log: got %v, want it refused", f.problems)
	}
}

// FuzzVerify verifies arbitrary files, and arbitrary files inside a genuine pack.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("PK\x03\x04"), uint8(0))
	f.Add([]byte(`{"seq":1}`+"\n"), uint8(1))
	names := []string{timelineName, metaName, noteName, notaryKeyName, "notary/leaves/000000001.leaf", "notary/leaves/000000001.proof", "records/000003-r1.json", "keys/000001.row", "documents/r1/database.row", "documents/r1/stored.json"}
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		if Verify(data, Options{}).Verified {
			t.Fatal("arbitrary bytes are accepted")
		}
		files := map[string][]byte{metaName: []byte(`{"format":"` + format + `","incident":"INC-7","exported_at":"2026-11-20T09:00:00Z","withheld":true,"people":{}}` + "\n")}
		files[names[int(which)%len(names)]] = data
		files[manifestName] = manifest(files)
		if pack, err := encode(files); err == nil && Verify(pack, Options{}).Verified {
			t.Fatal("a pack without proofs is accepted")
		}
	})
}
