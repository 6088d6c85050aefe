package incident

import (
	"strings"
	"testing"
	"time"
)

var (
	message = Message{Ref: "C1/1.1", Author: "eng2", Text: "the key is in the log", Link: "https://x.slack.com/archives/C1/p11", At: start,
		Files: []MessageFile{{ID: "F1", Name: "auth.log", Link: "https://x.slack.com/files/F1"}}}
	messageSum = strings.Repeat("ab", 32)
)

// messageCommands use one message in every way.
func messageCommands() map[KeptAs]Command {
	kept := message
	return map[KeptAs]Command{
		KeptAsNote:     {Verb: VerbNote, Text: kept.Text, Message: &kept},
		KeptAsEvidence: {Verb: VerbEvidence, Evidence: &Evidence{Name: "message", SHA256: messageSum}, Message: &kept},
		KeptAsAction:   {Verb: VerbAddAction, Action: &Action{Kind: ActionProcess, Title: "rotate it", Owner: "eng1", Due: start.AddDate(0, 0, 7)}, Message: &kept},
	}
}

// TestMessage_HasEachUseOnce gives each command about a message as two people.
func TestMessage_HasEachUseOnce(t *testing.T) {
	for as, cmd := range messageCommands() {
		w := newFixture(t)
		w.openSev1()
		w.must("eng1", cmd)
		if events := w.decided("eng3", cmd); len(events) > 0 || !w.inc.Keeps(message.Ref, as) {
			t.Errorf("%s by another person: got %d events, want 0", as, len(events))
		}
		other := *cmd.Message
		other.Ref, cmd.Message = "C1/2.2", &other
		if cmd.Evidence != nil {
			cmd.Evidence = &Evidence{Name: "another", SHA256: strings.Repeat("cd", 32)}
		}
		w.must("eng3", cmd)
	}
}

// TestMessage_Evidence follows the custody of a message and its file.
func TestMessage_Evidence(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("eng1", messageCommands()[KeptAsEvidence])
	if e := w.inc.Evidence; len(e) != 2 || e[0].By != "eng1" || e[0].Author != "eng2" || e[0].SHA256 != messageSum || e[1].Ref != "F1" || w.inc.Links[LinkKept("F1")] != "F1" {
		t.Fatalf("got %+v", e)
	}
	hash := Command{Verb: VerbEvidenceHashed, Item: "E2", Document: strings.Repeat("cd", 32), Count: 12}
	w.must("", hash)
	if events := w.decided("", hash); len(events) > 0 || w.inc.Evidence[1].SHA256 != hash.Document || w.inc.Evidence[1].Size != 12 {
		t.Errorf("hash again: got %d events and %+v", len(events), w.inc.Evidence[1])
	}
	w.mustFail("", Command{Verb: VerbEvidenceHashed, Item: "E9"}, CodeUnknown)
	for n, c := range []struct {
		cmd  Command
		want bool
	}{
		{Command{Item: "C1/1.1", Reason: EvidenceEdited, Person: "eng2", Text: "no key", HappenedAt: start}, true},
		{Command{Item: "C1/1.1", Reason: EvidenceEdited, Person: "eng2", Text: "no key", HappenedAt: start}, false}, // delivered again
		{Command{Item: "C1/1.1", Reason: EvidenceEdited, Person: "eng2", Text: "no", HappenedAt: start.Add(time.Second)}, true},
		{Command{Item: "C1/9.9", Reason: EvidenceEdited}, false}, // another message
		{Command{Item: "", Reason: EvidenceDeleted}, false},
		{Command{Item: "F1", Reason: EvidenceEdited, Document: hash.Document}, false}, // the same bytes
		{Command{Item: "C1/1.1", Reason: EvidenceDeleted}, true},
		{Command{Item: "C1/1.1", Reason: EvidenceDeleted}, false},
		{Command{Item: "C1/1.1", Reason: EvidenceEdited, HappenedAt: start.Add(time.Minute)}, false}, // after the deletion
	} {
		c.cmd.Verb = VerbEvidenceChanged
		if events := w.decided("", c.cmd); (len(events) == 1) != c.want {
			t.Errorf("change %d: got %d events, want %t", n, len(events), c.want)
		}
	}
	if got := len(w.inc.Evidence[0].Changes); got != 3 {
		t.Errorf("got %d changes, want 3", got)
	}
}

func TestMessage_RefusesTooManyFiles(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	cmd := messageCommands()[KeptAsEvidence]
	cmd.Message.Files = make([]MessageFile, MaxMessageFiles+1)
	w.mustFail("eng1", cmd, CodeInvalid)
	cmd.Message.Files, cmd.Message.Text = nil, strings.Repeat("x", MaxText+1)
	w.mustFail("eng1", cmd, CodeInvalid)
}

// TestMessage_FileWithoutHash changes a file before Tocsin downloaded it and after Tocsin
// could not.
func TestMessage_FileWithoutHash(t *testing.T) {
	w := newFixture(t)
	w.openSev1()
	w.must("eng1", messageCommands()[KeptAsEvidence])
	edit := func(at time.Duration) Command {
		return Command{Verb: VerbEvidenceChanged, Item: "F1", Reason: EvidenceEdited, HappenedAt: start.Add(at - time.Hour)}
	}
	if events := w.decided("", edit(time.Second)); len(events) > 0 {
		t.Errorf("before the download, which is of the edited file: got %d events", len(events))
	}
	w.must("", Command{Verb: VerbEvidenceHashed, Item: "E2", Reason: "the file is larger than 256 MiB"})
	if events := w.decided("", edit(time.Minute)); len(events) != 1 || w.inc.Evidence[1].NotHashed == "" {
		t.Errorf("after the download: got %d events and %+v", len(events), w.inc.Evidence[1])
	}
	if events := w.decided("", Command{Verb: VerbEvidenceChanged, Item: "F1", Reason: EvidenceDeleted, HappenedAt: start}); len(events) != 1 {
		t.Errorf("deleted: got %d events", len(events))
	}
}
