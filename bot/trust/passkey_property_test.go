package trust_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

var testParty = incident.RelyingParty{ID: "tocsin.example.com", Origin: "https://tocsin.example.com"}

// testKeys are the private keys of the tests. They are made once, because they are slow to make.
var testKeys = func() (out []*ecdsa.PrivateKey) {
	for range 24 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		out = append(out, key)
	}
	return out
}()

func spki(n int) []byte {
	der, err := x509.MarshalPKIXPublicKey(&testKeys[n].PublicKey)
	if err != nil {
		panic(err)
	}
	return der
}

// prove signs a statement as an authenticator does.
func prove(n int, credential []byte, statement incident.ActStatement) *incident.Proof {
	client, _ := json.Marshal(map[string]any{"type": "webauthn.get", "challenge": base64.RawURLEncoding.EncodeToString(statement.Challenge()), "origin": testParty.Origin})
	party := sha256.Sum256([]byte(testParty.ID))
	data := append(slices.Clone(party[:]), 5, 0, 0, 0, 0)
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(slices.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, testKeys[n], sum[:])
	if err != nil {
		panic(err)
	}
	return &incident.Proof{Statement: statement, RelyingParty: testParty.ID, Origin: testParty.Origin, Credential: credential, PublicKey: spki(n), AuthenticatorData: data, ClientData: client, Signature: signature}
}

// world is a log that a random sequence of acts writes.
type world struct {
	env    trust.Env
	log    []trust.Event
	people []incident.PersonID
	codes  map[incident.PersonID]string // issued last
	owned  map[string]int               // test key by credential
	proofs []*incident.Proof
}

func newWorld() *world {
	w := &world{env: trust.Env{Now: t0, RelyingParty: testParty}, owned: map[string]int{}, codes: map[incident.PersonID]string{}}
	for n, team := range incident.RequiredDepartments()[:3] {
		t := incident.Team{Name: team}
		for k := range 2 {
			id := incident.PersonID(fmt.Sprintf("p%d", 2*n+k))
			w.people = append(w.people, id)
			w.env.Directory.People = append(w.env.Directory.People, incident.Person{ID: id, Name: "Person " + strings.Replace(string(id), "p5", "p3", 1), Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: string(id)}}})
			t.Members = append(t.Members, incident.Membership{Person: id})
		}
		w.env.Directory.Teams = append(w.env.Directory.Teams, t)
	}
	return w
}

func (w *world) state() trust.State { return trust.Fold(w.log) }

func (w *world) append(events ...trust.Event) {
	for _, e := range events {
		e.ID = int64(len(w.log) + 1)
		w.log = append(w.log, e)
	}
}

// actor draws a session of a person, honest or not.
func (w *world) actor(t *rapid.T) trust.Actor {
	person := rapid.SampledFrom(w.people).Draw(t, "person")
	through := rapid.SampledFrom([]string{"okta", "slack", incident.ThroughHost, incident.ThroughPasskey, "local", "local", "local"}).Draw(t, "through")
	a := trust.Actor{Person: person, Handle: incident.Identity{Provider: incident.ProviderWeb, ID: string(person)}, Through: through, SecondFactor: rapid.Bool().Draw(t, "second factor"),
		SignedIn: w.env.Now.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "age")) * time.Minute)}
	if through == "local" {
		a.Handle, a.SecondFactor, a.Administrator = incident.Identity{Provider: incident.ProviderLocal, ID: string(person)}, false, rapid.Bool().Draw(t, "administrator")
	}
	if keys := w.state().Keys; len(keys) > 0 && rapid.Bool().Draw(t, "asserted") {
		a.Asserted, a.AssertedAt = rapid.SampledFrom(keys).Draw(t, "key").Fingerprint, a.SignedIn
	}
	return a
}

