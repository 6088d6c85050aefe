package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/trust"
	"tocsin/bot/web/session"
	"tocsin/store"
)

// passkeySite is the pages with a real database, on a listener whose name is localhost: a passkey cannot belong to an address.
type passkeySite struct {
	t     *testing.T
	desk  *response.Desk
	store *store.Store
	url   string
	rp    virtualwebauthn.RelyingParty
	mu    sync.Mutex
	ahead time.Duration // of the clock
}

func (s *passkeySite) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

// wait moves the clock.
func (s *passkeySite) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// passkeyPeople has two people in each department: ada and abe in engineering, sue and sid in security, leo and lea in legal, cat and cid in
// communications.
func passkeyPeople() incident.Directory {
	var d incident.Directory
	for n, names := range [][]string{{"ada", "abe"}, {"sue", "sid"}, {"leo", "lea"}, {"cat", "cid"}} {
		team := incident.Team{Name: incident.RequiredDepartments()[n]}
		for _, name := range names {
			d.People = append(d.People, incident.Person{ID: incident.PersonID(name), Name: fullName(name), Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: name}, {Provider: incident.ProviderMail, ID: name + "@example.com"}}})
			team.Members = append(team.Members, incident.Membership{Person: incident.PersonID(name)})
		}
		d.Teams = append(d.Teams, team)
	}
	return d
}

func fullName(name string) string { return strings.ToUpper(name[:1]) + name[1:] + " Example" }

