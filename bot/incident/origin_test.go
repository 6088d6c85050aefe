package incident

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

var origins = []Origin{OriginLive, OriginReplay, OriginDrill, OriginRecording}

func openWithOrigin(t tester, o Origin) *fixture {
	w := newFixture(t)
	w.must("", Command{Verb: VerbOpen, Title: "StopLogging by root", Severity: Sev2, Origin: o, Runs: []Run{testRun},
		Alert: &AlertRef{Alert: 1, Source: "cloudtrail", Kind: "cloudtrail.StopLogging", Title: "StopLogging", At: start, Origin: o}})
	return w
}

func TestOrigin_MarkAndName(t *testing.T) {
	for o, want := range map[Origin]struct {
		mark, text, name string
		pages, again     bool
	}{
		OriginLive:      {"", "INC-7", "live", true, false},
		OriginReplay:    {"[REPLAY]", "[REPLAY] INC-7", "replay", false, true},
		OriginDrill:     {"[DRILL]", "[DRILL] INC-7", "drill", true, true},
		OriginRecording: {"[RECORDING]", "[RECORDING] INC-7", "recording", false, false},
	} {
		if o.Mark() != want.mark || o.Marked("INC-7") != want.text || o.String() != want.name || o.Pages() != want.pages || o.CountsAgain() != want.again {
			t.Errorf("%s: got %q, %q, pages %v, counts again %v; want %+v", o, o.Mark(), o.Marked("INC-7"), o.Pages(), o.CountsAgain(), want)
		}
		if got := TrimMark(o.Marked("INC-7 [DRILL] x")); got != "INC-7 [DRILL] x" {
			t.Errorf("%s: got %q without the mark", o, got)
		}
		parsed, err := ParseOrigin(string(o))
		if live := o == OriginLive; parsed != o || live != (CodeOf(err) == CodeInvalid) {
			t.Errorf("%s: got origin %q, error %v", o, parsed, err)
		}
	}
}

// A replay and a recording never page, not even by a command that pages otherwise.
func TestOrigin_OnlyLiveAndDrillPage(t *testing.T) {
	for _, o := range origins {
		w := openWithOrigin(t, o)
		for _, step := range lifecycleCommands(w)[1:] {
			if step.cmd.Expect == "current" && w.inc.Submission != nil {
				step.cmd.Expect = w.inc.Submission.Digest
			}
			if step.cmd.Alert != nil {
				step.cmd.Alert.Origin = o
			}
			_, _ = w.decideAs(step.by, step.cmd) // some are not possible without a page
		}
		w.inc.Paging.LastAction = time.Time{}
		for _, cmd := range []Command{{Verb: VerbReopen, Text: "again"}, {Verb: VerbSetSeverity, Severity: Sev1}, {Verb: VerbPageAgain}} {
			_, _ = w.decideAs("eng1", cmd)
		}
		_, _ = w.decideAs("", Command{Verb: VerbAckTimeout})
		_, _ = w.decideAs("", Command{Verb: VerbPersonLeft, Person: "eng1"})
		paged := slices.ContainsFunc(w.events, func(e Event) bool { return e.Kind == EventRoundStarted || e.Kind == EventPageStarted })
		if w.inc.Origin != o || paged != o.Pages() || w.inc.Summary().Origin != o {
			t.Errorf("%s: got origin %q, paged %v, want paged %v", o, w.inc.Origin, paged, o.Pages())
		}
		if len(w.events) < 40 {
			t.Errorf("%s: got %d events, want the whole story", o, len(w.events))
		}
		requireEqual(t, Fold(7, w.events), w.inc)
	}
}