// TestRegister_OnlyWithApproval draws acts of people, administrators and attackers. Every passkey in the log must have been approved as
// the rules say.
func TestRegister_OnlyWithApproval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		used := map[int64]bool{}
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.env.Now = w.env.Now.Add(time.Duration(rapid.SampledFrom([]int{1, 1, 1, 5, 700}).Draw(t, "minutes")) * time.Minute)
			a, before := w.actor(t), w.state()
			switch rapid.SampledFrom([]string{"code", "vouch", "vouch", "revoke", "register", "register"}).Draw(t, "act") {
			case "code":
				w.issue(t, a, before)
			case "vouch":
				w.vouch(t, a, before, step)
			case "revoke":
				w.revoke(t, a, before)
			case "register":
				if a.Through == "local" { // the same person on the pages
					a.Handle.Provider, a.Through = incident.ProviderWeb, incident.ThroughHost
				}
				w.register(t, a, before, used)
			}
		}
	})
}

func (w *world) issue(t *rapid.T, a trust.Actor, s trust.State) {
	code := trust.NewCode([]byte(fmt.Sprintf("%010d", len(w.log))))
	events, err := s.IssueCode(a, rapid.SampledFrom(w.people).Draw(t, "for"), code, "", w.env)
	if err == nil && (!a.Administrator || a.Through != "local") {
		t.Fatalf("a code was issued by %+v", a)
	}
	w.append(events...)
	if err == nil {
		w.codes[events[len(events)-1].Person] = code
	}
}

func (w *world) vouch(t *rapid.T, a trust.Actor, s trust.State, step int) {
	v := trust.Vouching{Person: rapid.SampledFrom(w.people).Draw(t, "for"), Reason: "met"}
	if len(w.proofs) > 0 && rapid.IntRange(0, 3).Draw(t, "replay") == 0 {
		v.Proof = rapid.SampledFrom(w.proofs).Draw(t, "proof")
	} else if len(s.Keys) > 0 {
		k := rapid.SampledFrom(s.Keys).Draw(t, "key")
		nonce := sha256.Sum256([]byte{byte(step)})
		v.Proof = prove(w.owned[string(k.Credential)], k.Credential, trust.VouchStatement(w.env.Directory, a.Person, v.Person, w.env.Now, base64.RawURLEncoding.EncodeToString(nonce[:])))
		w.proofs = append(w.proofs, v.Proof)
	}
	e, err := s.Vouch(a, v, w.env)
	if err != nil {
		return
	}
	onHost := a.Through == "local"
	key, known := trust.Key{}, false
	if v.Proof != nil {
		key, known = s.Key(v.Proof.Credential)
	}
	if e.Person == e.By || !onHost && (!known || key.Person != a.Person || !key.ActiveAt(w.env.Now)) {
		t.Fatalf("%+v vouched with the key %+v", a, key)
	}
	if onHost {
		e.Details.Proof = nil
		for _, d := range trust.Departments(w.env, a.Person) {
			for _, line := range s.Roster(w.env) {
				if line.Department == d && line.Enrolled > 0 {
					t.Fatalf("%s vouched on the host, and %s has a passkey", a.Person, d)
				}
			}
		}
	}
	w.append(e)
}

