package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/web"
	"tocsin/bot/web/session"
	"tocsin/store"
	"tocsin/store/storetest"
)

// sessionsOf returns the stored sessions of a person.
func (s *signInSite) sessionsOf(person incident.PersonID) []session.Session {
	s.Helper()
	list, err := s.store.Sessions(s.Context(), session.Filter{Person: person})
	if err != nil {
		s.Fatal(err)
	}
	return list
}

// TestSession_Limits uses a session for 12 hours and leaves another one for an hour.
func TestSession_Limits(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, database string) {
		s := newSignInSite(t, database, mfa)
		idle, busy := s.visit(), s.visit()
		idle.signIn("company", "ada", true)
		busy.signIn("company", "sue", true)
		begin := s.clock()
		s.wait(30 * time.Second)
		busy.get(s.url + "/account")
		if got := s.sessionsOf("p-sue")[0]; !got.UsedAt.Equal(begin) {
			t.Errorf("got use at %s, want no write within a minute of %s", got.UsedAt, begin)
		}
		for range 14 {
			s.wait(49 * time.Minute)
			if !busy.isSignedIn("Sue") {
				t.Fatalf("the session ended %s after the sign-in", s.clock().Sub(begin))
			}
		}
		if idle.isSignedIn("Ada") {
			t.Error("the idle session did not end")
		}
		s.wait(40 * time.Minute)
		if busy.isSignedIn("Sue") {
			t.Errorf("the session did not end %s after the sign-in", s.clock().Sub(begin))
		}
		if err := s.store.PruneSessions(t.Context()); err != nil || len(s.sessionsOf("p-ada")) != 0 {
			t.Errorf("got sessions %v, %v after pruning, want none", s.sessionsOf("p-ada"), err)
		}
	})
}

// TestSession_StreamDoesNotProlong reconnects the live updates of a page for an hour.
func TestSession_StreamDoesNotProlong(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	v.signIn("company", "ada", true)
	for range 7 {
		s.wait(10 * time.Minute)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := v.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if v.isSignedIn("Ada") {
		t.Error("the session did not end")
	}
}

// TestSession_EndOthers ends sessions on the page of the account.
func TestSession_EndOthers(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	phone, laptop, sue := s.visit(), s.visit(), s.visit()
	phone.signIn("company", "ada", true)
	sue.signIn("company", "sue", true)
	_, _, body := laptop.signIn("company", "ada", true)
	id := regexp.MustCompile(`name="session" value="(\d+)"`).FindStringSubmatch(body)
	if id == nil || strings.Count(body, "This session") != 1 {
		t.Fatalf("got no other session: %s", body)
	}
	sue.post(s.url+"/account/sessions/end", url.Values{"session": {id[1]}}) // of another person
	if !phone.isSignedIn("Ada") {
		t.Error("another person ended the session")
	}
	if _, _, body := laptop.post(s.url+"/account/sessions/end", url.Values{"session": {id[1]}}); !strings.Contains(body, "1 session ended") || phone.isSignedIn("Ada") {
		t.Errorf("got %s, want the other session ended", body)
	}
	phone.signIn("company", "ada", true)
	laptop.post(s.url+"/account/sessions/end", url.Values{"session": {"others"}})
	if phone.isSignedIn("Ada") || !laptop.isSignedIn("Ada") {
		t.Error("want only the other session ended")
	}
}

// TestSession_EndedStaysEnded ends a session while its requests run. None of them may bring
// it back.
func TestSession_EndedStaysEnded(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	v.signIn("company", "ada", true)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 10 {
				s.wait(time.Minute)
				res, err := v.http.Get(s.url + "/account")
				if err == nil {
					_ = res.Body.Close()
				}
			}
		})
	}
	if n, err := s.store.EndSessions(t.Context(), session.Filter{Person: "p-ada"}); err != nil || n != 1 {
		t.Errorf("got %d, %v, want 1", n, err)
	}
	running.Wait()
	if list := s.sessionsOf("p-ada"); len(list) != 0 || v.isSignedIn("Ada") {
		t.Errorf("got sessions %+v, want none", list)
	}
}

