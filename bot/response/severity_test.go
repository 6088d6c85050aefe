package response

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestSeverityProposal_RaisesAfterFiveMinutes lowers the severity and sends a more
// severe alert with the same correlation key.
func TestSeverityProposal_RaisesAfterFiveMinutes(t *testing.T) {
	for _, answered := range []bool{false, true} {
		fx := newRoutedFixture(t, nil)
		high, critical := testAlert("CreateUser", "f1", "k"), testAlert("StopLogging", "f2", "k")
		high.Level, critical.Level = incident.LevelHigh, incident.LevelCritical
		fx.ingest(t, delivery(1, high))
		fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbAcknowledge})
		fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbSetSeverity, Severity: incident.Sev4, Text: "a test"})
		fx.runQueue(t)
		pages := len(fx.pageCalls())
		fx.ingest(t, delivery(2, critical))
		fx.now = fx.now.Add(incident.ProposalTimeout - time.Second)
		fx.runQueue(t)
		if inc := fx.store.incidents[1]; inc.Severity != incident.Sev4 || inc.SeverityProposal == nil || len(fx.pageCalls()) != pages {
			t.Fatalf("before the timeout: got %s, %+v and pages %v", inc.Severity, inc.SeverityProposal, fx.pageCalls())
		}
		if !slices.Contains(fx.store.posted(), string(incident.EventSeverityProposed)) {
			t.Errorf("got posts %v, want the proposal", fx.store.posted())
		}
		want := incident.Sev1
		if answered {
			want = incident.Sev4
			fx.do(t, "p3", incident.Command{For: 1, Verb: incident.VerbKeepSeverity, Text: "the same test"})
		}
		fx.now = fx.now.Add(time.Second)
		fx.runQueue(t)
		if inc := fx.store.incidents[1]; inc.Severity != want || (len(fx.pageCalls()) > pages) == answered {
			t.Errorf("answered %t: got %s and pages %v, want %s", answered, inc.Severity, fx.pageCalls()[pages:], want)
		}
	}
}

// posted returns the kinds of the events that have an effect in the channel.
func (m *memory) posted() (out []string) {
	for _, e := range m.effects {
		if e.Kind == incident.EffectPost {
			out = append(out, string(m.events[e.Incident][e.Seq-1].Kind))
		}
	}
	return out
}

func TestSeverity_BackAndForthPagesOnce(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev1)
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	set := func(s incident.Severity) {
		fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbSetSeverity, Severity: s, Text: "x"})
		fx.runQueue(t)
	}
	for range 10 {
		set(incident.Sev3)
		set(incident.Sev1)
	}
	if got := fx.pageCalls(); !slices.Equal(got, []string{"page 1/0"}) {
		t.Fatalf("got pages %v, want one", got)
	}
	// The acknowledgement also times out if its timer fired while the severity was sev3.
	set(incident.Sev3)
	fx.now = fx.now.Add(2 * testPolicy.AckTimeout)
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "still here"})
	set(incident.Sev1)
	fx.now = fx.now.Add(testPolicy.AckTimeout)
	fx.runQueue(t)
	if got := strings.Join(fx.pageCalls(), ", "); !strings.HasPrefix(got, "page 1/0, page 2/0") {
		t.Errorf("got pages %s, want a second round after the timeout", got)
	}
}
