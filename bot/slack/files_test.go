package slack

import (
	"strings"
	"testing"
	"time"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
)

func TestPost_PostsOnceAfterFault(t *testing.T) {
	eachFault(t, "chat.postMessage", func(f *outboundTest) {
		b := f.openChannel()
		f.failThenRetry(f.effects.Post, b)
		posted := f.botMessages(b.Incident.Links[incident.LinkChannel])
		if len(posted) != 1 || !strings.Contains(string(posted[0].Blocks), "the key is disabled") {
			f.Fatalf("got messages %+v, want the note once", posted)
		}
		if m := posted[0].Metadata; m == nil || m.EventType != "tocsin_event" || string(m.EventPayload) != `{"incident":"INC-42","key":"mark-1","seq":7}` {
			f.Fatalf("got metadata %+v", m)
		}
	})
}

func TestPost_DifferentMarksPostTwice(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.must(f.effects.Post, b)
	b.Mark, b.Attempt = "mark-2", 2
	f.must(f.effects.Post, b)
	if n := len(f.botMessages(b.Incident.Links[incident.LinkChannel])); n != 2 {
		t.Fatalf("got %d messages, want 2", n)
	}
}

func TestPost_FindsOldMessage(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.must(f.effects.Post, b)
	for range 450 {
		if _, err := f.slack.Post(f.ctx, b.Incident.Links[incident.LinkChannel], neutral.Message{}, neutral.Mark{Key: "other"}); err != nil {
			t.Fatal(err)
		}
	}
	b.Attempt = 2
	f.must(f.effects.Post, b)
	if n := len(f.botMessages(b.Incident.Links[incident.LinkChannel])); n != 451 {
		t.Fatalf("got %d messages, want 451", n)
	}
}

