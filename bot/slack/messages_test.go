package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// settle waits until the workspace has delivered every event and Slack has handled it.
func (e *inboundTest) settle() {
	e.Helper()
	for deadline := time.After(10 * time.Second); e.ws.PendingEvents() > 0; {
		select {
		case <-deadline:
			e.Fatal("events are still pending")
		case <-time.After(time.Millisecond):
		}
	}
	e.slack.Wait()
}

// post posts a message as a user in the channel of INC-42 and returns its ID.
func (e *inboundTest) post(user, text string) string {
	e.Helper()
	m, err := e.ws.Act(user).Post(e.channel, text, "")
	if err != nil {
		e.Fatal(err)
	}
	e.settle()
	return m.TS
}

// incident42 returns INC-42.
func (e *inboundTest) incident42() incident.Incident {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	return e.desk.incidents[42]
}

// commandsOf returns how many commands with a verb were recorded.
func (e *inboundTest) commandsOf(verb incident.Verb) int {
	e.desk.mu.Lock()
	defer e.desk.mu.Unlock()
	n := 0
	for _, c := range e.desk.commands {
		if c.Verb == verb {
			n++
		}
	}
	return n
}

// TestMessages_ShowWhoIsHere posts as people with and without a part in the incident.
// Events are delivered three times.
func TestMessages_ShowWhoIsHere(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.ws.DuplicateEvents(2)
		e.desk.policy.AckTimeout = 30 * time.Minute
		e.typeCommand("U0ADA", "ack")
		acked := e.incident42().Paging.LastAction
		before := e.desk.count()
		for range 20 {
			e.post("U0BEN", "looking at the logs")
		}
		e.post("U0CLEO", "may not read it")
		e.post("U0ZOE", "is not in the configuration")
		if got := e.incident42(); got.Here["p2"].IsZero() || !got.Here["p3"].IsZero() || got.Present() != 2 {
			t.Errorf("got present %v, want Ada and Ben", got.Here)
		}
		if n := e.desk.count() - before; n != 1 {
			t.Errorf("20 posts in a minute: got %d commands, want 1", n)
		}
		e.advance(10 * time.Minute)
		e.post("U0BEN", "still looking")
		if got := e.incident42().Paging.LastAction; got.Sub(acked) < 9*time.Minute {
			t.Errorf("got last action %s after the acknowledgement, want 10 minutes", got.Sub(acked))
		}
	})
}

// TestSpoken gives commands and other texts in mentions and direct messages.
func TestSpoken(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.ws.DuplicateEvents(2)
		bot := "<@" + e.ws.Config().Bot.UserID + "> "
		for text, want := range map[string]string{
			bot + "status":              "INC-42",
			bot + "note the key is old": "The note is entry",
			bot + "what is going on?":   "explains every command",
			bot:                         "explains every command",
			bot + "severity sev9":       "sev9",
			bot + "contain":             "Arguments are missing",
			"hey " + bot + "status":     "explains every command",
			bot + "&lt;!channel&gt; `x": "explains every command",
		} {
			e.post("U0ADA", text)
			if got := e.lastEphemeral("U0ADA"); !strings.Contains(got.Text+string(got.Blocks), want) || got.Channel != e.channel {
				t.Errorf("mention %q: got %s %s, want %q", text, got.Text, got.Blocks, want)
			}
		}
		if n := e.commandsOf(incident.VerbNote); n != 1 {
			t.Errorf("got %d notes, want 1", n)
		}
		for user, texts := range map[string]map[string]string{
			"U0ADA":  {"status INC-42": "Root key used", "who INC-42": "here", "good night": "explains every command", "help severity": "severity sev1"},
			"U0CLEO": {"status INC-42": "restricted", "note INC-42 hello": "may not read it"},
			"U0ZOE":  {"note INC-42 hello": "not linked to a person", "who INC-42": "not linked to a person"},
		} {
			dm := e.must(e.ws.Act(user).OpenDM())
			for text, want := range texts {
				if _, err := e.ws.Act(user).Post(dm, text, ""); err != nil {
					t.Fatal(err)
				}
				e.settle()
				all := e.ws.Messages(dm)
				if last := all[len(all)-1]; !strings.Contains(last.Text+string(last.Blocks), want) {
					t.Errorf("%s wrote %q: got %s %s, want %q", user, text, last.Text, last.Blocks, want)
				}
			}
		}
		if n := e.commandsOf(incident.VerbNote); n != 1 {
			t.Errorf("got %d notes after the messages of others, want 1", n)
		}
	})
}

