package incident

import (
	"slices"
	"testing"
)

// sharedKinds returns the kinds of the keys that two reports share.
func sharedKinds(a, b []DuplicateKey) (out []string) {
	for _, t := range a {
		if slices.Contains(b, t) {
			out = append(out, t.Kind)
		}
	}
	return out
}

func TestDuplicateKeys(t *testing.T) {
	base := DuplicateKeys("Ann@example.org", "Payslips of others can be read", "https://api.example.com/v1/payslips/123?x=1", "see CVE-2026-12345")
	tests := []struct {
		name                         string
		reporter, title, asset, text string
		want                         []string
	}{
		{"same reporter and title", "ann@EXAMPLE.org", "Re: [ext] payslips of others – can be read!", "", "", []string{"the same reporter and title", "the same title"}},
		{"another reporter", "bob@example.org", "Payslips of others can be read", "", "", []string{"the same title"}},
		{"same address, another number", "", "IDOR", "api.example.com/v1/payslips/4711/", "", []string{"the same affected address"}},
		{"address in the text", "", "IDOR", "", "Hello,\n**URL:** http://API.example.com/v1/payslips/9\n", []string{"the same affected address"}},
		{"same CVE", "", "Old library", "", "cve-2026-12345 is in it", []string{"both name CVE-2026-12345"}},
		{"another CVE", "", "Old library", "", "CVE-2026-123456", nil},
		{"host without a path", "", "IDOR", "https://api.example.com/", "URL: api.example.com", nil},
		{"another path", "", "IDOR", "https://api.example.com/v1/users/123", "", nil},
		{"same reporter, another title", "ann@example.org", "XSS", "", "", nil},
		{"empty report", "", "", "", "", nil},
	}
	for _, tt := range tests {
		if got := sharedKinds(base, DuplicateKeys(tt.reporter, tt.title, tt.asset, tt.text)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := DuplicateKeys("", "XSS", "", ""); len(got) != 0 {
		t.Errorf("short title: got %+v, want no keys", got)
	}
	if a, b := DuplicateKeys("ann", "XSS", "", ""), DuplicateKeys("bob", "XSS", "", ""); len(sharedKinds(a, b)) > 0 || len(a) != 1 {
		t.Errorf("short title: got keys %+v and %+v, want one each and none shared", a, b)
	}
}
