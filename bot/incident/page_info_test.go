package incident

import (
	"slices"
	"strings"
	"testing"
)

func TestSubject(t *testing.T) {
	sentry := AlertRef{Source: "sentry", Kind: "sentry.issue", Title: "Payslip of Ada"}
	for want, inc := range map[string]Incident{
		"application error (Sentry)":               {Alerts: []AlertRef{sentry}},
		"possible data exposure (Sentry)":          {Alerts: []AlertRef{sentry}, Runs: []Run{{Playbook: "leaked-aws-credentials"}, {Playbook: "data-exposure"}}},
		"suspicious cloud activity (CloudTrail)":   {Alerts: []AlertRef{{Source: "cloudtrail", Kind: "cloudtrail.StopLogging"}}, Runs: []Run{{Playbook: "insider-ada"}}},
		"vulnerability report (HackerOne)":         {Alerts: []AlertRef{{Source: "report", Kind: "report.hackerone"}}},
		"security incident (scanner)":              {Alerts: []AlertRef{{Source: "scanner", Kind: "Ada did it"}}},
		"security incident (reported by a person)": {Title: "Ada did it"},
	} {
		if got := inc.Subject(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestKind_HoldsNoTextOfSenders checks that every kind is in the closed list, whatever the
// alert and the playbook are called.
func TestKind_HoldsNoTextOfSenders(t *testing.T) {
	for _, name := range []string{"", "data-exposure", "Ada", "sentry", "sentry.issue", "cloudtrail.Ada", ".", "report.x"} {
		inc := Incident{Title: name, Runs: []Run{{Playbook: name, Title: name}}, Alerts: []AlertRef{{Kind: name, Source: "sentry", Title: name, Rule: name}}}
		if got := inc.Kind(); !slices.Contains(kindOrder, got) {
			t.Errorf("%q: got kind %q, which is not in the list", name, got)
		}
	}
	for _, kinds := range []map[string]Kind{playbookKinds, alertKinds} {
		for name, kind := range kinds {
			if !slices.Contains(kindOrder, kind) {
				t.Errorf("%s: kind %q has no order", name, kind)
			}
		}
	}
}

func TestPageTitle(t *testing.T) {
	b := Brief{Incident: Incident{ID: 42, Severity: Sev1, Restricted: true, Title: "Ada did it"}, Page: PageInfo{Subject: "possible data exposure (Sentry)"}}
	if got := b.PageTitle(); got != "INC-42 sev1: possible data exposure (Sentry)" {
		t.Errorf("got title %q", got)
	}
	b.Incident.Origin = OriginDrill
	if got := b.PageTitle(); !strings.HasPrefix(got, "[DRILL] INC-42 sev1: ") {
		t.Errorf("got title %q", got)
	}
}
