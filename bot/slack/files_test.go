package slack

import (
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

func TestPostOnceWhateverHappensToTheAnswer(t *testing.T) {
	eachFault(t, "chat.postMessage", func(f *outboundTest) {
		b := f.openChannel()
		f.failThenRetry(f.slack.Post, b)
		said := f.botMessages(b.Incident.Links[incident.LinkChannel])
		if len(said) != 1 || !strings.Contains(string(said[0].Blocks), "the key is disabled") {
			f.Fatalf("said %+v, want the note once", said)
		}
		if m := said[0].Metadata; m == nil || m.EventType != "tocsin_event" || string(m.EventPayload) != `{"incident":"INC-42","key":"mark-1","seq":7}` {
			f.Fatalf("metadata %+v", m)
		}
	})
}

func TestPostIsNotTakenForAnotherOne(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.must(f.slack.Post, b)
	b.Mark, b.Attempt = "mark-2", 2
	f.must(f.slack.Post, b)
	if n := len(f.botMessages(b.Incident.Links[incident.LinkChannel])); n != 2 {
		t.Fatalf("%d messages, want two", n)
	}
}

func TestPostFindsItsMessageBehindHundredsOfOthers(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	f.must(f.slack.Post, b)
	for range 450 {
		if _, _, err := f.slack.client.PostMessage(b.Incident.Links[incident.LinkChannel], message{text: "x"}.options(metadata(b, "other"))...); err != nil {
			t.Fatal(err)
		}
	}
	b.Attempt = 2
	f.must(f.slack.Post, b)
	if n := len(f.botMessages(b.Incident.Links[incident.LinkChannel])); n != 451 {
		t.Fatalf("%d messages, want no second one", n)
	}
}

func TestCardIsPostedPinnedAndBookmarkedOnce(t *testing.T) {
	for _, method := range []string{"chat.postMessage", "pins.add", "bookmarks.add", "conversations.history", "bookmarks.list"} {
		eachFault(t, method, func(f *outboundTest) {
			b := f.openChannel()
			cmd := f.failThenRetry(f.slack.Card, b)
			channel := b.Incident.Links[incident.LinkChannel]
			said, pins, marks := f.botMessages(channel), f.ws.Pins(channel), f.ws.Bookmarks(channel)
			if len(said) != 1 || len(pins) != 1 || len(marks) != 1 {
				f.Fatalf("%d cards, %d pins, %d bookmarks, want one of each", len(said), len(pins), len(marks))
			}
			if cmd.Links[incident.LinkCard] != said[0].TS || cmd.Links[incident.LinkBookmark] != marks[0].ID || marks[0].Link != b.Incident.Alerts[0].URL {
				f.Fatalf("command %+v, bookmark %+v", cmd, marks[0])
			}
		})
	}
}

func TestCardIsEdited(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	channel := b.Incident.Links[incident.LinkChannel]
	for name, v := range f.must(f.slack.Card, b).Links {
		b.Incident.Links[name] = v
	}
	b.Incident.Status, b.Incident.Commander, b.Incident.Paging.AcknowledgedBy = incident.Active, "p2", "p2"
	if cmd := f.must(f.slack.Card, b); cmd.Verb != "" {
		t.Fatalf("an edit reports %+v", cmd)
	}
	said := f.botMessages(channel)
	if len(said) != 1 || said[0].Edited == "" || !strings.Contains(string(said[0].Blocks), "U0BEN") || strings.Contains(string(said[0].Blocks), "Acknowledge") {
		t.Fatalf("said %+v, want one card that names Ben", said)
	}
	if _, _, err := f.slack.client.DeleteMessage(channel, said[0].TS); err != nil {
		t.Fatal(err)
	}
	cmd := f.must(f.slack.Card, b)
	if said := f.botMessages(channel); len(said) != 1 || cmd.Links[incident.LinkCard] != said[0].TS {
		t.Fatalf("after somebody deleted the card: %+v, said %+v", cmd, said)
	}
}

func TestCardDoesWithoutPinAndBookmark(t *testing.T) {
	f := newOutboundTest(t, func(c *chat.Config) { c.Scopes = strings.Fields("chat:write groups:write groups:history groups:read") })
	b := f.openChannel()
	cmd := f.must(f.slack.Card, b)
	if cmd.Links[incident.LinkCard] == "" || cmd.Links[incident.LinkBookmark] != noBookmark {
		t.Fatalf("command %+v", cmd)
	}
}

func TestUploadSharesOnceWhateverHappensToTheAnswer(t *testing.T) {
	for _, method := range []string{"files.getUploadURLExternal", "upload_url", "files.completeUploadExternal", "files.info", "chat.postMessage"} {
		eachFault(t, method, func(f *outboundTest) {
			b := f.openChannel()
			b.Document = &incident.Document{Revision: 1, Digest: "sha256:abc", Markdown: "# INC-42", HTML: "<h1>INC-42</h1>"}
			cmd := f.failThenRetry(f.slack.Upload, b)
			said := f.botMessages(b.Incident.Links[incident.LinkChannel])
			if len(said) != 1 || len(said[0].Files) != 2 {
				f.Fatalf("said %+v, want one message with two files", said)
			}
			if cmd.Verb != incident.VerbPostmortemShared || cmd.Revision != 1 || cmd.Item != said[0].Files[0].ID {
				f.Fatalf("command %+v, files %+v", cmd, said[0].Files)
			}
			content, _ := f.ws.FileContent(said[0].Files[1].ID)
			if said[0].Files[0].Name != "inc-42-postmortem-r1.md" || string(content) != "<h1>INC-42</h1>" {
				f.Fatalf("shared %+v, the second with %q", said[0].Files, content)
			}
			shared := 0
			for _, file := range f.ws.Files() {
				if len(file.Shares) > 0 {
					shared++
				}
			}
			if shared != 2 {
				f.Fatalf("%d files are shared, want two", shared)
			}
		})
	}
}

func TestUploadWithoutADocumentIsGivenUp(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	if _, err := f.slack.Upload(f.ctx, b, effect); !isPermanent(err) {
		t.Fatalf("got %v", err)
	}
}
