package vulnreport_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bot/intake/intaketest"
	"tocsin/bot/vulnreport"
)

// FuzzForm checks that the form either delivers a posted report and shows its reference,
// or rejects it and delivers nothing. A delivered report must decode to one alert with
// that reference. Posted text must never become markup of the page.
func FuzzForm(f *testing.F) {
	f.Add([]byte(validForm().Encode()))
	f.Add([]byte(validForm("title", "<script>alert(1)</script>", "description", "\" onload=x\x00\xff").Encode()))
	f.Add([]byte(validForm("severity", "severe", "website", "x", "id", strings.Repeat("A", 26)).Encode()))
	f.Add([]byte("title=%zz&description=a;b&title=b"))
	f.Add([]byte("title=a&description=b&contact=a@b%0d%0aBcc:c@d"))
	s := source(f, vulnreport.Config{})
	form := newForm(f, nil)
	emptyPage := form.do(httptest.NewRequest(http.MethodGet, "/report", nil)).Body.String()
	f.Fuzz(func(t *testing.T, body []byte) {
		form.now = form.now.Add(time.Hour) // refills the rate limits
		form.ids, form.body = nil, nil
		r := httptest.NewRequest(http.MethodPost, "/report", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := form.do(r)
		page := w.Body.String()
		if !utf8.ValidString(page) || strings.Contains(page, "<script") || strings.Count(page, "<form") > strings.Count(emptyPage, "<form") || len(page) > len(emptyPage)+20*len(body)+4096 {
			t.Fatalf("got page %s", page)
		}
		if (w.Code == http.StatusOK) != (len(form.ids) == 1) || w.Code != http.StatusOK && w.Code/100 != 4 {
			t.Fatalf("got status %d, delivered %v", w.Code, form.ids)
		}
		if w.Code != http.StatusOK {
			return
		}
		got, err := intaketest.Decode(t, s, http.Header{"X-Report-Via": {form.header["X-Report-Via"]}, "X-Report-At": {form.header["X-Report-At"]}}, form.body)
		reference := referencePattern.FindString(page)
		if err != nil || len(got) != 1 || got[0].Alert == nil || reference == "" || form.ids[0] != "form:"+reference || got[0].Alert.EventID != reference {
			t.Fatalf("got reference %s, delivered %v, decoded %+v, error %v", reference, form.ids, got, err)
		}
	})
}
