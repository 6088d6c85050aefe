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

// FuzzForm: whatever is posted as the form is either thanked for, and then it
// was delivered and is read as one alert under the reference that was shown, or
// refused, and then nothing was delivered. What the sender wrote never becomes
// part of the page's own markup.
func FuzzForm(f *testing.F) {
	f.Add([]byte(filled().Encode()))
	f.Add([]byte(filled("title", "<script>alert(1)</script>", "description", "\" onload=x\x00\xff").Encode()))
	f.Add([]byte(filled("severity", "grave", "website", "x", "id", strings.Repeat("A", 26)).Encode()))
	f.Add([]byte("title=%zz&description=a;b&title=b"))
	f.Add([]byte("title=a&description=b&contact=a@b%0d%0aBcc:c@d"))
	s := source(f, vulnreport.Config{})
	form := newForm(f, nil)
	plain := form.do(httptest.NewRequest(http.MethodGet, "/report", nil)).Body.String()
	f.Fuzz(func(t *testing.T, body []byte) {
		form.now = form.now.Add(time.Hour) // so that the limits pass
		form.ids, form.body = nil, nil
		r := httptest.NewRequest(http.MethodPost, "/report", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := form.do(r)
		page := w.Body.String()
		if !utf8.ValidString(page) || strings.Contains(page, "<script") || strings.Count(page, "<form") > strings.Count(plain, "<form") || len(page) > len(plain)+20*len(body)+4096 {
			t.Fatalf("the page: %s", page)
		}
		if (w.Code == http.StatusOK) != (len(form.ids) == 1) || w.Code != http.StatusOK && w.Code/100 != 4 {
			t.Fatalf("answered %d and delivered %v", w.Code, form.ids)
		}
		if w.Code != http.StatusOK {
			return
		}
		got, err := intaketest.Decode(t, s, http.Header{"X-Report-Via": {form.header["X-Report-Via"]}, "X-Report-At": {form.header["X-Report-At"]}}, form.body)
		reference := shown.FindString(page)
		if err != nil || len(got) != 1 || got[0].Alert == nil || reference == "" || form.ids[0] != "form:"+reference || got[0].Alert.EventID != reference {
			t.Fatalf("%s was shown, %v delivered, and it is read as %+v, %v", reference, form.ids, got, err)
		}
	})
}
