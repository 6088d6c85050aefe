package chat

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestCard_ShowsWaits checks the line about waiting effects: the oldest cause that an
// administrator must repair comes first.
func TestCard_ShowsWaits(t *testing.T) {
	at := time.Date(2026, 11, 20, 3, 12, 0, 0, time.UTC)
	policy := incident.WaitingEffect{Kind: incident.EffectInvite, System: "slack", Blocked: true, Cause: "the app may not invite people to channels", Fix: "Ask a workspace admin", Since: at}
	down := incident.WaitingEffect{Kind: incident.EffectMailInvitation, System: "mail", Cause: "connection refused", Since: at.Add(-time.Hour)}
	outage := incident.WaitingEffect{Kind: incident.EffectPage, System: "pagerduty", Cause: "PagerDuty refuses connections", Fix: "Check the firewall", Since: at}
	for name, c := range map[string]struct {
		waits []incident.WaitingEffect
		want  string
		fix   string
	}{
		"nothing":    {nil, "", ""},
		"one":        {[]incident.WaitingEffect{policy}, "Waiting for Slack: the app may not invite people to channels, since", "Ask a workspace admin. Tocsin tries again afterwards."},
		"same cause": {[]incident.WaitingEffect{policy, policy}, "Waiting for Slack: the app may not invite people to channels, since", "Ask a workspace admin. Tocsin tries again afterwards."},
		"two causes": {[]incident.WaitingEffect{down, policy}, "Other causes: 1.", "Ask a workspace admin. Tocsin tries again afterwards."},
		"down":       {[]incident.WaitingEffect{outage}, "Waiting for PagerDuty: PagerDuty refuses connections, since", "Check the firewall. Tocsin tries again without help."},
	} {
		t.Run(name, func(t *testing.T) {
			m := Card(incident.Brief{Incident: incident.Incident{ID: 42, Status: incident.Active, Severity: incident.Sev2}, Waiting: c.waits, Now: at})
			var lines, buttons []string
			for _, b := range m.Blocks {
				switch b := b.(type) {
				case Paragraph:
					lines = append(lines, fmt.Sprint(b.Text))
				case Small:
					for _, text := range b {
						lines = append(lines, fmt.Sprint(text))
					}
				case Actions:
					for _, a := range b {
						buttons = append(buttons, string(a.Command.Verb))
					}
				}
			}
			text := strings.NewReplacer("{", "", "}", "").Replace(strings.Join(lines, "\n")) // of emphasis
			retry := strings.Contains(strings.Join(buttons, " "), string(incident.VerbRetry))
			if retry != (c.want != "") || strings.Contains(text, "Waiting for") != (c.want != "") || !strings.Contains(text, c.want) {
				t.Errorf("got lines\n%s\nand buttons %v, want %q", text, buttons, c.want)
			}
			if !strings.Contains(text, c.fix) {
				t.Errorf("got lines\n%s\nwant %q", text, c.fix)
			}
			if strings.Contains(text, "connection refused") {
				t.Errorf("got lines\n%s\nwant the cause that an administrator must repair first", text)
			}
		})
	}
}

// A count in the details includes the alerts that were left out of deliveries.
func TestStatus_CountsAlertsLeftOut(t *testing.T) {
	inc := incident.Incident{ID: 42, Status: incident.Active, Severity: incident.Sev2, Alerts: []incident.AlertRef{
		{Kind: "alertmanager.alert", Rule: "Down"}, {Kind: "alertmanager.alert", LeftOut: 762}, {Kind: "alertmanager.alert", LeftOut: 738}, {Kind: "sentry.issue"}}}
	counts := []incident.AlertCount{{Kind: "alertmanager.alert", Alerts: 1002, Occurrences: 1002}}
	got := fmt.Sprint(Status(incident.Brief{Incident: inc, AlertCounts: counts}))
	for _, want := range []string{"1002 × alertmanager.alert (Down), and 1500 more that were not read", "1 × sentry.issue]"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q", got, want)
		}
	}
}

// TestCard_NamesWhoIsPaged checks the names of the people whom the present escalation step
// reached.
func TestCard_NamesWhoIsPaged(t *testing.T) {
	at := time.Date(2026, 11, 20, 3, 6, 0, 0, time.UTC)
	directory := incident.Directory{People: []incident.Person{{ID: "p1", Name: "Esra Yıldız"}, {ID: "p2", Name: "Jonas Weber"}, {ID: "p3", Name: "Ada Okafor"}}}
	inc := incident.Incident{ID: 42, Status: incident.Triage, Severity: incident.Sev1, OpenedAt: at, Paging: incident.Paging{Round: 1, StartedAt: at, EscalationStep: 1, EscalationStepAt: at.Add(time.Minute)}}
	call := func(p incident.PersonID, cause incident.CallCause, after time.Duration) {
		inc.Calls = append(inc.Calls, incident.Call{Person: p, Cause: cause, At: at.Add(after)})
	}
	shown := func() string {
		return fmt.Sprint(newBuilder(incident.Brief{Incident: inc, Directory: directory, Now: at.Add(100 * time.Second)}).commanderLine())
	}
	call("p3", incident.CalledOnCall, 0) // by the first step
	call("p3", incident.CalledRole, time.Minute)
	if got := shown(); !strings.Contains(got, "escalation step 2") || strings.Contains(got, "Ada") {
		t.Errorf("got %q, want the escalation step", got)
	}
	call("p1", incident.CalledOnCall, time.Minute)
	call("p2", incident.CalledOnCall, time.Minute)
	if got := shown(); !strings.Contains(got, "Esra") || !strings.Contains(got, "Jonas") || strings.Contains(got, "Ada") || strings.Contains(got, "escalation step") {
		t.Errorf("got %q, want Esra and Jonas", got)
	}
}

// The card shows who edits the closing record.
func TestCard_ShowsEditor(t *testing.T) {
	at := time.Date(2026, 11, 20, 3, 12, 0, 0, time.UTC)
	b := incident.Brief{Incident: incident.Incident{ID: 42, Status: incident.Resolved, Severity: incident.Sev2}, Now: at.Add(time.Minute),
		Editors: []incident.Editor{{Person: "p1", Since: at}}, Directory: incident.Directory{People: []incident.Person{{ID: "p1", Name: "Hugo Meyer"}}}}
	if got := fmt.Sprint(Card(b)); !strings.Contains(got, "parts confirmed; Hugo is editing since") {
		t.Errorf("got %s, want the editor", got)
	}
}