func TestPageAgain_RefusedForReplay(t *testing.T) {
	w := openWithOrigin(t, OriginReplay)
	_, err := w.decideAs("eng1", Command{Verb: VerbPageAgain})
	if CodeOf(err) != CodeConflict || err.Error() != "INC-7 is a replay, which pages no one. To exercise paging, replay its deliveries with --drill" {
		t.Errorf("got error %v", err)
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	if at, ok := w.inc.ackTimeoutAt(w.policy); ok {
		t.Errorf("got an acknowledgement that times out at %s, want none", at)
	}
}

// Neither an alert nor an incident becomes part of an incident of another origin.
func TestOrigin_NeverMixes(t *testing.T) {
	for _, of := range origins {
		for _, into := range origins {
			want := Code("")
			if of != into {
				want = CodeConflict
			}
			w := openWithOrigin(t, into)
			alert := &AlertRef{Alert: 2, Source: "cloudtrail", Kind: "cloudtrail.Other", Title: "other", At: start, Origin: of}
			for by, cmd := range map[PersonID]Command{"": {Verb: VerbAttach, Alert: alert, Severity: Sev1}, "eng1": {Verb: VerbPromote, Alert: alert}} {
				if _, err := w.decideAs(by, cmd); CodeOf(err) != want {
					t.Errorf("%s of a %s alert to a %s incident: got error %v, want code %q", cmd.Verb, of, into, err, want)
				}
			}
			other := openWithOrigin(t, of)
			other.inc.ID = 8
			_, _, err := DecideMerge(Command{Verb: VerbMerge, For: 8, Target: 7, Text: "same"}, other.inc, w.inc, responderEnv(w))
			if CodeOf(err) != want {
				t.Errorf("merge of %s into %s: got error %v, want code %q", of, into, err, want)
			}
		}
	}
}

func TestOpen_RejectsAlertOfOtherOrigin(t *testing.T) {
	w := newFixture(t)
	w.mustFail("", Command{Verb: VerbOpen, Title: "x", Alert: &AlertRef{Alert: 1, Kind: "k", Origin: OriginDrill}}, CodeConflict)
}

func TestSplit_InheritsOrigin(t *testing.T) {
	for _, o := range origins {
		w := openWithOrigin(t, o)
		other, err := w.split(99, responderEnv(w), Command{Title: "another key", Text: "another account"}, w.inc.Alerts)
		if err != nil || other.inc.Origin != o {
			t.Errorf("%s: got origin %q, error %v", o, other.inc.Origin, err)
		}
	}
}

// A command of a delivery that is not live, such as a replayed acknowledgement of
// the pager, acts only on incidents of its origin. A live one acts on all.
func TestCommand_OriginOfDelivery(t *testing.T) {
	for _, of := range origins {
		for _, to := range origins {
			w := openWithOrigin(t, to)
			want := Code("")
			if of != OriginLive && of != to {
				want = CodeConflict
			}
			_, err := w.decideAs("", Command{Verb: VerbSourceNote, By: Identity{ProviderSource, "pagerduty"}, Text: "resolved", Origin: of})
			if CodeOf(err) != want {
				t.Errorf("%s command to a %s incident: got error %v, want code %q", of, to, err, want)
			}
		}
	}
}

// Nothing that a client sends can set the origin of a command.
func TestCommand_OriginIsNotDecoded(t *testing.T) {
	var cmd Command
	if err := json.Unmarshal([]byte(`{"verb":"open","title":"x","origin":"drill","Origin":"drill"}`), &cmd); err != nil || cmd.Origin != OriginLive {
		t.Errorf("got origin %q, error %v", cmd.Origin, err)
	}
}

func TestSignal_WithOrigin(t *testing.T) {
	report := &VulnReport{Reply: &Reply{To: "ann@example.com"}, DuplicateKeys: []DuplicateKey{{"the same title", "d"}}}
	s := Signal{Event: "e", Subject: IncidentRef{PageKey: "INC-1/1", Correlation: "c", Fingerprint: "f"}, Command: &Command{Verb: VerbSourceNote, Key: "k"},
		Alert: &Alert{Source: "s", Kind: "k", Title: "t", Correlation: "c", Ongoing: true, Report: report}}
	if got := s.WithOrigin(OriginLive); got.Event != "e" || got.Subject != s.Subject || got.Alert.Fingerprint != "" || !got.Alert.Ongoing || got.Alert.Report != report {
		t.Errorf("live: got %+v", got)
	}
	keys := map[string]Origin{}
	for _, o := range origins[1:] {
		got := s.WithOrigin(o)
		if got.Alert.Origin != o || got.Command.Origin != o || got.Alert.Ongoing == o.CountsAgain() || (got.Event == "") != o.CountsAgain() || got.Subject.PageKey != s.Subject.PageKey {
			t.Errorf("%s: got signal %+v, alert %+v", o, got, got.Alert)
		}
		if r := got.Alert.Report; r.Reply != nil || report.Reply == nil || report.DuplicateKeys[0].Value != "d" {
			t.Errorf("%s: got report %+v, and the decoded one is %+v", o, r, report)
		}
		if got.Subject.Correlation != got.Alert.Correlation || !strings.HasSuffix(got.Alert.Fingerprint, "k\nt") {
			t.Errorf("%s: got subject %+v, alert %+v", o, got.Subject, got.Alert)
		}
		for _, key := range []string{got.Alert.Fingerprint, got.Alert.Correlation, got.Subject.Fingerprint, got.Alert.Report.DuplicateKeys[0].Value, got.Command.Key} {
			if other, seen := keys[key]; seen && other != o || strings.IndexFunc(key, func(r rune) bool { return r == '\x1f' }) != 0 {
				t.Errorf("%s: got key %q, which %s has too", o, key, other)
			}
			keys[key] = o
		}
	}
}