func (w *world) revoke(t *rapid.T, a trust.Actor, s trust.State) {
	if len(s.Keys) == 0 {
		return
	}
	k := rapid.SampledFrom(s.Keys).Draw(t, "key")
	events, err := s.Revoke(a, trust.Revocation{Fingerprint: k.Fingerprint, Reason: "stolen", Since: w.env.Now.Add(-time.Duration(rapid.SampledFrom([]int{0, 1, 60}).Draw(t, "since")) * time.Minute)}, w.env)
	if err != nil {
		return
	}
	w.append(events...)
	security := w.env.Directory.Represents(a.Person, incident.Security, w.env.Now) && a.SecondFactor
	if events[0].Kind == trust.PasskeyRevoked && a.Person != k.Person && !a.Administrator && !security {
		t.Fatalf("%+v revoked the key of %s", a, k.Person)
	}
	if !security && events[0].Kind == trust.RevocationProposed {
		t.Fatalf("%+v proposed a revocation", a)
	}
	if again := w.state(); events[0].Kind == trust.PasskeyRevoked {
		for _, one := range again.Keys { // a key that rests on one that fell has fallen
			for _, by := range again.Keys {
				if slices.Contains(one.Approvers, by.Fingerprint) && by.Fingerprint == k.Fingerprint && !by.ActiveAt(one.RegisteredAt) && one.ActiveAt(one.RegisteredAt) {
					voucher := slices.ContainsFunc(again.Vouchers, func(v trust.Voucher) bool {
						return slices.Contains(one.Used, v.Event) && v.Fingerprint == by.Fingerprint
					})
					if !voucher { // a voucher that was given before the theft counts
						t.Fatalf("%s rests on %s, which is revoked since %v", one.Fingerprint, by.Fingerprint, by.RevokedAt)
					}
				}
			}
		}
	}
}

func (w *world) register(t *rapid.T, a trust.Actor, s trust.State, used map[int64]bool) {
	n := rapid.IntRange(0, len(testKeys)-1).Draw(t, "new key")
	r := trust.Registration{Credential: fmt.Appendf(nil, "credential %d", rapid.SampledFrom([]int{n, 0}).Draw(t, "credential")), PublicKey: spki(n)}
	if rapid.Bool().Draw(t, "with code") {
		r.Code = w.codes[rapid.SampledFrom([]incident.PersonID{a.Person, a.Person, a.Person, "p0"}).Draw(t, "code of")]
	}
	events, err := s.Register(a, r, w.env)
	if err != nil {
		return
	}
	w.owned[string(r.Credential)] = n
	e := events[0]
	for _, k := range s.Keys {
		if string(k.Credential) == string(r.Credential) || k.Fingerprint == e.Fingerprint {
			t.Fatalf("%s was registered twice", k.Fingerprint)
		}
	}
	for _, id := range e.Details.Used {
		if used[id] {
			t.Fatalf("the voucher or code %d was used twice", id)
		}
		used[id] = true
	}
	w.mustBeApproved(t, a, s, e)
	w.append(events...)
}

// mustBeApproved checks the approval of a registration from the events alone.
func (w *world) mustBeApproved(t *rapid.T, a trust.Actor, s trust.State, e trust.Event) {
	codes, by := 0, []incident.PersonID{}
	for _, id := range e.Details.Used {
		used := w.log[id-1]
		if used.Person != e.Person || !w.env.Now.Before(used.Details.Expires) {
			t.Fatalf("used %+v for %s", used, e.Person)
		}
		if used.Kind == trust.CodeIssued {
			codes++
			continue
		}
		by = append(by, used.By)
	}
	fresh := func(at time.Time) bool { return w.env.Now.Sub(at) <= trust.FreshTime }
	link, first := a.Through == incident.ThroughHost, len(s.Passkeys(a.Person)) == 0
	ownKey := slices.ContainsFunc(s.Passkeys(a.Person), func(k incident.Passkey) bool {
		return k.Fingerprint == a.Asserted && k.ActiveAt(w.env.Now) && fresh(a.AssertedAt)
	})
	apart := func(p incident.PersonID) bool {
		return !slices.ContainsFunc(trust.Departments(w.env, p), func(d incident.Department) bool { return slices.Contains(trust.Departments(w.env, e.Person), d) })
	}
	issuer := a.Through == "okta" || a.Through == "slack"
	ok := !link && ownKey || !link && first && issuer && a.SecondFactor && fresh(a.SignedIn) ||
		first && codes == 1 && slices.ContainsFunc(by, apart) ||
		!first && len(by) == 2 && incident.Independent(w.env.Directory, nil, by[0], by[1]) && !slices.Contains(by, e.Person) && (!link || codes == 1)
	if !ok || a.Handle.Provider != incident.ProviderWeb {
		t.Fatalf("%+v registered a passkey by %q, codes %d, vouchers %v", a, e.Details.Approval, codes, by)
	}
}

