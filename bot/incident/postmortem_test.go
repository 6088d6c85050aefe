package incident

import (
	"slices"
	"testing"
)

// withdrawals returns the withdrawals of a postmortem among events.
func withdrawals(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return e.Kind != EventPostmortemWithdrawn })
}

// TestPostmortem_EveryVerb checks that a verb that voids the signed record withdraws its
// postmortem, and that no other verb does.
func TestPostmortem_EveryVerb(t *testing.T) {
	voided := map[Verb]int{}
	for _, from := range Statuses() {
		for v := range verbs {
			w := fixtureIn(t, from)
			by, cmd := validCommand(v, w)
			before := w.inc.currentPostmortem()
			events, err := w.decideAs(by, cmd)
			if err != nil {
				continue
			}
			got := withdrawals(events)
			if want := before.Revision > 0 && w.inc.currentPostmortem().Revision == 0; len(got) > 1 || (len(got) == 1) != want {
				t.Errorf("%s from %s to %s: got withdrawals %v, want one: %v", v, from, w.inc.Status, got, want)
			}
			if len(got) == 1 {
				voided[v]++
				if !w.inc.PostmortemOf(1).Superseded || got[0].Field("audience") != string(AudienceAll) || got[0].Field("cause") != map[Verb]string{VerbReopen: cancelReopened, VerbRevise: cancelRevised}[v] {
					t.Errorf("%s from %s: got %v and %+v", v, from, got[0], w.inc.PostmortemOf(1))
				}
			}
		}
	}
	if voided[VerbReopen] != 2 || voided[VerbRevise] != 2 || len(voided) != 2 {
		t.Errorf("got withdrawals by %v, want reopen and revise from approved and closed", voided)
	}
}

// TestPostmortem_WithdrawnOnce revises and amends a signed record, reopens the incident and
// closes it again. Each postmortem has one withdrawal by mail and one announcement of it.
func TestPostmortem_WithdrawnOnce(t *testing.T) {
	w := fixtureIn(t, Approved)
	var got []Event
	do := func(by PersonID, cmd Command) {
		t.Helper()
		events, err := w.decideAs(by, cmd)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, withdrawals(events)...)
	}
	do("eng1", Command{Verb: VerbRevise, Text: "more is known", Record: map[string]string{"audience": string(AudienceLegalSecurity)}})
	do("eng1", Command{Verb: VerbAmend, Text: "even more"})
	do("eng1", Command{Verb: VerbReopen, Text: "it goes on"})
	if len(got) != 1 || got[0].Field("revision") != "1" || got[0].Field("people") != "" {
		t.Fatalf("got withdrawals %v, want one of revision 1", got)
	}
	kinds := map[EffectKind]string{}
	for _, e := range got[0].Effects(w.inc, Incident{}, Env{Now: w.now, Directory: w.dir, Policy: w.policy}) {
		kinds[e.Kind] = e.Lane + " " + e.Args["revision"]
	}
	if kinds[EffectMailWithdrawal] != "INC-7/postmortem_mail 1" || kinds[EffectAnnounceWithdrawal] != "INC-7/postmortem_announcement 1" {
		t.Errorf("got effects %v", kinds)
	}
	do("eng1", Command{Verb: VerbContain, Text: "x"})
	do("eng1", Command{Verb: VerbResolve, Text: "x"})
	do("eng1", Command{Verb: VerbSubmit, Record: map[string]string{"audience": string(AudienceLegalSecurity)}})
	w.signAll()
	revision := w.inc.Submission.Document.Revision
	do("", Command{Verb: VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: revision})
	if w.inc.ReplacedPostmortem(revision) != 1 {
		t.Errorf("got revision %d that replaces %d, want it to replace revision 1", revision, w.inc.ReplacedPostmortem(revision))
	}
	do("eng1", Command{Verb: VerbReopen, Text: "again"})
	if len(got) != 2 || !slices.Equal(got[1].PostmortemReaders(), w.inc.PostmortemReaders(AudienceLegalSecurity, w.dir, w.now)) || len(got[1].PostmortemReaders()) < 2 {
		t.Errorf("got withdrawals %v, want another one for legal and security", got)
	}
}
