package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/bot/response"
	"tocsin/bot/sandbox/idp"
	"tocsin/bot/secret"
	"tocsin/bot/trust"
	"tocsin/bot/web"
	"tocsin/store"
	"tocsin/store/storetest"
)

// signInSite is the pages with a real database and real OpenID providers.
type signInSite struct {
	testing.TB
	store *store.Store
	desk  *response.Desk
	url   string
	idps  []*idp.Provider
	urls  []string // of the providers

	mu  sync.Mutex
	now time.Time
}

func (s *signInSite) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *signInSite) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// local serves a handler at localhost.
func local(t testing.TB, handler func(url string) http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	address := "http://localhost:" + port
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler(address), ReadHeaderTimeout: 5 * time.Second}}
	server.Start()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return address
}

// newSignInSite serves the pages with issuers. Each has the subjects ada, sue and
// stranger. change adapts an issuer.
func newSignInSite(t testing.TB, database string, change ...func(*web.Issuer)) *signInSite {
	t.Helper()
	s := &signInSite{TB: t, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	if s.store, err = store.Open(context.Background(), store.Config{URL: database}, store.Deps{Keyset: keys, Logger: quiet, Clock: s.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	s.desk, err = response.New(response.Options{Store: s.store, Redact: redact.New(redact.Options{}), Now: s.clock,
		RenderPostmortem: func(response.Postmortem) (incident.Document, error) { return incident.Document{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	var c web.SignIn
	for n, f := range change {
		s.urls = append(s.urls, local(t, func(address string) http.Handler {
			p, err := idp.New(idp.Options{Issuer: address, Clock: s.clock, People: []idp.Person{{Subject: "ada", Name: "Ada"}, {Subject: "sue", Name: "Sue"}, {Subject: "stranger", Name: "Stranger"}}})
			if err != nil {
				t.Fatal(err)
			}
			s.idps = append(s.idps, p)
			return p
		}))
		one := web.Issuer{Name: "company", Issuer: s.urls[n], ClientID: idp.ClientID, ClientSecret: secret.New(idp.ClientSecret),
			SecondFactor: web.SecondFactor{Claim: "amr", Values: []string{"mfa"}}, MaxAge: 8 * time.Hour}
		f(&one)
		c.Issuers = append(c.Issuers, one)
	}
	if problems := (web.Config{SignIn: c, Serve: []string{web.ServePages}}).Validate(); len(problems) > 0 {
		t.Fatal(problems.Err())
	}
	s.people("ada", "sue")
	s.url = local(t, func(address string) http.Handler {
		for _, p := range s.idps {
			p.Allow(address + "/sign-in/callback")
		}
		pages, err := web.New(address, web.Deps{Desk: func() web.Desk { return s.desk }, Sessions: s.store, SignIn: c, Now: s.clock, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return pages
	})
	return s
}

// people puts people into the configuration, whose subjects are their names. With two
// issuers, they are subjects of the first.
func (s *signInSite) people(names ...string) {
	s.Helper()
	d := incident.Directory{Teams: []incident.Team{{Name: incident.Security}}}
	for _, name := range names {
		subject := name
		if len(s.urls) > 1 {
			subject = "company|" + name
		}
		d.People = append(d.People, incident.Person{ID: incident.PersonID("p-" + name), Name: strings.ToUpper(name[:1]) + name[1:] + " Example", Identities: []incident.Identity{{Provider: incident.ProviderOIDC, ID: subject}}})
		d.Teams[0].Members = append(d.Teams[0].Members, incident.Membership{Person: incident.PersonID("p-" + name)})
	}
	if err := s.desk.PutDirectory(s.Context(), d); err != nil {
		s.Fatal(err)
	}
}

// visit is a browser.
type visit struct {
	*signInSite
	http *http.Client
}

func (s *signInSite) visit() *visit {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &visit{s, &http.Client{Jar: jar, Timeout: 20 * time.Second}}
}

// get requests an address and follows redirects.
func (v *visit) get(address string) (status int, at *url.URL, body string) {
	v.Helper()
	res, err := v.http.Get(address)
	if err != nil {
		v.Fatal(err)
	}
	return v.read(res)
}

// post submits a form.
func (v *visit) post(address string, form url.Values) (status int, at *url.URL, body string) {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		v.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := v.http.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	return v.read(res)
}

func (v *visit) read(res *http.Response) (int, *url.URL, string) {
	v.Helper()
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		v.Fatal(err)
	}
	return res.StatusCode, res.Request.URL, string(raw)
}

// choose begins a sign-in at an issuer and returns the page with the names.
func (v *visit) choose(issuer string) (login string, request string) {
	v.Helper()
	status, at, body := v.get(v.url + "/sign-in/with/" + issuer + "?then=" + url.QueryEscape("/account?x=1"))
	if status != http.StatusOK || at.Path != "/login" {
		v.Fatalf("got %d at %s: %s", status, at, body)
	}
	return at.Scheme + "://" + at.Host + "/login", at.Query().Get("request")
}

// signIn signs a person in at an issuer.
func (v *visit) signIn(issuer, person string, secondFactor bool) (status int, at *url.URL, body string) {
	v.Helper()
	login, request := v.choose(issuer)
	form := url.Values{"request": {request}, "person": {person}}
	if secondFactor {
		form.Set("second_factor", "yes")
	}
	return v.post(login, form)
}

// callback signs a person in up to the answer of the provider, and returns its address at
// Tocsin without opening it.
func (v *visit) callback(person string) string {
	v.Helper()
	login, request := v.choose("company")
	last := ""
	v.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if last = r.URL.String(); strings.HasPrefix(last, v.url) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.post(login, url.Values{"request": {request}, "person": {person}, "second_factor": {"yes"}})
	v.http.CheckRedirect = nil
	return last
}

// audit returns the newest entry about sign-ins in the audit log.
func (s *signInSite) audit() store.AuditEntry {
	s.Helper()
	list, _, err := s.store.ListAudit(s.Context(), store.AuditQuery{Action: "sign-in", Limit: 1})
	if err != nil {
		s.Fatal(err)
	}
	if len(list) == 0 {
		return store.AuditEntry{}
	}
	return list[0]
}

// isSignedIn reports whether the browser sees the account of a person.
func (v *visit) isSignedIn(name string) bool {
	v.Helper()
	status, at, body := v.get(v.url + "/account")
	return status == http.StatusOK && at.Path == "/account" && strings.Contains(body, name)
}

func mfa(*web.Issuer) {}

func TestSignIn_WithSecondFactor(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, database string) {
		s := newSignInSite(t, database, mfa)
		v := s.visit()
		if status, at, body := v.get(s.url + "/account"); status != http.StatusOK || at.RequestURI() != "/sign-in?then=%2Faccount" || !strings.Contains(body, "Sign in with company") || !strings.Contains(body, "Other ways to sign in") {
			t.Fatalf("got %d at %s: %s", status, at, body)
		}
		status, at, body := v.signIn("company", "ada", true)
		if status != http.StatusOK || at.RequestURI() != "/account?x=1" || !strings.Contains(body, "session through company with a second factor") {
			t.Fatalf("got %d at %s: %s", status, at, body)
		}
		if got := s.audit(); !got.Allowed || got.Person != "p-ada" || !strings.Contains(got.Reason, "through company with a second factor") {
			t.Errorf("got audit entry %+v, want the sign-in", got)
		}
		if _, at, _ := v.post(s.url+"/sign-out", nil); at.Path != "/sign-in" || v.isSignedIn("Ada") {
			t.Error("the person is still signed in after the sign-out")
		}
	})
}

// TestSignIn_Refused makes the provider answer wrong in each way. Each refusal has a page
// that names the cause, an entry in the audit log, and leaves the person signed out.
func TestSignIn_Refused(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	at := func(d time.Duration) int64 { return s.clock().Add(d).Unix() }
	for _, tt := range []struct {
		name   string
		answer idp.Answer
		factor bool
		want   string // on the page
	}{
		{"issuer", idp.Answer{Claims: map[string]any{"iss": "https://other.example.com"}}, true, "another issuer than company"},
		{"audience", idp.Answer{Claims: map[string]any{"aud": []string{"other"}}}, true, "issued to another program"},
		{"authorized party", idp.Answer{Claims: map[string]any{"aud": []string{"tocsin", "other"}, "azp": "other"}}, true, "issued to another program"},
		{"nonce", idp.Answer{Claims: map[string]any{"nonce": "other"}}, true, "belongs to another sign-in"},
		{"no nonce", idp.Answer{Claims: map[string]any{"nonce": nil}}, true, "belongs to another sign-in"},
		{"expired", idp.Answer{Claims: map[string]any{"exp": at(-time.Second)}}, true, "has expired"},
		{"issued in the future", idp.Answer{Claims: map[string]any{"iat": at(time.Hour)}}, true, "is from the future"},
		{"not valid yet", idp.Answer{Claims: map[string]any{"nbf": at(time.Hour)}}, true, "is from the future"},
		{"no second factor", idp.Answer{}, false, "did not prove a second factor"},
		{"another factor", idp.Answer{Claims: map[string]any{"amr": []string{"pwd"}}}, true, "did not prove a second factor"},
		{"no factors", idp.Answer{Claims: map[string]any{"amr": nil}}, true, "did not prove a second factor"},
		{"factors of another type", idp.Answer{Claims: map[string]any{"amr": map[string]any{"mfa": true}}}, true, "did not prove a second factor"},
		{"stale auth_time", idp.Answer{Claims: map[string]any{"auth_time": at(-9 * time.Hour)}}, true, "is older than 8h0m0s"},
		{"future auth_time", idp.Answer{Claims: map[string]any{"auth_time": at(time.Hour)}}, true, "a sign-in in the future"},
		{"no auth_time", idp.Answer{Claims: map[string]any{"auth_time": nil}}, true, "does not state when you signed in"},
		{"no subject", idp.Answer{Claims: map[string]any{"sub": ""}}, true, "names no person"},
		{"denied", idp.Answer{Refuse: "access_denied"}, true, "refused the sign-in (access_denied)"},
		{"markup", idp.Answer{Refuse: "%3Cscript%3E"}, true, "refused the sign-in (unknown error)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.idps[0].Answer(tt.answer)
			defer s.idps[0].Answer(idp.Answer{})
			v := s.visit()
			status, _, body := v.signIn("company", "ada", tt.factor)
			if status != http.StatusForbidden || !strings.Contains(body, tt.want) || !strings.Contains(body, "You are not signed in") {
				t.Errorf("got %d: %s\nwant a refusal with %q", status, body, tt.want)
			}
			if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("got audit entry %+v, want a refusal with %q", got, tt.want)
			}
			if v.isSignedIn("Ada") {
				t.Error("the person is signed in")
			}
			s.wait(10 * time.Second) // the audit log bounds refusals
		})
	}
}

// TestSignIn_AnotherBrowser opens the answer of a provider in a browser that did not begin the
// sign-in.
func TestSignIn_AnotherBrowser(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	attacker, victim := s.visit(), s.visit()
	answer := attacker.callback("sue")
	for name, prepare := range map[string]func(){"no sign-in": func() {}, "another sign-in": func() { victim.choose("company") }} {
		prepare()
		status, _, body := victim.get(answer)
		if status != http.StatusForbidden || !strings.Contains(body, "did not begin in this browser") || victim.isSignedIn("Sue") {
			t.Errorf("%s: got %d: %s, want a refusal", name, status, body)
		}
		if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, "did not begin in this browser") {
			t.Errorf("%s: got audit entry %+v, want the refusal", name, got)
		}
	}
}

// TestSignIn_CodeReplay opens the answer of a provider twice, with the cookie of the
// sign-in restored.
func TestSignIn_CodeReplay(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	answer := v.callback("ada")
	site, _ := url.Parse(s.url)
	cookies := v.http.Jar.Cookies(site)
	if status, at, _ := v.get(answer); status != http.StatusOK || at.Path != "/account" {
		t.Fatalf("got %d at %s, want the account", status, at)
	}
	thief := s.visit()
	thief.http.Jar.SetCookies(site, cookies)
	status, _, body := thief.get(answer)
	if status != http.StatusForbidden || !strings.Contains(body, "was used before or is too old") || thief.isSignedIn("Ada") {
		t.Errorf("got %d: %s, want a refusal", status, body)
	}
	if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, "was used before") {
		t.Errorf("got audit entry %+v, want the refusal", got)
	}
}

// TestSignIn_TooSlow answers after the time for a sign-in.
func TestSignIn_TooSlow(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	answer := v.callback("ada")
	s.wait(11 * time.Minute)
	if status, _, body := v.get(answer); status != http.StatusForbidden || !strings.Contains(body, "longer than 10 minutes") {
		t.Errorf("got %d: %s, want a refusal", status, body)
	}
}

// TestSignIn_RotatedKeys rotates the key of the provider. A token with the new key is
// accepted, one with the withdrawn key is not.
func TestSignIn_RotatedKeys(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	if status, at, body := s.visit().signIn("company", "ada", true); status != http.StatusOK || at.Path != "/account" {
		t.Fatalf("got %d: %s", status, body)
	}
	if err := s.idps[0].RotateKey(); err != nil {
		t.Fatal(err)
	}
	if status, at, body := s.visit().signIn("company", "ada", true); status != http.StatusOK || at.Path != "/account" {
		t.Fatalf("new key: got %d: %s", status, body)
	}
	s.idps[0].Answer(idp.Answer{OldKey: true})
	status, _, body := s.visit().signIn("company", "ada", true)
	if status != http.StatusForbidden || !strings.Contains(body, "does not have a valid signature") {
		t.Errorf("withdrawn key: got %d: %s, want a refusal", status, body)
	}
	if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, "valid signature") {
		t.Errorf("got audit entry %+v, want the refusal", got)
	}
}

func TestSignIn_UnknownSubject(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	status, _, body := v.signIn("company", "stranger", true)
	if status != http.StatusForbidden || !strings.Contains(body, "the subject stranger") || !strings.Contains(body, "Ask Ada Example or Sue Example of security") || v.isSignedIn("") {
		t.Errorf("got %d: %s, want whom to ask", status, body)
	}
	if got := s.audit(); got.Allowed || got.Account != (incident.Identity{Provider: incident.ProviderOIDC, ID: "stranger"}) || !strings.Contains(got.Reason, "belongs to no person") {
		t.Errorf("got audit entry %+v, want the refusal", got)
	}
}

// TestSignIn_Distrusted distrusts the account system behind the issuer.
func TestSignIn_Distrusted(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), func(i *web.Issuer) { i.Provider = "slack" })
	err := s.store.Tx(t.Context(), func(tx response.Tx) error {
		_, err := tx.AppendTrust(trust.Event{At: s.clock(), Kind: trust.ProviderDistrusted, By: "p-sue", Provider: "slack", Details: trust.Details{Reason: "test", Since: s.clock()}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v := s.visit()
	if status, _, body := v.signIn("company", "ada", true); status != http.StatusForbidden || !strings.Contains(body, "is distrusted since 2026-11-20 12:00 UTC") || v.isSignedIn("Ada") {
		t.Errorf("got %d: %s, want a refusal", status, body)
	}
	if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, "is distrusted") {
		t.Errorf("got audit entry %+v, want the refusal", got)
	}
}

// TestSignIn_ProviderDown starts with a provider that is down, and uses it when it works.
func TestSignIn_ProviderDown(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	s.idps[0].Answer(idp.Answer{Down: true})
	v := s.visit()
	status, _, body := v.get(s.url + "/sign-in/with/company")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "Company does not answer") || !strings.Contains(body, "Other ways to sign in") {
		t.Errorf("got %d: %s, want the outage", status, body)
	}
	s.idps[0].Answer(idp.Answer{})
	answer := v.callback("ada")
	s.idps[0].Answer(idp.Answer{Down: true})
	if status, _, body := v.get(answer); status != http.StatusServiceUnavailable || !strings.Contains(body, "Company does not answer") {
		t.Errorf("outage in between: got %d: %s, want the outage", status, body)
	}
	s.idps[0].Answer(idp.Answer{})
	if status, at, body := v.signIn("company", "ada", true); status != http.StatusOK || at.Path != "/account" {
		t.Errorf("got %d: %s, want the account", status, body)
	}
}

// TestSignIn_WithoutProof uses an issuer that proves no second factor.
func TestSignIn_WithoutProof(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), func(i *web.Issuer) { i.SecondFactor = web.SecondFactor{} })
	status, at, body := s.visit().signIn("company", "ada", true)
	if status != http.StatusOK || at.Path != "/account" || !strings.Contains(body, "This session has no second factor") {
		t.Errorf("got %d: %s, want a session without a second factor", status, body)
	}
}