// TestSpoken_AnswersInTheThread answers a mention in a thread there.
func TestSpoken_AnswersInTheThread(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	root := e.post("U0BEN", "a thread")
	if _, err := e.ws.Act("U0ADA").Post(e.channel, "<@"+e.ws.Config().Bot.UserID+"> who", root); err != nil {
		t.Fatal(err)
	}
	e.settle()
	if got := e.lastEphemeral("U0ADA"); got.ThreadTS != root {
		t.Errorf("got an answer in thread %q, want %q", got.ThreadTS, root)
	}
}

// TestReactions adds and removes reactions as a responder, a member and an outsider.
func TestReactions(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.ws.DuplicateEvents(2)
		ts := e.post("U0BEN", "the key of <@U0ADA> &lt;AKIA&gt; is <!channel> *old*")
		react := func(user, name string) string {
			t.Helper()
			if err := e.ws.Act(user).React(e.channel, ts, name); err != nil {
				t.Fatal(err)
			}
			e.settle()
			got := e.ws.Ephemerals(user)
			if len(got) == 0 {
				return ""
			}
			return string(got[len(got)-1].Blocks)
		}
		if got := react("U0CLEO", "pushpin"); !strings.Contains(got, "may not read it") {
			t.Errorf("no access: got %s", got)
		}
		if got := react("U0ZOE", "white_check_mark"); !strings.Contains(got, "not linked to a person") {
			t.Errorf("outsider: got %s", got)
		}
		if got := react("U0BEN", "eyes"); got != "" || e.desk.count() != 1 { // the post of Ben
			t.Errorf("another reaction: got %s and %d commands", got, e.desk.count())
		}
		if got := react("U0ADA", "pushpin"); !strings.Contains(got, "in the timeline of *INC-42*") {
			t.Errorf("pushpin: got %s", got)
		}
		if cmd := e.desk.last(); cmd.Verb != incident.VerbNote || cmd.Text != "the key of @Ada Byron <AKIA> is @channel *old*" || cmd.Message.Author != "p2" || !strings.Contains(cmd.Message.Link, "/archives/") {
			t.Errorf("got %+v", cmd)
		}
		if got := react("U0BEN", "pushpin"); !strings.Contains(got, "No change") {
			t.Errorf("second pushpin: got %s", got)
		}
		if got := react("U0ADA", "white_check_mark"); !strings.Contains(got, "action item A1") {
			t.Errorf("check mark: got %s", got)
		}
		inc := e.incident42()
		if len(inc.Actions) != 1 || inc.Actions[0].Owner != "p1" || len(inc.Messages) != 2 {
			t.Errorf("got actions %+v and messages %+v", inc.Actions, inc.Messages)
		}
		if err := e.ws.Act("U0ADA").Unreact(e.channel, ts, "pushpin"); err != nil {
			t.Fatal(err)
		}
		e.settle()
		if got := string(e.lastEphemeral("U0ADA").Blocks); !strings.Contains(got, "cannot be changed") || len(e.incident42().Messages) != 2 {
			t.Errorf("removed: got %s", got)
		}
	})
}

// TestReactions_ToReplies finds a message in a thread, and refuses one of Tocsin.
func TestReactions_ToReplies(t *testing.T) {
	e := newInboundTest(t, chat.ModeHTTP)
	root := e.post("U0BEN", "a thread")
	reply, err := e.ws.Act("U0BEN").Post(e.channel, "the reply", root)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ws.Act("U0ADA").React(e.channel, reply.TS, "pushpin"); err != nil {
		t.Fatal(err)
	}
	e.settle()
	if cmd := e.desk.last(); cmd.Text != "the reply" || e.lastEphemeral("U0ADA").ThreadTS != root {
		t.Errorf("got %+v, want the reply, answered in its thread", cmd)
	}
}

