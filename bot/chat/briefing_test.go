package chat_test

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestHandover_SendsTheBriefing(t *testing.T) {
	d := newPlainDesk(t, func() time.Time { return time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC) })
	id := d.do("p1", incident.Command{Verb: incident.VerbOpen, Title: "Leaked key", Severity: incident.Sev2, Key: "open"}).ID
	d.do("p1", incident.Command{For: id, Verb: incident.VerbAcknowledge, Key: "ack"})
	d.do("p1", incident.Command{For: id, Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "suspected"}, Text: "the dump", Key: "fact"})
	inc := d.do("p1", incident.Command{For: id, Verb: incident.VerbHandover, Person: "p2", Text: "the customer calls at four", Key: "handover"})
	if inc.Commander != "p2" {
		t.Errorf("got commander %s, want p2", inc.Commander)
	}
	d.see("@p2", "made you the commander of INC-1", "the customer calls at four", "Leaked key", "Deadline: none yet")
	for person, want := range map[string]string{"p2": "the customer calls at four", "p5": "suspected", "p9": "is not linked to a person"} {
		if got := d.ask(person, id, "timeline"); !strings.Contains(got, want) {
			t.Errorf("timeline for %s: got %s, want %q", person, got, want)
		}
	}
}
