//go:build !race

package main_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/store/storetest"
)

// TestLoginLink_ThroughTheDoors makes a login link on the command line, uses it on the pages
// and ends the session. Security is notified.
func TestLoginLink_ThroughTheDoors(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 31}, func(c map[string]any) {
		c["public_url"] = strings.Replace(c["telemetry"].(map[string]any)["listen"].(string), "127.0.0.1", "http://localhost", 1)
	})
	s.updateConfig(func(c map[string]any) { c["public_url"] = strings.Replace(s.url, "127.0.0.1", "localhost", 1) })
	s.mustRun("reload") // public_url needs no restart
	who := s.company.People[2]
	var link struct{ Link, Name string }
	if err := json.Unmarshal([]byte(s.mustRun("login-link", who.Email, "--because", "test", "--json")), &link); err != nil || link.Name != who.Name {
		t.Fatalf("got %+v, %v, want a link for %s", link, err, who.Name)
	}
	address, code, _ := strings.Cut(link.Link, "#")
	if address != strings.Replace(s.url, "127.0.0.1", "localhost", 1)+"/sign-in/link" {
		t.Errorf("got link %q, want one on the pages", link.Link)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	read := func(res *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		return string(body)
	}
	account := strings.TrimSuffix(address, "/sign-in/link") + "/account"
	_ = read(browser.PostForm(address, url.Values{"code": {code}}))
	if body := read(browser.Get(account)); !strings.Contains(body, who.Name) || !strings.Contains(body, "login link from the host") {
		t.Errorf("got %s, want the account of %s", body, who.Name)
	}
	if out := s.mustRun("sessions", "list"); !strings.Contains(out, who.Name) || !strings.Contains(out, "host") {
		t.Errorf("got %q, want the session", out)
	}
	if out := s.mustRun("sessions", "end", "--person", who.Email); out != "1 session ended\n" {
		t.Errorf("got %q, want 1 session ended", out)
	}
	if body := read(browser.Get(account)); !strings.Contains(body, "Other ways to sign in") {
		t.Errorf("got %s, want the sign-in", body)
	}
	for _, want := range []string{"made a login link for " + who.Name, who.Name + " signed in with a login link from the host"} {
		s.waitForMail(want)
	}
	if out := s.mustRun("audit", "list", "--action", "sign-in"); !strings.Contains(out, "login link from the host") {
		t.Errorf("got %q, want the sign-in", out)
	}
	if out, err := s.run("login-link", "nobody@example.com"); err == nil || !strings.Contains(err.Error(), "unknown person") {
		t.Errorf("got %q, %v, want a refusal", out, err)
	}
}

// waitForMail waits for a mail with a text.
func (s *botProcess) waitForMail(text string) {
	s.t.Helper()
	s.waitFor(30*time.Second, "a mail with "+text, func() bool {
		return slices.ContainsFunc(s.company.Mail.Messages(), func(m mailbox.Message) bool { return strings.Contains(m.Subject, text) })
	})
}

// TestListeners_Paths checks which paths the public listener serves.
func TestListeners_Paths(t *testing.T) {
	for group, want := range map[string]map[string]int{
		"webhooks": {"/hooks/sentry": http.StatusMethodNotAllowed, "/sign-in": http.StatusNotFound, "/metrics": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound, "/healthz": http.StatusOK, "/readyz": http.StatusOK},
		"pages":    {"/hooks/sentry": http.StatusNotFound, "/sign-in": http.StatusOK, "/metrics": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound, "/healthz": http.StatusOK, "/readyz": http.StatusOK},
	} {
		s := startBot(t, storetest.SQLite(t), company.Options{Seed: 32}, func(c map[string]any) {
			c["serve"], c["public_url"] = []string{group}, strings.Replace(c["listen"].(string), "127.0.0.1", "http://localhost", 1)
		})
		for path, status := range want {
			res, err := http.Get(s.url + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != status || strings.Contains(string(body), "degraded") {
				t.Errorf("%s %s: got %d %.80s, want %d", group, path, res.StatusCode, body, status)
			}
		}
		if status, body := s.httpGet("/metrics"); status != http.StatusOK || !strings.Contains(body, "tocsin_ready") {
			t.Errorf("got /metrics %d %.80s on the telemetry listener, want metrics", status, body)
		}
		s.stop()
	}
}

// TestListen_TLS serves the public address with a certificate. The monitoring address stays
// without one.
func TestListen_TLS(t *testing.T) {
	made := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	defer made.Close()
	dir, pair := t.TempDir(), made.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 33}, func(c map[string]any) {
		c["tls"] = map[string]any{"cert": cert, "key": keyFile}
	})
	res, err := made.Client().Get(strings.Replace(s.url, "http://", "https://", 1) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || res.TLS == nil {
		t.Errorf("got %d, want 200 with TLS", res.StatusCode)
	}
	if out := s.mustRun("health"); !strings.Contains(out, "ready") && !strings.Contains(out, "degraded") {
		t.Errorf("got %q, want the health", out)
	}
	s.stop()
}
