package vulnreport_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
	"tocsin/bot/vulnreport"
)

var now = time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC)

// testForm is a form that records its deliveries.
type testForm struct {
	*vulnreport.Form
	ids        []string
	header     map[string]string
	body       []byte
	deliverErr error
	now        time.Time
}

func newForm(t testing.TB, change func(*vulnreport.FormConfig, *vulnreport.Deps)) *testForm {
	t.Helper()
	f := &testForm{now: now}
	c := vulnreport.FormConfig{Company: "Acme", Policy: "https://acme.example/policy", Contact: "security@acme.example"}
	d := vulnreport.Deps{Clock: func() time.Time { return f.now }, Logger: slog.New(slog.DiscardHandler),
		Deliver: func(_ context.Context, id string, header map[string]string, body []byte, _ string) error {
			if f.deliverErr != nil {
				return f.deliverErr
			}
			f.ids, f.header, f.body = append(f.ids, id), header, body
			return nil
		}}
	if change != nil {
		change(&c, &d)
	}
	var err error
	if f.Form, err = vulnreport.NewForm(c, d); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *testForm) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func validForm(change ...string) url.Values {
	v := url.Values{"title": {"IDOR in payslips"}, "asset": {"app.example.com"}, "description": {"GET /payslips/2"}, "severity": {"high"}, "contact": {"ann@example.org"}}
	for n := 0; n+1 < len(change); n += 2 {
		v.Set(change[n], change[n+1])
	}
	return v
}

func submit(v url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/report", strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

var referencePattern = regexp.MustCompile(`VR-[0-9A-Z]{5}-[0-9A-Z]{5}`)

func TestForm_StoresBeforeThanks(t *testing.T) {
	f := newForm(t, nil)
	w := f.do(submit(validForm()))
	reference := referencePattern.FindString(w.Body.String())
	if w.Code != 200 || reference == "" || len(f.ids) != 1 || f.ids[0] != "form:"+reference {
		t.Fatalf("got status %d with reference %q, stored %v", w.Code, reference, f.ids)
	}
	got, err := source(t, vulnreport.Config{}).Decode(http.Header{"X-Report-Via": {f.header["X-Report-Via"]}}, f.body)
	if err != nil {
		t.Fatal(err)
	}
	key := "report:" + reference
	want := []incident.Signal{{Alert: &incident.Alert{Source: "report", Kind: "report.form", Level: incident.LevelHigh, Title: "IDOR in payslips",
		Detail:      "Reference: " + reference + "\nReporter: ann@example.org\nStated severity: high\nAsset: app.example.com\nGET /payslips/2",
		Fingerprint: key, Correlation: key, EventID: reference,
		Report: &incident.VulnReport{DuplicateKeys: incident.DuplicateKeys("ann@example.org", "IDOR in payslips", "", "")}}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	f.deliverErr = errors.New("disk full")
	w = f.do(submit(validForm()))
	if w.Code != 503 || referencePattern.MatchString(w.Body.String()) || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "GET /payslips/2") {
		t.Errorf("delivery failed: got status %d\n%s", w.Code, w.Body)
	}
}

func TestForm_RepeatedSubmissionHasEqualID(t *testing.T) {
	f := newForm(t, nil)
	id := regexp.MustCompile(`name="id" value="([A-Z0-9]{26})"`).FindStringSubmatch(f.do(httptest.NewRequest(http.MethodGet, "/report", nil)).Body.String())
	if id == nil {
		t.Fatal("got a form without an id")
	}
	f.do(submit(validForm("id", id[1])))
	f.do(submit(validForm("id", id[1])))
	f.do(submit(validForm("id", id[1], "title", "Another vulnerability")))
	f.do(submit(validForm()))
	if len(f.ids) != 4 || f.ids[0] != f.ids[1] || f.ids[2] == f.ids[0] || f.ids[3] == f.ids[0] {
		t.Errorf("got ids %v", f.ids)
	}
}

func TestForm_Page(t *testing.T) {
	f := newForm(t, nil)
	w := f.do(httptest.NewRequest(http.MethodGet, "/report", nil))
	for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "form-action 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("got policy %s", csp)
	}
	page := w.Body.String()
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("got a page without a style sheet")
	}
	if sum := sha256.Sum256([]byte(style[1])); !strings.Contains(csp, base64.StdEncoding.EncodeToString(sum[:])) {
		t.Errorf("got policy %s, want the hash of the style sheet", csp)
	}
	if w.Code != 200 || strings.Contains(page, "<script") || strings.Contains(page, "style=") || !strings.Contains(page, "Acme") {
		t.Errorf("got status %d\n%s", w.Code, page)
	}
	for _, field := range []string{"title", "asset", "description", "severity", "contact", "website"} {
		if !strings.Contains(page, `<label for="`+field+`"`) || !strings.Contains(page, `name="`+field+`"`) {
			t.Errorf("got no labelled field %s", field)
		}
	}
}

