package templates

import (
	"testing"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"

	"tocsin/bot/incident"
)

// The English format is the key of a catalogue, and a translation may reorder
// the arguments.
func TestSentence_CatalogueTranslates(t *testing.T) {
	dir := newTestIncident(t).dir
	c := catalog.NewBuilder()
	for key, translation := range map[string]string{
		"%s assigned the role %s to %s": "%[3]s a reçu le rôle %[2]s de %[1]s",
		"unknown severity %q. Use sev1": "gravité inconnue : %q ; utilisez sev1",
	} {
		if err := c.SetString(language.French, key, translation); err != nil {
			t.Fatal(err)
		}
	}
	printer := message.NewPrinter(language.French, message.Catalog(c))
	event, _ := (incident.Event{Kind: incident.EventRoleAssigned, By: "ada", RecordedAt: time.Now(),
		Fields: map[string]string{"role": "scribe", "person": "ben"}}).Sentence()
	for want, s := range map[string]incident.Sentence{
		"Ben Lindqvist a reçu le rôle scribe de Ada Okafor": event.Show(func(arg any) string { return plainArg(dir, arg) }),
		`gravité inconnue : "x" ; utilisez sev1`:            incident.Invalid("severity", "unknown severity %q. Use sev1", "x").Sentence,
	} {
		if got := printer.Sprintf(s.Format, s.Args...); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