func TestProven_Refuses(t *testing.T) {
	w := newWorld()
	w.append(trust.Event{At: t0, Kind: trust.PasskeyRegistered, Person: "p0", By: "p0", Through: "okta", Fingerprint: incident.KeyFingerprint(spki(0)), Details: trust.Details{Credential: []byte("c0"), PublicKey: spki(0)}},
		trust.Event{At: t0, Kind: trust.PasskeyRegistered, Person: "p2", By: "p2", Through: "okta", Fingerprint: incident.KeyFingerprint(spki(1)), Details: trust.Details{Credential: []byte("c1"), PublicKey: spki(1)}})
	nonce := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	statement := trust.VouchStatement(w.env.Directory, "p0", "p4", t0, nonce)
	if _, err := w.state().Proven(prove(0, []byte("c0"), statement), statement, w.env); err != nil {
		t.Fatal(err)
	}
	for name, forge := range map[string]func(*incident.Proof, *trust.Env){
		"signature":         func(p *incident.Proof, _ *trust.Env) { p.Signature[len(p.Signature)-1]++ },
		"other key":         func(p *incident.Proof, _ *trust.Env) { *p = *prove(1, []byte("c1"), statement) },
		"other public key":  func(p *incident.Proof, _ *trust.Env) { *p = *prove(1, []byte("c0"), statement) },
		"unknown key":       func(p *incident.Proof, _ *trust.Env) { p.Credential = []byte("c9") },
		"other person":      func(p *incident.Proof, _ *trust.Env) { p.Statement.Digest = "sha256:00" },
		"other attestation": func(p *incident.Proof, _ *trust.Env) { p.Statement.Attestation += "!" },
		"relying party":     func(p *incident.Proof, _ *trust.Env) { p.RelyingParty = "example.com" },
		"origin":            func(p *incident.Proof, _ *trust.Env) { p.Origin = "https://example.com" },
		"too old":           func(_ *incident.Proof, env *trust.Env) { env.Now = env.Now.Add(6 * time.Minute) },
		"from the future":   func(_ *incident.Proof, env *trust.Env) { env.Now = env.Now.Add(-6 * time.Minute) },
	} {
		p, env := prove(0, []byte("c0"), statement), w.env
		forge(p, &env)
		if _, err := w.state().Proven(p, statement, env); incident.CodeOf(err) != incident.CodeForbidden {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	used := prove(0, []byte("c0"), statement)
	w.append(trust.Event{At: t0, Kind: trust.Vouched, Person: "p4", By: "p0", Details: trust.Details{Proof: used}})
	if _, err := w.state().Proven(used, statement, w.env); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("replay: got %v, want a refusal", err)
	}
}

// TestRegister_TwoAccountsOfOneHuman vouches with two accounts that have the same name.
func TestRegister_TwoAccountsOfOneHuman(t *testing.T) {
	w := newWorld()
	voucher := func(by incident.PersonID) {
		w.append(trust.Event{At: t0, Kind: trust.Vouched, Person: "p0", By: by, Through: "local", Details: trust.Details{Expires: t0.Add(time.Hour)}})
	}
	w.append(trust.Event{At: t0, Kind: trust.PasskeyRegistered, Person: "p0", By: "p0", Through: "okta", Fingerprint: "lost", Details: trust.Details{Credential: []byte("lost")}})
	voucher("p3")
	voucher("p5")
	a := trust.Actor{Person: "p0", Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "p0"}, Through: "okta"}
	if text, err := w.state().MayRegister(a, "", w.env); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("got %q, %v, want a refusal", text, err)
	}
	voucher("p4")
	if text, err := w.state().MayRegister(a, "", w.env); err != nil {
		t.Errorf("with another human: got %q, %v", text, err)
	}
}
