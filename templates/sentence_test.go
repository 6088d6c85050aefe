package templates

import (
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// Every event kind has a lane and a sentence of one line, with all fields and with
// none.
func TestSentence_EveryEventKind(t *testing.T) {
	dir := newTestIncident(t).dir
	fields := map[string]string{"severity": "sev1", "from": "sev2", "restricted": "true", "source": "sentry", "kind": "sentry.issue", "level": "high", "count": "100",
		"person": "ben", "round": "2", "escalation_step": "0", "role": "scribe", "fact": "occurred", "value": "2026-11-24T02:31:00Z", "departments": "legal,dpo", "evidence": "E1",
		"sha256": strings.Repeat("a", 64), "target": "INC-7", "run": "leaked-aws-credentials", "step": "disable-key", "revision": "2", "digest": "sha256:ab", "department": "legal",
		"signatures": "3", "objection": "O1", "how": "withdrawn", "until": "2026-12-01T00:00:00Z", "action": "A1", "owner": "ada", "due": "2026-12-15T00:00:00Z", "people": "ada,ben",
		"when": "2026-11-27T10:00:00Z", "name": "slack.card", "effect": "INC-42/17/post"}
	text := map[string]incident.Text{}
	for _, name := range []string{"title", "text", "reason", "who", "name", "where", "outcome", "answer", "decisions"} {
		text[name] = incident.Text{Value: "written\nby <somebody>"}
	}
	var b strings.Builder
	for _, kind := range incident.EventKinds() {
		if !slices.Contains(incident.Lanes(), kind.Lane()) {
			t.Errorf("%s has lane %q, want one of the picture", kind, kind.Lane())
		}
		for name, e := range map[string]incident.Event{"full": {Kind: kind, By: "ada", Fields: fields, Texts: text}, "bare": {Kind: kind}} {
			s := Sentence(e, dir)
			if strings.ContainsAny(s, "\n\r") || len(s) < 10 || strings.Contains(s, "%!") {
				t.Errorf("%s, %s: got %q", kind, name, s)
			}
			if name == "full" {
				b.WriteString(string(kind) + ": " + s + "\n")
			}
		}
	}
	for _, fact := range incident.FactNames() {
		e := incident.Event{Kind: incident.EventFactSet, By: "ada", Fields: map[string]string{"fact": string(fact), "regime": "gdpr", "value": "confirmed", "capacity": "processor", "count": "12"}, Texts: text}
		b.WriteString("fact " + string(fact) + ": " + Sentence(e, dir) + "\n")
	}
	golden(t, "sentences.txt", b.String())
}

func TestSentence_ErasedText(t *testing.T) {
	e := incident.Event{Kind: incident.EventNoted, By: "ada", Texts: map[string]incident.Text{"text": {Commitment: "ab"}}}
	if got := Sentence(e, newTestIncident(t).dir); got != "Ada Okafor added a note: “(erased)”" {
		t.Error(got)
	}
}
