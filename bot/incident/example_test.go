package incident_test

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// The bot opens an incident and a responder acknowledges it. The state is the fold
// of the decided events. Before Tocsin stores an event, [incident.Seal] adds it to
// the hash chain.
func Example() {
	ada := incident.Identity{Provider: incident.ProviderSlack, ID: "U01"}
	env := incident.Env{
		Now: time.Date(2026, 11, 24, 2, 31, 0, 0, time.UTC),
		Directory: incident.Directory{People: []incident.Person{
			{ID: "p-ada", Name: "Ada Lovelace", Responder: true, Identities: []incident.Identity{ada}},
		}},
		Policy: incident.Policy{EscalationSteps: 2, TimeZone: "Europe/Paris", Language: "en"},
	}
	id := incident.ID(42)
	var timeline []incident.Event

	// The bot opens the incident.
	env.System = true
	open := incident.Command{For: id, Verb: incident.VerbOpen, By: incident.System, Via: incident.ViaSystem,
		Title: "Leaked AWS key in a public repository", Severity: incident.Sev2}
	events, err := incident.Decide(open, incident.New(id), env)
	if err != nil {
		fmt.Println(err)
		return
	}
	timeline = append(timeline, events...)
	inc := incident.Fold(id, timeline)
	fmt.Println(inc.ID, inc.Status, inc.Severity, "needs a page:", inc.NeedsPage())

	// Ada acknowledges.
	person, _ := env.Directory.Resolve(ada)
	env.System, env.Actor = false, person.ID
	ack := incident.Command{For: id, Verb: incident.VerbAcknowledge, By: ada, Via: incident.ViaSlack}
	if events, err = incident.Decide(ack, inc, env); err != nil {
		fmt.Println(err)
		return
	}
	timeline = append(timeline, events...)
	inc = incident.Fold(id, timeline)
	fmt.Println(inc.ID, inc.Status, inc.Severity, "needs a page:", inc.NeedsPage())
	fmt.Println("commander:", env.Directory.Name(inc.Commander))
	for _, e := range timeline {
		fmt.Println("-", e.Kind)
	}
	// Output:
	// INC-42 triage sev2 needs a page: true
	// INC-42 active sev2 needs a page: false
	// commander: Ada Lovelace
	// - opened
	// - round_started
	// - acknowledged
	// - role_assigned
}

// A command that the lifecycle does not allow returns an [incident.Error] with the
// commands that are possible.
func ExampleDecide_conflict() {
	env := incident.Env{
		Now:       time.Date(2026, 11, 24, 2, 31, 0, 0, time.UTC),
		Actor:     "p-ada",
		Directory: incident.Directory{People: []incident.Person{{ID: "p-ada", Name: "Ada Lovelace", Responder: true}}},
	}
	inc := incident.New(42)
	inc.Status = incident.Dismissed
	_, err := incident.Decide(incident.Command{For: 42, Verb: incident.VerbContain, Text: "disabled the key"}, inc, env)
	fmt.Println(incident.CodeOf(err))
	fmt.Println(err)
	// Output:
	// conflict
	// INC-42 is dismissed, so contain is not possible. You can use reopen, review or note
}