// TestSignIn_Claims proves the second factor by the claims acr and acrs.
func TestSignIn_Claims(t *testing.T) {
	for claim, value := range map[string]any{"acr": "urn:mfa", "acrs": []string{"c1", "c2"}} {
		values := []string{"c2", "urn:mfa"}
		s := newSignInSite(t, storetest.SQLite(t), func(i *web.Issuer) { i.SecondFactor = web.SecondFactor{Claim: claim, Values: values} })
		if status, _, body := s.visit().signIn("company", "ada", true); status != http.StatusForbidden {
			t.Errorf("%s: got %d: %s, want a refusal without the claim", claim, status, body)
		}
		s.idps[0].Answer(idp.Answer{Claims: map[string]any{claim: value}})
		if status, _, body := s.visit().signIn("company", "ada", true); status != http.StatusOK || !strings.Contains(body, "with a second factor") {
			t.Errorf("%s: got %d: %s, want a second factor", claim, status, body)
		}
	}
}

// TestSignIn_SeveralIssuers gives two providers equal subjects. Only the one that the
// configuration names with the subject signs the person in.
func TestSignIn_SeveralIssuers(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa, func(i *web.Issuer) { i.Name = "contractors" })
	if status, _, body := s.visit().signIn("company", "ada", true); status != http.StatusOK || !strings.Contains(body, "Ada Example") {
		t.Errorf("got %d: %s, want the account", status, body)
	}
	v := s.visit()
	if status, _, body := v.signIn("contractors", "ada", true); status != http.StatusForbidden || !strings.Contains(body, "contractors|ada") || v.isSignedIn("Ada") {
		t.Errorf("got %d: %s, want a refusal", status, body)
	}
	// The answer of one provider does not end the sign-in at the other.
	login, request := v.choose("contractors")
	address := ""
	v.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.url) {
			address = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	v.post(login, url.Values{"request": {request}, "person": {"ada"}, "second_factor": {"yes"}})
	v.http.CheckRedirect = nil
	if status, _, body := v.get(address + "&iss=" + url.QueryEscape(s.urls[0])); status != http.StatusForbidden || !strings.Contains(body, "another provider than contractors") {
		t.Errorf("got %d: %s, want a refusal", status, body)
	}
}