func newPasskeySite(t *testing.T, database string) *passkeySite {
	t.Helper()
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	fx := &passkeySite{t: t}
	fx.store, err = store.Open(t.Context(), store.Config{URL: database}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler), Clock: fx.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fx.store.Close() })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fx.url = "http://localhost:" + port
	fx.rp = virtualwebauthn.RelyingParty{ID: "localhost", Name: "Tocsin", Origin: fx.url}
	fx.desk, err = response.New(response.Options{Store: fx.store, Redact: redact.New(redact.Options{}), Now: fx.now, Administrators: []string{"root", "ada"},
		Policy:           incident.Policy{RelyingParty: incident.RelyingParty{ID: "localhost", Origin: fx.url}},
		RenderPostmortem: func(response.Postmortem) (incident.Document, error) { return incident.Document{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := fx.desk.PutDirectory(t.Context(), passkeyPeople()); err != nil {
		t.Fatal(err)
	}
	server, err := New(fx.url, Deps{Desk: func() Desk { return fx.desk }, Sessions: fx.store, Now: fx.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server.mux.HandleFunc("GET /test/enter", func(w http.ResponseWriter, r *http.Request) { // in place of an issuer
		if err := server.enter(r.Context(), incident.PersonID(r.FormValue("person")), r.FormValue("through"), r.FormValue("factors") == "2"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		http.Redirect(w, r, "/account/passkeys", http.StatusSeeOther)
	})
	site := &httptest.Server{Listener: listener, Config: &http.Server{Handler: server, ReadHeaderTimeout: 5 * time.Second}}
	site.Start()
	t.Cleanup(site.Close)
	return fx
}

// browser is a person's browser with an authenticator.
type browser struct {
	*passkeySite
	http *http.Client
	auth virtualwebauthn.Authenticator
	key  *virtualwebauthn.Credential
}

func (s *passkeySite) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{passkeySite: s, http: &http.Client{Jar: jar}, auth: virtualwebauthn.NewAuthenticator()}
}

// signedIn returns a browser in which a person signed in.
func (s *passkeySite) signedIn(person, through string, secondFactor bool) *browser {
	b := s.browser()
	b.enter(person, through, secondFactor)
	return b
}

func (b *browser) enter(person, through string, secondFactor bool) {
	b.t.Helper()
	factors := map[bool]string{true: "2"}[secondFactor]
	if status, body := b.get("/test/enter?" + url.Values{"person": {person}, "through": {through}, "factors": {factors}}.Encode()); status != http.StatusOK {
		b.t.Fatalf("sign in: got status %d: %s", status, body)
	}
}

func (b *browser) get(path string) (int, string) {
	b.t.Helper()
	r, err := b.http.Get(b.url + path)
	return b.read(r, err)
}

func (b *browser) post(path, kind, body string) (int, string) {
	b.t.Helper()
	r, err := b.http.Post(b.url+path, kind, strings.NewReader(body))
	return b.read(r, err)
}

func (b *browser) read(r *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func (b *browser) form(path string, fields url.Values) (int, string) {
	b.t.Helper()
	return b.post(path, "application/x-www-form-urlencoded", fields.Encode())
}

// forge are the ways to use an authenticator wrongly. The zero value is right.
type forge struct {
	rp        func(*virtualwebauthn.RelyingParty)
	challenge []byte
	answer    func(string) string
}

// register registers a new passkey of the browser.
func (b *browser) register(kind virtualwebauthn.KeyType, fields url.Values, f forge) (int, string) {
	b.t.Helper()
	status, options := b.form("/account/passkeys/register/begin", fields)
	if status != http.StatusOK {
		return status, options
	}
	made, err := virtualwebauthn.ParseAttestationOptions(options)
	if err != nil {
		b.t.Fatal(err)
	}
	rp := b.rp
	if f.rp != nil {
		f.rp(&rp)
	}
	if f.challenge != nil {
		made.Challenge = f.challenge
	}
	key := newTestKey(kind)
	answer := virtualwebauthn.CreateAttestationResponse(rp, b.auth, key, *made)
	if f.answer != nil {
		answer = f.answer(answer)
	}
	status, body := b.post("/account/passkeys/register/finish", "application/json", answer)
	if status == http.StatusOK {
		b.key, b.auth.Options.UserHandle = &key, []byte(made.UserID)
		b.auth.AddCredential(key)
	}
	return status, body
}

// ec2Size is the size of the coordinates of a P-256 key in CBOR.
const ec2Size = 77

// newTestKey returns a new key. The library leaves leading zeros out, which no authenticator does, so such keys are not used.
func newTestKey(kind virtualwebauthn.KeyType) virtualwebauthn.Credential {
	for {
		key := virtualwebauthn.NewCredential(kind)
		if kind != virtualwebauthn.KeyTypeEC2 || len(key.Key.AttestationData()) == ec2Size {
			return key
		}
	}
}

// mustRegister registers a passkey and returns its fingerprint.
func (b *browser) mustRegister(person incident.PersonID, fields url.Values) string {
	b.t.Helper()
	if status, body := b.register(virtualwebauthn.KeyTypeEC2, fields, forge{}); status != http.StatusOK {
		b.t.Fatalf("register: got status %d: %s", status, body)
	}
	state, _, err := b.desk.Trust(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	keys := state.Passkeys(person)
	return keys[len(keys)-1].Fingerprint
}

// use answers a request for a signature with the passkey of the browser.
func (b *browser) use(path string, fields url.Values, f forge) (int, string) {
	b.t.Helper()
	status, options := b.form(path+"/begin", fields)
	if status != http.StatusOK {
		return status, options
	}
	asked, err := virtualwebauthn.ParseAssertionOptions(options)
	if err != nil {
		b.t.Fatal(err)
	}
	rp := b.rp
	if f.rp != nil {
		f.rp(&rp)
	}
	if f.challenge != nil {
		asked.Challenge = f.challenge
	}
	answer := virtualwebauthn.CreateAssertionResponse(rp, b.auth, *b.key, *asked)
	if f.answer != nil {
		answer = f.answer(answer)
	}
	return b.post(path+"/finish", "application/json", answer)
}

// audited returns the newest entries of the audit log with an action, newest first.
func (s *passkeySite) audited(action string) []store.AuditEntry {
	s.t.Helper()
	list, _, err := s.store.ListAudit(s.t.Context(), store.AuditQuery{Action: action, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// refused checks the answer to a refused step, and that the newest entry of the audit log with the action is about it.
func (s *passkeySite) refused(status int, body, action, want string) {
	s.t.Helper()
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status < 400 || !strings.Contains(answer.Error.Message, want) {
		s.t.Errorf("got status %d: %s, want an error with %q", status, body, want)
	}
	if list := s.audited(action); len(list) == 0 || list[0].Allowed || !strings.Contains(list[0].Reason, want[1:]) {
		s.t.Errorf("the newest entry of the audit log is not the refusal: %+v", list[:min(len(list), 1)])
	}
}

// host returns a user of the machine.
func host(name string, administrator bool) trust.Actor {
	a := trust.Actor{Handle: incident.Identity{Provider: incident.ProviderLocal, ID: name}, Through: string(incident.ProviderLocal), Administrator: administrator}
	if slices.ContainsFunc(passkeyPeople().People, func(p incident.Person) bool { return string(p.ID) == name }) {
		a.Person = incident.PersonID(name)
	}
	return a
}

// code issues an enrolment code.
func (s *passkeySite) code(person incident.PersonID) string {
	s.t.Helper()
	code, err := s.desk.IssueCode(context.Background(), host("root", true), person, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return code.Code
}

func sessionFilter(person incident.PersonID) session.Filter { return session.Filter{Person: person} }

// change changes a member of the response in the answer of an authenticator.
func change(answer, member string, f func([]byte) []byte) string {
	var a map[string]any
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return answer
	}
	part := a["response"].(map[string]any)
	raw, _ := base64.RawURLEncoding.DecodeString(part[member].(string))
	part[member] = base64.RawURLEncoding.EncodeToString(f(raw))
	out, _ := json.Marshal(a)
	return string(out)
}

func swapType(answer string) string {
	return change(answer, "clientDataJSON", func(b []byte) []byte { return []byte(strings.Replace(string(b), "webauthn.get", "webauthn.create", 1)) })
}

func breakSignature(answer string) string {
	return change(answer, "signature", func(b []byte) []byte { b[len(b)-1]++; return b })
}