// TestSession_PersonLeaves removes a person from the configuration.
func TestSession_PersonLeaves(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	v.signIn("company", "ada", true)
	s.people("sue")
	if v.isSignedIn("Ada") {
		t.Error("the person is still signed in")
	}
	s.people("ada", "sue")
	if v.isSignedIn("Ada") {
		t.Error("the session came back with the person")
	}
}

// TestSession_NewToken fixes the cookie of a browser before the sign-in.
func TestSession_NewToken(t *testing.T) {
	s := newSignInSite(t, storetest.SQLite(t), mfa)
	v := s.visit()
	site, _ := url.Parse(s.url)
	v.signIn("company", "ada", true)
	first := v.http.Jar.Cookies(site)
	v.signIn("company", "sue", true)
	thief := s.visit()
	thief.http.Jar.SetCookies(site, first)
	if thief.isSignedIn("Ada") || thief.isSignedIn("Sue") {
		t.Error("the earlier cookie is signed in")
	}
	if !v.isSignedIn("Sue") || len(s.sessionsOf("p-ada")) != 0 {
		t.Error("want only the session of the second person")
	}
}

// TestLoginLink_Once uses a login link twice, and others too late or after the person left.
func TestLoginLink_Once(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, database string) {
		s := newSignInSite(t, database, mfa)
		link := func() url.Values {
			address, err := web.NewLoginLink(t.Context(), s.store, s.url, "p-ada", s.clock())
			at, code, found := strings.Cut(address, "#")
			if err != nil || !found || at != s.url+"/sign-in/link" {
				t.Fatalf("got %q, %v, want a link with a fragment", address, err)
			}
			return url.Values{"code": {code}}
		}
		form := link()
		v := s.visit()
		if _, _, body := v.get(s.url + "/sign-in/link"); !strings.Contains(body, "Code") {
			t.Errorf("got %s, want the form", body)
		}
		v.post(s.url+"/sign-in/link", form)
		_, _, body := v.get(s.url + "/account")
		if !strings.Contains(body, "login link from the host, without a second factor") {
			t.Errorf("got %s, want the account", body)
		}
		if got := s.audit(); !got.Allowed || got.Person != "p-ada" || !strings.Contains(got.Reason, "login link from the host") {
			t.Errorf("got audit entry %+v, want the sign-in", got)
		}
		late, gone := link(), link()
		refused := func(name string, form url.Values) {
			thief := s.visit()
			if status, _, body := thief.post(s.url+"/sign-in/link", form); status != http.StatusForbidden || !strings.Contains(body, "Ask an administrator for another link") || thief.isSignedIn("Ada") {
				t.Errorf("%s: got %d: %s, want a refusal", name, status, body)
			}
			if got := s.audit(); got.Allowed || !strings.Contains(got.Reason, "login link") {
				t.Errorf("%s: got audit entry %+v, want the refusal", name, got)
			}
		}
		refused("used", form)
		refused("unknown", url.Values{"code": {"ABCDEF"}})
		s.people("sue")
		refused("person left", gone)
		s.people("ada", "sue")
		s.wait(web.LinkTTL)
		refused("late", late)
		list, _, err := s.store.ListAudit(t.Context(), store.AuditQuery{Action: "sign-in", Limit: 10})
		if err != nil || len(list) != 5 {
			t.Errorf("got %d entries, %v, want 5", len(list), err)
		}
	})
}

// Browsers leave the default port out of an origin.
func TestRelyingParty_DefaultPort(t *testing.T) {
	for site, want := range map[string]string{"https://tocsin.example.com:443/": "https://tocsin.example.com", "http://localhost:80": "http://localhost", "https://tocsin.example.com:8443": "https://tocsin.example.com:8443",
		"http://localhost:443": "http://localhost:443"} {
		if got := web.RelyingParty(site).Origin; got != want {
			t.Errorf("%s: got the origin %s, want %s", site, got, want)
		}
	}
}