func TestSignIn_Then(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	for _, then := range []string{"//evil.example.com", "https://evil.example.com", `/\evil.example.com`, "/" + strings.Repeat("a", 2000), "evil"} {
		_, _, body := s.visit().get(s.url + "/sign-in?then=" + url.QueryEscape(then))
		if link := regexp.MustCompile(`href="(/sign-in/with/company[^"]*)"`).FindStringSubmatch(body); link == nil || link[1] != "/sign-in/with/company?then=%2f" {
			t.Errorf("%.40q: got the link %q, want the start page", then, link)
		}
	}
}

// TestServer_Headers checks the headers that protect the pages, and that other websites
// cannot post.
func TestServer_Headers(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	res, err := http.Get(s.url + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	policy := res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("got policy %q, want %q", policy, want)
		}
	}
	if len(res.Cookies()) != 0 {
		t.Errorf("got cookies %v for a visitor who did nothing, want none", res.Cookies())
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/sign-out", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	foreign, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = foreign.Body.Close() }()
	if body, _ := io.ReadAll(foreign.Body); foreign.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "another website") && !strings.Contains(string(body), "Another website") {
		t.Errorf("got %d: %s, want a refusal", foreign.StatusCode, body)
	}
	pages, err := web.New("https://tocsin.example.com", web.Deps{Desk: func() web.Desk { return s.desk }, Sessions: s.store, Now: s.clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/sign-in", nil))
	if got := w.Header().Get("Strict-Transport-Security"); got == "" {
		t.Error("got no Strict-Transport-Security with https")
	}
}

// TestSignIn_AuditIsBounded sends many answers without a sign-in. Each would cost a
// transaction.
func TestSignIn_AuditIsBounded(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	for n := range 60 {
		v.get(fmt.Sprintf("%s/sign-in/callback?state=%d&code=x", s.url, n))
	}
	list, _, err := s.store.ListAudit(t.Context(), store.AuditQuery{Action: "sign-in", Limit: 100})
	if err != nil || len(list) != 30 {
		t.Errorf("got %d entries, %v, want 30", len(list), err)
	}
}
