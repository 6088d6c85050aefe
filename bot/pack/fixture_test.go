package pack

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/trust"
)

const (
	testRP     = "tocsin.example.com"
	testOrigin = "https://tocsin.example.com"
)

// authenticator is a passkey in software. The test changes its parts to sign wrongly.
type authenticator struct {
	credential []byte
	key        crypto.Signer
	spki       []byte

	rp, origin, kind string
	flags            byte
	extra            []byte // after the authenticator data
	challenge        []byte // in place of that of the statement
}

func newAuthenticator(t *testing.T, algorithm string) *authenticator {
	t.Helper()
	a := &authenticator{rp: testRP, origin: testOrigin, kind: "webauthn.get", flags: 5}
	var err error
	switch algorithm {
	case "EdDSA":
		_, a.key, err = ed25519.GenerateKey(rand.Reader)
	case "RS256":
		a.key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	if a.spki, err = x509.MarshalPKIXPublicKey(a.key.Public()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(a.spki)
	a.credential = sum[:16]
	return a
}

func (a *authenticator) fingerprint() string { return incident.KeyFingerprint(a.spki) }

// sign returns the proof of a statement.
func (a *authenticator) sign(t *testing.T, s incident.ActStatement) incident.Proof {
	t.Helper()
	challenge := s.Challenge()
	if a.challenge != nil {
		challenge = a.challenge
	}
	client := fmt.Sprintf(`{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":false}`, a.kind, base64.RawURLEncoding.EncodeToString(challenge), a.origin)
	rp := sha256.Sum256([]byte(a.rp))
	data := slices.Concat(rp[:], []byte{a.flags, 0, 0, 0, 0}, a.extra)
	hash := sha256.Sum256([]byte(client))
	signed := slices.Concat(data, hash[:])
	digest, opts := signed, crypto.SignerOpts(crypto.Hash(0))
	if _, isEd := a.key.(ed25519.PrivateKey); !isEd {
		sum := sha256.Sum256(signed)
		digest, opts = sum[:], crypto.SHA256
	}
	signature, err := a.key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return incident.Proof{Statement: s, RelyingParty: a.rp, Origin: a.origin, Credential: a.credential, PublicKey: a.spki,
		AuthenticatorData: data, ClientData: []byte(client), Signature: signature}
}

// world is an instance in memory: a timeline, a log of keys and a notary.
type world struct {
	t        *testing.T
	now      time.Time
	id       incident.ID
	timeline []incident.Event
	head     incident.Head
	keys     map[incident.PersonID]*authenticator
	log      []trust.Event
	noted    int // events of the log that the notary has

	notary     notary.Key
	tree       notary.Tree
	leaves     [][]byte
	hashes     [][]notary.Hash
	last       notary.Checkpoint
	published  []notary.Checkpoint
	documents  []Document
	stored     map[int][]byte
	documented int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), id: 7, keys: map[incident.PersonID]*authenticator{}, stored: map[int][]byte{}}
	w.head = incident.Genesis(w.id)
	var err error
	if w.notary, err = notary.NewKey("tocsin/0123456789abcdef", bytes.Repeat([]byte("k"), 32)); err != nil {
		t.Fatal(err)
	}
	return w
}

// add appends an event to the timeline.
func (w *world) add(kind incident.EventKind, by incident.PersonID, audience incident.Audience, fields map[string]string, texts map[string]string) incident.Event {
	w.now = w.now.Add(time.Second)
	e := incident.Event{Kind: kind, By: by, HappenedAt: w.now, RecordedAt: w.now, Via: incident.ViaSlack, Audience: audience, Fields: fields, Texts: map[string]incident.Text{}}
	for name, value := range texts {
		e.Texts[name] = incident.Text{Value: value}
	}
	e, w.head = incident.Seal(w.head, e, func() []byte {
		salt := make([]byte, 32)
		_, _ = rand.Read(salt) // never fails
		return salt
	})
	w.timeline = append(w.timeline, e)
	return e
}

// state returns the state after the timeline.
func (w *world) state() incident.Incident { return incident.Fold(w.id, w.timeline) }

// register adds a passkey of a person to the log of keys.
func (w *world) register(p incident.PersonID, a *authenticator, used ...int64) {
	w.keys[p] = a
	w.logKey(trust.Event{Kind: trust.PasskeyRegistered, Person: p, By: p, Through: "https://idp.example.com", Fingerprint: a.fingerprint(),
		Details: trust.Details{Name: "Key", Credential: a.credential, PublicKey: a.spki, Approval: "after a sign-in with a second factor", Used: used}})
}

func (w *world) revoke(a *authenticator) {
	w.logKey(trust.Event{Kind: trust.PasskeyRevoked, Fingerprint: a.fingerprint(), Details: trust.Details{Reason: "lost"}})
}