func TestForm_Rejects(t *testing.T) {
	crossSite := submit(validForm())
	crossSite.Header.Set("Sec-Fetch-Site", "cross-site")
	otherOrigin := submit(validForm())
	otherOrigin.Header.Set("Origin", "https://evil.example")
	files := httptest.NewRequest(http.MethodPost, "/report", strings.NewReader("--x\r\n\r\n"))
	files.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	tests := []struct {
		name   string
		req    *http.Request
		status int
		text   string
	}{
		{"no title", submit(validForm("title", "  ")), 422, "Enter a title"},
		{"no description", submit(validForm("description", "")), 422, "Describe the vulnerability and how"},
		{"long title", submit(validForm("title", strings.Repeat("é", 201))), 422, "201 characters"},
		{"long description", submit(validForm("description", strings.Repeat("x", 20001))), 422, "20001 characters"},
		{"unknown severity", submit(validForm("severity", "sev1")), 422, "Choose a severity"},
		{"honeypot field", submit(validForm("website", "https://spam.example")), 422, "Leave this field empty"},
		{"huge form", submit(validForm("description", strings.Repeat("x", 200<<10))), 413, "too long"},
		{"multipart form", files, 422, "marked fields"},
		{"invalid escape", httptest.NewRequest(http.MethodPost, "/report?%zz", strings.NewReader("")), 400, "could not be read"},
		{"cross-site", crossSite, 403, "another site"},
		{"other origin", otherOrigin, 403, "another site"},
		{"wrong method", httptest.NewRequest(http.MethodPut, "/report", nil), 405, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newForm(t, nil)
			w := f.do(tt.req)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.text) || len(f.ids) != 0 {
				t.Errorf("got status %d, stored %v\n%s", w.Code, f.ids, w.Body)
			}
		})
	}
}

func TestForm_TrustedOrigins(t *testing.T) {
	f := newForm(t, func(c *vulnreport.FormConfig, _ *vulnreport.Deps) {
		c.TrustedOrigins = []string{"https://www.acme.example"}
	})
	r := submit(validForm())
	r.Header.Set("Origin", "https://www.acme.example")
	if w := f.do(r); w.Code != 200 {
		t.Errorf("got status %d, want 200", w.Code)
	}
	if _, err := vulnreport.NewForm(vulnreport.FormConfig{TrustedOrigins: []string{"acme"}}, vulnreport.Deps{Deliver: func(context.Context, string, map[string]string, []byte, string) error { return nil }}); err == nil {
		t.Error("invalid origin: got no error, want one")
	}
}

func TestForm_EscapesHostileText(t *testing.T) {
	f := newForm(t, nil)
	hostile := `"><script>alert(1)</script></textarea>` + "\xff\u202e"
	w := f.do(submit(validForm("title", hostile, "description", hostile, "contact", hostile, "asset", hostile, "severity", hostile, "id", hostile)))
	if w.Code != 422 || strings.Contains(w.Body.String(), "<script>") || strings.Count(w.Body.String(), "</textarea>") != 1 {
		t.Errorf("got status %d\n%s", w.Code, w.Body)
	}
}

