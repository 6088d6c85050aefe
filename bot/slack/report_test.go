package slack

import (
	"encoding/json"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestRender_ReporterIsNamedAndInert renders the welcome, the card and the notes of
// an incident that somebody unknown reported under a name with markup.
func TestRender_ReporterIsNamedAndInert(t *testing.T) {
	reporter := &incident.Reporter{User: "U0EVE", Team: "T0OUT", Name: "<!channel> *Eve* :fire:"}
	inc := incident.Incident{ID: 42, Status: incident.Triage, Severity: incident.Sev4, Restricted: true, Title: "a key leaked", Reporter: reporter}
	b := incident.Brief{Incident: inc, Directory: testDirectory(), Now: noon}
	messages := map[string]message{"card": card(b)}
	texts := map[string]incident.Text{"text": {Value: "more", Salt: []byte{1}}, "reporter_user": {Value: reporter.User}, "reporter_team": {Value: reporter.Team}, "reporter_name": {Value: reporter.Name}}
	for _, kind := range []incident.EventKind{incident.EventChannelOpened, incident.EventSourceNoted} {
		b.Event = incident.Event{Kind: kind, Via: incident.ViaSlack, Texts: texts, RecordedAt: noon, HappenedAt: noon,
			Fields: map[string]string{"reported": "true", "restricted": "true", "severity": "sev4", "asked_severity": "sev1", "source": "slack", "name": incident.LinkChannel}}
		messages[string(kind)], _ = render(b)
	}
	for name, m := range messages {
		blocks, err := json.Marshal(m.blocks)
		if err != nil {
			t.Fatal(err)
		}
		got := m.text + strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(blocks))
		for _, want := range []string{"T0OUT", "U0EVE", "unknown to Tocsin, name not verified", "`&lt;!channel&gt; *Eve* :fire:`"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %s, want %q in it", name, got, want)
			}
		}
		if strings.Contains(got, "<!channel>") {
			t.Errorf("%s: got %s, want no mention", name, got)
		}
	}
	opened, err := json.Marshal(messages[string(incident.EventChannelOpened)].blocks)
	if err != nil || !strings.Contains(string(opened), `"action_id":"`+ActionID(incident.VerbAcknowledge)+`"`) {
		t.Errorf("welcome: got %s, %v, want the button Acknowledge", opened, err)
	}
}
