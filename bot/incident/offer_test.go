package incident

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOffer_EveryVerbAndStatus presses the button of every verb of people in every status. A
// verb that the status does not allow is refused before its form opens, with the status and
// what is possible instead. A verb that is possible is not refused because of the status.
func TestOffer_EveryVerbAndStatus(t *testing.T) {
	now := time.Date(2026, 11, 20, 3, 12, 0, 0, time.UTC)
	dir := Directory{People: []Person{{ID: "p1", Name: "Esra", Responder: true}}}
	for _, team := range RequiredDepartments() {
		dir.Teams = append(dir.Teams, Team{Name: team, Head: "p1", Members: []Membership{{Person: "p1"}}})
	}
	env := Env{Now: now, Directory: dir, Actor: "p1", Administrator: true}
	for _, status := range Statuses() {
		inc := Incident{ID: 42, Status: status, Severity: Sev2, OpenedAt: now, Commander: "p1", Roles: map[Role]PersonID{Commander: "p1"}, MergedInto: 41}
		inc.Head = Head{Seq: 9}
		for verb, rule := range verbs {
			if verb.who()&^TheBot == 0 || verb == VerbOpen || rule.decide == nil {
				continue
			}
			_, err := Offer(Command{For: 42, Verb: verb, Department: Legal, Person: "p1"}, inc, env)
			allowed := slices.Contains(AllowedVerbs(status), verb)
			switch {
			case allowed && err != nil && strings.Contains(err.Error(), "so "+verb.CommandName()+" is not possible"):
				t.Errorf("%s in %s: got %v, want no refusal by the status", verb, status, err)
			case !allowed && (CodeOf(err) != CodeConflict || !strings.Contains(err.Error(), "You can use ") && !strings.Contains(err.Error(), "Continue in INC-41") && !strings.Contains(err.Error(), "the record first")):
				t.Errorf("%s in %s: got %v, want a conflict with what is possible", verb, status, err)
			}
		}
	}
}