func (w *world) logKey(e trust.Event) int64 {
	w.now = w.now.Add(time.Second)
	e.ID, e.At = int64(len(w.log)+1), w.now
	w.log = append(w.log, e)
	return e.ID
}

// vouch adds a voucher of one person for another.
func (w *world) vouch(by, person incident.PersonID) int64 {
	s := trust.VouchStatement(incident.Directory{}, by, person, w.now, nonce(fmt.Sprint("vouch", by, person)))
	p := w.keys[by].sign(w.t, s)
	return w.logKey(trust.Event{Kind: trust.Vouched, Person: person, By: by, Fingerprint: p.Fingerprint(), Details: trust.Details{Proof: &p, Expires: w.now.Add(24 * time.Hour)}})
}

func nonce(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

var signers = map[incident.Department]incident.PersonID{incident.Engineering: "ada", incident.Security: "sam", incident.Legal: "lea", incident.Communications: "cora"}

// statement returns what a department signs.
func (w *world) statement(team incident.Department) incident.ActStatement {
	return incident.ActStatement{Act: string(incident.VerbSign), Incident: w.id.String(), Digest: w.state().Submission.Digest, Attestation: "I have read this record.",
		Department: team, Person: signers[team], Time: w.now.Format(time.RFC3339), Nonce: nonce(fmt.Sprint(team, len(w.timeline)))}
}

// sign adds the signature of a department. Without a proof it is one of the server.
func (w *world) sign(team incident.Department, p *incident.Proof) incident.Event {
	fields := map[string]string{"department": string(team), "digest": w.state().Submission.Digest, "document": incident.DocumentKind, "schema": incident.DocumentSchema}
	if p != nil {
		raw, err := json.Marshal(p)
		if err != nil {
			w.t.Fatal(err)
		}
		fields["proof"] = string(raw)
	}
	return w.add(incident.EventSigned, signers[team], incident.AudienceResponders, fields, map[string]string{"attestation": "I have read this record."})
}

// open adds the events from the alert to the submitted record.
func (w *world) open() {
	w.add(incident.EventOpened, "ada", incident.AudienceResponders, map[string]string{"severity": "sev2", "status": "triage"}, map[string]string{"title": "Leaked <key> & more"})
	w.submit()
}

func (w *world) submit() {
	texts := map[string]string{}
	for _, f := range incident.RecordFields() {
		texts[f.Name] = "The " + f.Label + " of the incident"
	}
	delete(texts, "audience")
	delete(texts, "language")
	w.add(incident.EventRecordEdited, "ada", incident.AudienceResponders, map[string]string{"audience": "all", "language": "en"}, texts)
	w.freeze()
}

// freeze submits the record.
func (w *world) freeze() {
	w.add(incident.EventSubmitted, "ada", incident.AudienceResponders, map[string]string{"digest": "sha256:x", "events": fmt.Sprint(w.head.Seq), "head": w.head.Hash, "revision": "1", "status": "in_review"}, nil)
	last := w.timeline[len(w.timeline)-1]
	digest := w.state().Submission.Document.Digest()
	w.timeline = w.timeline[:len(w.timeline)-1]
	w.head = incident.Head{Seq: last.Seq - 1, Hash: last.Fields["head"]}
	last.Fields["digest"] = digest
	w.add(last.Kind, last.By, last.Audience, last.Fields, nil)
}

// approve adds the approval and the postmortem.
func (w *world) approve() {
	digest := w.state().Submission.Digest
	w.add(incident.EventApproved, "", incident.AudienceResponders, map[string]string{"digest": digest, "revision": "1", "status": "approved"}, nil)
	w.add(incident.EventPostmortemWritten, "", incident.AudienceResponders, map[string]string{"digest": digest, "revision": "1"}, nil)
	d := storedDocument{Revision: 1, Digest: digest, Files: []incident.File{{Name: "INC-7-postmortem-r1.md", Content: "# Postmortem\n"}, {Name: "INC-7-postmortem-r1.html", Content: "<h1>Postmortem</h1>"}}}
	w.documents = []Document{{1, d.Files}}
	w.stored[1], _ = json.Marshal(d) // texts only
}

// closed returns a world whose incident is approved with four passkeys.
func closed(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for n, team := range incident.RequiredDepartments() {
		w.register(signers[team], newAuthenticator(t, []string{"ES256", "EdDSA", "RS256", "ES256"}[n]))
	}
	w.open()
	w.step()
	for _, team := range incident.RequiredDepartments() {
		p := w.keys[signers[team]].sign(t, w.statement(team))
		w.sign(team, &p)
	}
	w.step()
	w.approve()
	w.step()
	return w
}

func (w *world) salt(subject string, id int64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "salt %s %d", subject, id))
	return sum[:]
}