// TestShortcuts uses a message with a file as a note, as evidence and as an action item.
func TestShortcuts(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		content := []byte("10.0.0.1 root login\n")
		m, err := e.ws.Act("U0BEN").Upload(e.channel, "auth.log", content, "the log of <@U0ADA>", "")
		if err != nil {
			t.Fatal(err)
		}
		shortcut := func(user, id string) {
			t.Helper()
			if err := e.ws.Act(user).MessageShortcut(id, e.channel, m.TS); err != nil {
				t.Fatal(err)
			}
			e.settle()
		}
		for _, id := range []string{ShortcutAddNote, ShortcutAddEvidence, ShortcutAddAction} {
			for user, want := range map[string]string{"U0CLEO": "may not read it", "U0ZOE": "not linked to a person"} {
				if shortcut(user, id); id == ShortcutAddAction && user == "U0CLEO" {
					if got := e.submit(user, map[string]any{"kind": "process", "owner": "U0CLEO", "due": "2027-01-01"}); !strings.Contains(fmt.Sprint(got.Errors), want) {
						t.Errorf("%s by %s: got %+v, want %q", id, user, got, want)
					}
				} else if got := string(e.lastEphemeral(user).Blocks); !strings.Contains(got, want) {
					t.Errorf("%s by %s: got %s, want %q", id, user, got, want)
				}
			}
		}
		shortcut("U0ADA", ShortcutAddNote)
		shortcut("U0ADA", ShortcutAddEvidence)
		shortcut("U0BEN", ShortcutAddEvidence) // again, by another person
		inc := e.incident42()
		if len(inc.Evidence) != 2 || inc.Evidence[0].By != "p1" || inc.Evidence[0].Author != "p2" || len(inc.Evidence[0].SHA256) != 64 || !strings.Contains(inc.Evidence[0].Where, "/archives/") || inc.Evidence[1].Name != "auth.log" {
			t.Fatalf("got evidence %+v, want the message and its file", inc.Evidence)
		}
		sum := sha256.Sum256(content)
		got, size, reason, err := e.slack.HashFile(t.Context(), inc.Evidence[1].Ref)
		if err != nil || reason != "" || got != hex.EncodeToString(sum[:]) || size != int64(len(content)) {
			t.Errorf("got hash %s of %d bytes, %q, %v", got, size, reason, err)
		}
		shortcut("U0ADA", ShortcutAddAction)
		if out := e.submit("U0ADA", map[string]any{"kind": "process", "owner": "U0BEN", "due": "2027-01-01"}); len(out.Errors) > 0 {
			t.Fatalf("got %+v", out)
		}
		if inc := e.incident42(); len(inc.Actions) != 1 || inc.Actions[0].Title != "the log of @Ada Byron" || !inc.Keeps(messageRef(e.channel, m.TS), incident.KeptAsAction) {
			t.Errorf("got actions %+v", inc.Actions)
		}
	})
}

// TestEvidence_NoticesLaterChanges edits and deletes messages and files that are evidence,
// and others. Events are delivered three times.
func TestEvidence_NoticesLaterChanges(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.ws.DuplicateEvents(2)
		ben := e.ws.Act("U0BEN")
		other := e.post("U0BEN", "not evidence")
		m, err := ben.Upload(e.channel, "auth.log", []byte("before"), "as I saw it", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.ws.Act("U0ADA").MessageShortcut(ShortcutAddEvidence, e.channel, m.TS); err != nil {
			t.Fatal(err)
		}
		e.settle()
		file := e.incident42().Evidence[1].Ref
		sum := sha256.Sum256([]byte("before"))
		e.desk.change(func(i *incident.Incident) { i.Evidence[1].SHA256 = hex.EncodeToString(sum[:]) })
		step := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			e.settle()
			e.advance(time.Minute)
		}
		how := func(n int) (out []string) {
			for _, c := range e.incident42().Evidence[n].Changes {
				out = append(out, c.How)
			}
			return out
		}
		step(ben.EditMessage(e.channel, other, "edited"))
		step(ben.DeleteMessage(e.channel, other))
		step(e.ws.Act("U0ADA").React(e.channel, m.TS, "eyes"))
		if len(how(0))+len(how(1)) > 0 {
			t.Errorf("nothing changed: got %v and %v", how(0), how(1))
		}
		step(ben.EditMessage(e.channel, m.TS, "as I want it to be"))
		if got := e.desk.last(); fmt.Sprint(how(0)) != "[edited]" || got.Text != "as I want it to be" || got.Person != "p2" {
			t.Errorf("edited: got %v by %+v", how(0), got)
		}
		step(ben.EditFile(file, "auth.log", []byte("before"))) // only the title
		if len(how(1)) != 0 {
			t.Errorf("same bytes: got %v", how(1))
		}
		step(ben.EditFile(file, "auth.log", []byte("after")))
		if fmt.Sprint(how(1)) != "[edited]" {
			t.Errorf("other bytes: got %v", how(1))
		}
		step(ben.DeleteFile(file))
		if got := how(1); got[len(got)-1] != incident.EvidenceDeleted || len(got) != 2 {
			t.Errorf("deleted file: got %v", got)
		}
		if _, _, reason, err := e.slack.HashFile(t.Context(), file); err != nil || !strings.Contains(reason, "deleted") {
			t.Errorf("deleted file: got %q, %v", reason, err)
		}
		if err := ben.DeleteMessage(e.channel, m.TS); err == nil {
			step(nil)
		}
		if got := how(0); got[len(got)-1] != incident.EvidenceDeleted {
			t.Errorf("deleted message: got %v", got)
		}
	})
}