func TestForm_RateLimits(t *testing.T) {
	f := newForm(t, nil)
	from := func(addr string) *httptest.ResponseRecorder {
		r := submit(validForm())
		r.RemoteAddr = addr
		return f.do(r)
	}
	for n := range 5 {
		if w := from(fmt.Sprintf("192.0.2.1:%d", n)); w.Code != 200 {
			t.Fatalf("report %d: got status %d, want 200", n, w.Code)
		}
	}
	if w := from("192.0.2.1:9"); w.Code != 429 || w.Header().Get("Retry-After") != "600" || !strings.Contains(w.Body.String(), "GET /payslips/2") {
		t.Errorf("sixth report: got status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for network, want := range map[string]int{"198.51.100.%d:9": 20, "[2001:db8::%x:1]:9": 20} {
		codes := []int{}
		for n := range 100 {
			codes = append(codes, from(fmt.Sprintf(network, n)).Code)
		}
		if i := slices.Index(codes, 429); i != want {
			t.Errorf("senders of one network: got the first rejection at index %d, want %d", i, want)
		}
	}
	if w := from("203.0.113.1:9"); w.Code != 200 {
		t.Errorf("sender of another network: got status %d, want 200", w.Code)
	}
	codes := []int{}
	for n := range 250 {
		codes = append(codes, from(fmt.Sprintf("100.64.%d.1:9", n)).Code)
	}
	if i := slices.Index(codes, 429); i != 240-46 {
		t.Errorf("senders of all networks: got the first rejection at index %d, want 194", i)
	}
	f.now = f.now.Add(10 * time.Minute)
	if w := from("192.0.2.1:9"); w.Code != 200 {
		t.Errorf("ten minutes later: got status %d, want 200", w.Code)
	}
}

func TestSecurityFile(t *testing.T) {
	f, err := vulnreport.NewSecurityFile(vulnreport.SecurityTxt{
		Contacts: []string{"mailto:security@example.com", "https://example.com/report", "tel:+33-1-23-45-67-89"},
		Expires:  setting.Day{Time: time.Date(2027, 6, 1, 2, 0, 0, 0, time.FixedZone("", 7200))}, Encryption: []string{"openpgp4fpr:5F2DE5521C63A801AB59CCB603D49DE44B29100F"},
		Policy: []string{"https://example.com/policy"}, Acknowledgments: []string{"https://example.com/thanks"}, Languages: []string{"en", "pt-BR"},
		Canonical: []string{"https://example.com/.well-known/security.txt"}, Hiring: []string{"https://example.com/jobs"},
	}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/security.txt", nil))
	want := `Contact: mailto:security@example.com
Contact: https://example.com/report
Contact: tel:+33-1-23-45-67-89
Expires: 2027-06-01T00:00:00Z
Encryption: openpgp4fpr:5F2DE5521C63A801AB59CCB603D49DE44B29100F
Acknowledgments: https://example.com/thanks
Preferred-Languages: en, pt-BR
Canonical: https://example.com/.well-known/security.txt
Policy: https://example.com/policy
Hiring: https://example.com/jobs
`
	if d := cmp.Diff(want, w.Body.String()); d != "" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%s\n%v", d, w.Header())
	}
	w = httptest.NewRecorder()
	if f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/.well-known/security.txt", nil)); w.Code != 405 {
		t.Errorf("POST: got status %d, want 405", w.Code)
	}
	for at, want := range map[string]string{"2026-11-03": "", "2027-04-30": "", "2027-05-02": "expires on 2027-06-01, in 30 days", "2027-05-31": "in 1 days",
		"2027-06-01": "expired on 2027-06-01", "2028-01-01": "expired", "2026-01-01": "more than a year"} {
		day, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.ExpiryWarning(day); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("on %s: got warning %q, want %q", at, got, want)
		}
	}
}

func TestNewSecurityFile_ReportsAllProblems(t *testing.T) {
	_, err := vulnreport.NewSecurityFile(vulnreport.SecurityTxt{
		Contacts: []string{"security@example.com", "mailto:a@b\nExpires: x", "http://example.com"}, Encryption: []string{"mailto:a@b"}, Policy: []string{"https:///x"},
		Languages: []string{"en, fr"}, Hiring: []string{""},
	}, nil)
	for _, field := range []string{"contacts[0]", "contacts[1]", "contacts[2]", "expires:", "encryption[0]", "policy[0]", "languages[0]", "hiring[0]"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got error %v, want it to contain %s", err, field)
		}
	}
	if _, err := vulnreport.NewSecurityFile(vulnreport.SecurityTxt{Expires: setting.Day{Time: now}}, nil); err == nil {
		t.Error("no contact: got no error, want one")
	}
}

// TestForm_Charsets posts the form from pages in other charsets.
func TestForm_Charsets(t *testing.T) {
	for name, tt := range map[string]struct{ contentType, body, want string }{
		"UTF-8":             {"", "description=L%C3%BCcke", "Lücke"},
		"Latin-1":           {"", "description=L%FCcke", "Lücke"},
		"declared":          {"; charset=koi8-r", "description=%F5%D4", "Ут"},
		"field of the form": {"", "description=%90%C6&_charset_=shift_jis", "脆"},
		"wrong":             {"; charset=klingon", "description=L%FCcke", "Lücke"},
	} {
		f := newForm(t, nil)
		r := httptest.NewRequest(http.MethodPost, "/report", strings.NewReader("title=x&"+tt.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded"+tt.contentType)
		if w := f.do(r); w.Code != 200 || !strings.Contains(string(f.body), `"description":"`+tt.want) {
			t.Errorf("%s: got status %d, stored %s; want %q", name, w.Code, f.body, tt.want)
		}
	}
}