func TestPost_RepliesInThread(t *testing.T) {
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	say := func(format string) []neutral.Block {
		return []neutral.Block{neutral.Paragraph{Text: incident.Sentence{Format: format}}}
	}
	parent, err := f.slack.Post(f.ctx, channel, neutral.Message{Blocks: say("parent")}, neutral.Mark{Key: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for key, files := range map[string][]incident.File{"b": nil, "c": {{Name: "a.md", Title: "a", Content: "text"}}} {
		posted, err := f.slack.Post(f.ctx, channel, neutral.Message{Thread: parent.ID, Blocks: say("reply"), Files: files}, neutral.Mark{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		for thread, want := range map[string]bool{parent.ID: true, "": false} {
			if found, ok, err := f.slack.Find(f.ctx, channel, thread, key, noon); err != nil || ok != want || ok && found.ID != posted.ID {
				t.Errorf("find %s in thread %q: got %+v, %v, %v, want %v", key, thread, found, ok, err, want)
			}
		}
	}
	if messages := f.ws.Thread(channel, parent.ID); len(messages) != 3 {
		t.Errorf("got thread %+v, want the parent and 2 replies", messages)
	}
}

// TestPost_BroadcastsReply posts a reply that the channel shows too. It is found in both
// places, and an edit changes it in both.
func TestPost_BroadcastsReply(t *testing.T) {
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	say := func(format string) []neutral.Block {
		return []neutral.Block{neutral.Paragraph{Text: incident.Sentence{Format: format}}}
	}
	post := func(m neutral.Message, key string) neutral.Posted {
		t.Helper()
		posted, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return posted
	}
	root := post(neutral.Message{Blocks: say("root")}, "root")
	reply := neutral.Message{Thread: root.ID, Broadcast: true, Blocks: say("reply")}
	posted := post(reply, "reply")
	shared := post(neutral.Message{Thread: root.ID, Broadcast: true, Blocks: say("with a file"), Files: []incident.File{{Name: "a.md", Title: "a", Content: "text"}}}, "file")
	for key, want := range map[string]string{"reply": posted.ID, "file": shared.ID} {
		for _, thread := range []string{root.ID, ""} {
			if found, ok, err := f.slack.Find(f.ctx, channel, thread, key, noon); err != nil || !ok || found.ID != want {
				t.Errorf("find %s in thread %q: got %+v, %v, %v, want the message %s", key, thread, found, ok, err, want)
			}
		}
	}
	reply.Blocks = say("edited")
	if err := f.slack.Update(f.ctx, channel, posted.ID, reply, neutral.Mark{Key: "reply"}); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.ws.Thread(channel, root.ID)[1:] {
		if !m.Broadcast || m.TS == posted.ID && m.Text != "edited" {
			t.Errorf("got reply %+v, want it in the thread and in the channel, with the edit", m)
		}
	}
}

func TestCard_PostsPinsAndBookmarksOnce(t *testing.T) {
	for _, method := range []string{"chat.postMessage", "pins.add", "bookmarks.add", "conversations.history", "bookmarks.list"} {
		eachFault(t, method, func(f *outboundTest) {
			b := f.openChannel()
			cmd := f.failThenRetry(f.effects.Card, b)
			channel := b.Incident.Links[incident.LinkChannel]
			posted, pins, marks := f.botMessages(channel), f.ws.Pins(channel), f.ws.Bookmarks(channel)
			if len(posted) != 1 || len(pins) != 1 || len(marks) != 1 {
				f.Fatalf("got %d cards, %d pins and %d bookmarks, want 1 of each", len(posted), len(pins), len(marks))
			}
			if cmd.Links[incident.LinkCall] != "" {
				f.Fatalf("got command %+v, want no bookmark without a call", cmd)
			}
			if cmd.Links[incident.LinkCard] != posted[0].TS || cmd.Links[incident.LinkBookmark] != marks[0].ID || marks[0].Link != b.Incident.Alerts[0].URL {
				f.Fatalf("got command %+v and bookmark %+v, want links to the card and the bookmark of the alert", cmd, marks[0])
			}
		})
	}
}

// TestCard_BookmarksTheCall adds one bookmark for the call, and none for an address that is
// not a page.
func TestCard_BookmarksTheCall(t *testing.T) {
	for call, want := range map[string]int{"https://meet.example.com/INC-42": 2, "javascript:alert(1)": 1, "": 1} {
		t.Run(call, func(t *testing.T) {
			f := newOutboundTest(t)
			b := f.openChannel()
			b.Page.Links.Call = call
			for range 2 {
				for name, v := range f.must(f.effects.Card, b).Links {
					b.Incident.Links[name] = v
				}
				b.Now = b.Now.Add(3 * time.Second)
			}
			marks := f.ws.Bookmarks(b.Incident.Links[incident.LinkChannel])
			if len(marks) != want || want == 2 && (marks[0].Link != call || marks[0].Title != "Join call") {
				t.Errorf("got bookmarks %+v, want %d", marks, want)
			}
			if got := strings.Contains(string(f.botMessages(b.Incident.Links[incident.LinkChannel])[0].Blocks), "Join call"); got != (want == 2) {
				t.Errorf("got the button %v, want %v", got, want == 2)
			}
		})
	}
}

func TestCard_EditsAndReplaces(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	channel := b.Incident.Links[incident.LinkChannel]
	for name, v := range f.must(f.effects.Card, b).Links {
		b.Incident.Links[name] = v
	}
	b.Incident.Status, b.Incident.Commander, b.Incident.Paging.AcknowledgedBy = incident.Active, "p2", "p2"
	if cmd := f.must(f.effects.Card, b); cmd.Verb != "" {
		t.Fatalf("got command %+v from an edit, want none", cmd)
	}
	posted := f.botMessages(channel)
	if len(posted) != 1 || posted[0].Edited == "" || !strings.Contains(string(posted[0].Blocks), "Ben commands") || strings.Contains(string(posted[0].Blocks), "Acknowledge") {
		t.Fatalf("got messages %+v, want one card that names Ben", posted)
	}
	if _, _, err := f.slack.client.DeleteMessage(channel, posted[0].TS); err != nil {
		t.Fatal(err)
	}
	b.Now = b.Now.Add(3 * time.Second) // a card is edited every 3 seconds
	cmd := f.must(f.effects.Card, b)
	if posted := f.botMessages(channel); len(posted) != 1 || cmd.Links[incident.LinkCard] != posted[0].TS {
		t.Fatalf("after the card was deleted: got command %+v and messages %+v, want a new card", cmd, posted)
	}
}

func TestCard_WithoutScopesForPinAndBookmark(t *testing.T) {
	f := newOutboundTest(t, func(c *chat.Config) { c.Answers = answer.NewSet() })
	answers := f.ws.Config().Answers
	for method, scope := range map[string]string{"pins.add": "pins:write", "bookmarks.list": "bookmarks:read"} {
		answers.Put(answer.Answer{Method: method, Body: answer.Text(`{"ok":false,"error":"missing_scope","needed":"` + scope + `"}`)})
	}
	b := f.openChannel()
	cmd, err := f.effects.Card(f.ctx, b, effect)
	if cmd.Links[incident.LinkCard] == "" || cmd.Links[incident.LinkBookmark] != "" || !isBlocked(err) || !strings.Contains(err.Error(), "pins:write") {
		t.Fatalf("got command %+v, error %v, want a card that waits for the scopes", cmd, err)
	}
	answers.Clear()
	b.Incident.Links[incident.LinkCard], b.Attempt, b.Now = cmd.Links[incident.LinkCard], 2, b.Now.Add(time.Minute)
	cmd = f.must(f.effects.Card, b)
	channel := b.Incident.Links[incident.LinkChannel]
	pins, _, err := f.slack.client.ListPinsContext(f.ctx, channel)
	if cmd.Links[incident.LinkBookmark] == "" || err != nil || len(pins) != 1 || len(f.botMessages(channel)) != 1 {
		t.Fatalf("after the scopes were added: got command %+v, %d pins, %v, want one card with a pin and a bookmark", cmd, len(pins), err)
	}
}

func TestUpload_SharesOnceAfterFault(t *testing.T) {
	for _, method := range []string{"files.getUploadURLExternal", "upload_url", "files.completeUploadExternal", "files.info", "chat.postMessage"} {
		eachFault(t, method, func(f *outboundTest) {
			b := f.openChannel()
			b.Document = &incident.Document{Revision: 1, Digest: "sha256:abc", Files: []incident.File{
				{Name: "INC-42-postmortem-r1.md", MediaType: "text/markdown", Content: "# INC-42"}, {Name: "INC-42-postmortem-r1.html", MediaType: "text/html", Content: "<h1>INC-42</h1>"}}}
			cmd := f.failThenRetry(f.effects.Upload, b)
			posted := f.botMessages(b.Incident.Links[incident.LinkChannel])
			if len(posted) != 1 || len(posted[0].Files) != 2 {
				f.Fatalf("got messages %+v, want one message with two files", posted)
			}
			if cmd.Verb != incident.VerbPostmortemShared || cmd.Revision != 1 || cmd.Item != posted[0].Files[0].ID {
				f.Fatalf("got command %+v for files %+v", cmd, posted[0].Files)
			}
			content, _ := f.ws.FileContent(posted[0].Files[1].ID)
			if posted[0].Files[0].Name != "inc-42-postmortem-r1.md" || string(content) != "<h1>INC-42</h1>" {
				f.Fatalf("got files %+v, the second with content %q", posted[0].Files, content)
			}
			shared := 0
			for _, file := range f.ws.Files() {
				if len(file.Shares) > 0 {
					shared++
				}
			}
			if shared != 2 {
				f.Fatalf("got %d shared files, want 2", shared)
			}
		})
	}
}

func TestUpload_WithoutDocumentIsPermanentError(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	if _, err := f.effects.Upload(f.ctx, b, effect); !isPermanent(err) {
		t.Fatalf("got error %v, want a permanent error", err)
	}
}