// keyContent returns the row of an event as the store writes it.
func keyContent(t *testing.T, e trust.Event) string {
	t.Helper()
	details, err := json.Marshal(e.Details)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("trust_events %d\nat %s\nkind %q\nperson %q\nby_person %q\nthrough %q\nprovider %q\nfingerprint %q\nsealed_details %q\n",
		e.ID, e.At.UTC().Format(time.RFC3339Nano), e.Kind, e.Person, e.By, e.Through, e.Provider, e.Fingerprint, details)
}

func (w *world) documentContent(revision int) string {
	sum := sha256.Sum256(w.stored[revision])
	return fmt.Sprintf("documents %d\nincident_id %d\nrevision %d\ndigest %q\nat 2026-11-20T10:00:00Z\nsealed_body sha256:%s\n", 40+revision, w.id, revision, w.state().Submission.Digest, hex.EncodeToString(sum[:]))
}

// step records everything new in the log of the notary.
func (w *world) step() {
	w.leaf(notary.Step{}.Text())
	head := notary.Commit(w.salt("incidents", int64(w.id)), fmt.Appendf(nil, "head %d\nseq %d\nhash %s\n", w.id, w.head.Seq, w.head.Hash))
	w.leaf(notary.Leaf{Subject: "incidents", Lines: []notary.Line{{ID: 3, Detail: "9 " + head.String()}, {ID: int64(w.id), Detail: fmt.Sprint(w.head.Seq, " ", head)}}}.Text())
	for r := range w.documents {
		if r >= w.documented {
			w.leaf(notary.Leaf{Subject: "documents", Lines: []notary.Line{{ID: int64(41 + r), Commitment: notary.Commit(w.salt("documents", int64(41+r)), []byte(w.documentContent(r+1)))}}}.Text())
		}
	}
	w.documented = len(w.documents)
	var lines []notary.Line
	for _, e := range w.log[w.noted:] {
		lines = append(lines, notary.Line{ID: e.ID, Commitment: notary.Commit(w.salt("trust", e.ID), []byte(keyContent(w.t, e))), Detail: keyDetail(e.Kind, e.Fingerprint)})
	}
	if w.noted = len(w.log); len(lines) > 0 {
		w.leaf(notary.Leaf{Subject: "trust", Lines: lines}.Text())
	}
	w.checkpoint()
}

func (w *world) leaf(text []byte) {
	w.leaves, w.hashes = append(w.leaves, text), append(w.hashes, w.tree.Add(text))
}

// checkpoint signs and publishes the log.
func (w *world) checkpoint() {
	c, err := w.notary.Sign(notary.Checkpoint{Size: w.tree.Size(), Root: w.tree.Root(), At: w.now, LastIncident: 9, LastTrust: int64(w.noted)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.last, w.published = c, append(w.published, c)
}

// parts returns the parts of a pack with every leaf.
func (w *world) parts() Parts {
	read := func(n int64) ([]notary.Hash, error) { return w.hashes[n], nil }
	p := Proofs{Verifier: w.notary.Verifier().String(), Checkpoint: w.last.Note, Salt: w.salt("incidents", int64(w.id))}
	for n, leaf := range w.leaves {
		i, err := notary.ProveInclusion(leaf, int64(n), w.last.Size, read)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Leaves = append(p.Leaves, i)
	}
	for _, c := range w.published {
		if c.Size < w.last.Size {
			proof, err := notary.ProveConsistency(c.Size, w.last.Size, read)
			if err != nil {
				w.t.Fatal(err)
			}
			p.Earlier = append(p.Earlier, Earlier{c.Size, c.Note, proof})
		}
	}
	for _, e := range w.log {
		p.Keys = append(p.Keys, Row{e.ID, keyContent(w.t, e), w.salt("trust", e.ID)})
	}
	for r := range w.documents {
		p.Documents = append(p.Documents, DocumentRow{Row{int64(41 + r), w.documentContent(r + 1), w.salt("documents", int64(41+r))}, r + 1, w.stored[r+1]})
	}
	return Parts{Incident: w.id, At: w.now, RelyingParty: incident.RelyingParty{ID: testRP, Origin: testOrigin}, Timeline: w.timeline,
		People: map[incident.PersonID]string{"ada": "Ada Byron", "sam": "Sam Carter", "lea": "Lea Stein", "cora": "Cora Lind"}, Documents: w.documents, Proofs: p}
}

func build(t *testing.T, p Parts) []byte {
	t.Helper()
	data, err := Build(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// problems returns the problems of a report as one text.
func problems(r Report) string {
	var out []string
	for _, c := range r.Checks {
		if c.Result == ResultProblem {
			out = append(out, c.Name+": "+c.Detail)
		}
	}
	return strings.Join(out, "\n")
}

func mustVerify(t *testing.T, data []byte, o Options) Report {
	t.Helper()
	r := Verify(data, o)
	if !r.Verified {
		t.Fatalf("got problems:\n%s", problems(r))
	}
	return r
}
