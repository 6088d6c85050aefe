package response

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// Two people give a command at once. The second one learns who gave the first one and
// when. A repeat of the own command is not a race.
func TestDo_LoserOfARaceLearnsWhoWon(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	own := fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	if !own.Unchanged || own.Earlier != "" {
		t.Errorf("got %+v for a repeat", own)
	}
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p3"})
	fx.now = fx.now.Add(time.Minute)
	cmd := incident.Command{For: id, Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p3"}
	lost := fx.do(t, "p1", cmd)
	if want := "Person p2 assigned"; !lost.Unchanged || !strings.HasPrefix(lost.Earlier, want) || !strings.HasSuffix(lost.Earlier, " at 03:00 UTC") {
		t.Errorf("got %q, want the winner and the time", lost.Earlier)
	}
	if s, _ := command.ResultOf(cmd, lost); !strings.HasPrefix(s.String(), "No change: Person p2 assigned") || !strings.Contains(s.String(), "You can use ") {
		t.Errorf("got reply %q", s)
	}

	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbResolve, Text: "restored"})
	fx.now = fx.now.Add(24 * time.Hour)
	_, err := fx.Do(t.Context(), incident.Command{For: id, Verb: incident.VerbContain, Text: "key off", By: slackIdentity("p1"), Via: incident.ViaSlack, Auth: "slack"})
	refused := new(incident.Error)
	if !errors.As(err, &refused) || refused.Code != incident.CodeConflict || !strings.HasPrefix(refused.Error(), "Person p3 ") || !strings.Contains(refused.Error(), " at 03:01 UTC on 2026-11-20. INC-1 is resolved, so contain is not possible") {
		t.Errorf("got error %v", err)
	}
}

// A button whose form nobody needs any more is refused before the form opens.
func TestOffer_NamesWhoWasFirst(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	press := func(person string) error {
		return fx.Offer(t.Context(), incident.Command{For: id, Verb: incident.VerbContain, By: slackIdentity(person), Via: incident.ViaSlack, Auth: "slack"})
	}
	if err := press("p1"); err != nil {
		t.Errorf("got %v, want the form", err)
	}
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbContain, Text: "key off"})
	err := press("p1")
	if incident.CodeOf(err) != incident.CodeConflict || !strings.HasPrefix(err.Error(), "Person p2 ") || !strings.Contains(err.Error(), "INC-1 is contained, so contain is not possible. You can use ") {
		t.Errorf("got %v, want who contained it and what is possible", err)
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbRestrict})
	if err := press("p8"); err == nil || strings.Contains(err.Error(), "Person p2") {
		t.Errorf("got %v for a person without access", err)
	}
}

// A person who may not read the incident learns nothing about its events.
func TestDo_LoserWithoutAccessLearnsNothing(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbRestrict})
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbResolve, Text: "restored"})
	for _, p := range []string{"p7", "p8"} {
		result, err := fx.Do(t.Context(), incident.Command{For: id, Verb: incident.VerbContain, Text: "x", By: slackIdentity(p), Via: incident.ViaSlack, Auth: "slack"})
		if err == nil || strings.Contains(err.Error(), "Person p2") || result.Earlier != "" {
			t.Errorf("%s: got %+v, %v", p, result, err)
		}
	}
}
