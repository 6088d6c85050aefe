package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
)

// TestMessages_OfApps posts as another app, which takes the name of a person, and echoes the
// posts of Tocsin. An app gives no commands and is not here. Its message can be used, and
// the timeline says that an app wrote it.
func TestMessages_OfApps(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.ws.DuplicateEvents(2)
		self, err := e.slack.Self(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var forged chat.Message
		for _, text := range []string{"contain it", "<@" + self + "> contain it", "<@" + self + ">"} {
			if forged, err = e.ws.PostAsApp(e.channel, "Ben Ash", text); err != nil {
				t.Fatal(err)
			}
		}
		e.settle()
		if n := e.desk.count(); n != 0 {
			t.Fatalf("got %d commands from an app, want none: %+v", n, e.desk.last())
		}
		for as, act := range map[incident.KeptAs]func() error{
			incident.KeptAsNote:     func() error { return e.ws.Act("U0ADA").React(e.channel, forged.TS, "pushpin") },
			incident.KeptAsAction:   func() error { return e.ws.Act("U0ADA").React(e.channel, forged.TS, "white_check_mark") },
			incident.KeptAsEvidence: func() error { return e.ws.Act("U0ADA").MessageShortcut(ShortcutAddEvidence, e.channel, forged.TS) },
		} {
			if err := act(); err != nil {
				t.Fatal(err)
			}
			e.settle()
			if m := e.desk.last().Message; m == nil || m.Author != "" || m.AuthorName != "the app Ben Ash" {
				t.Errorf("%s: got %+v, want the author to be an app", as, m)
			}
			if !e.incident42().Keeps(messageRef(e.channel, forged.TS), as) {
				t.Errorf("%s: the message was not kept", as)
			}
		}
		before := e.desk.count()
		own, err := e.slack.Post(t.Context(), e.channel, neutral.Message{Blocks: []neutral.Block{neutral.Paragraph{Text: neutral.Text{Format: "contain it"}}}}, neutral.Mark{Key: "own"})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.ws.Act("U0ADA").React(e.channel, own.ID, "pushpin"); err != nil {
			t.Fatal(err)
		}
		e.settle()
		if got := string(e.lastEphemeral("U0ADA").Blocks); e.desk.count() != before || !strings.Contains(got, "This message is from Tocsin") {
			t.Errorf("own message: got %d commands and %s", e.desk.count()-before, got)
		}
	})
}

// TestEvidence_ChangedMeanwhile edits and deletes a message while it becomes evidence. The
// events arrive first, and find no evidence.
func TestEvidence_ChangedMeanwhile(t *testing.T) {
	for how, change := range map[string]func(*inboundTest, string) error{
		incident.EvidenceEdited: func(e *inboundTest, ts string) error {
			return e.ws.Act("U0BEN").EditMessage(e.channel, ts, "nothing to see")
		},
		incident.EvidenceDeleted: func(e *inboundTest, ts string) error { return e.ws.Act("U0BEN").DeleteMessage(e.channel, ts) },
	} {
		t.Run(how, func(t *testing.T) {
			bothModes(t, func(t *testing.T, e *inboundTest) {
				ts := e.post("U0BEN", "the key is in the log")
				e.advance(time.Minute)
				var once sync.Once
				e.desk.beforeDo = func(context.Context) error {
					once.Do(func() {
						handled := make(chan struct{}, 8)
						e.desk.onLookup = func() { handled <- struct{}{} }
						if err := change(e, ts); err != nil {
							t.Error(err)
						}
						<-handled
					})
					return nil
				}
				if err := e.ws.Act("U0ADA").MessageShortcut(ShortcutAddEvidence, e.channel, ts); err != nil {
					t.Fatal(err)
				}
				e.settle()
				kept := e.incident42().Evidence
				if len(kept) != 1 || len(kept[0].Changes) != 1 || kept[0].Changes[0].How != how {
					t.Fatalf("got %+v, want one change: %s", kept, how)
				}
			})
		})
	}
}

// TestHashFile_Downloads downloads files that Slack describes or sends wrongly.
func TestHashFile_Downloads(t *testing.T) {
	content := []byte(strings.Repeat("10.0.0.1 root login\n", 100))
	sum := sha256.Sum256(content)
	for name, test := range map[string]struct {
		size   int           // that Slack reports, 0 for the true one
		answer answer.Answer // to the download
		reason string
		again  bool // whether a later download can succeed
	}{
		"complete":            {},
		"1 GB":                {size: 1 << 30, reason: "larger than 256 MiB"},
		"ends early":          {answer: answer.Answer{Body: "10.0.0.1", Header: map[string]string{"Content-Length": strconv.Itoa(len(content))}}, reason: "ended after 8 of 2000 bytes", again: true},
		"shorter than said":   {size: len(content) + 1, reason: "ended after 2000 of 2001 bytes", again: true},
		"longer than said":    {size: 10, reason: "longer than the 10 bytes", again: true},
		"refused":             {answer: answer.Answer{Status: 500, Body: "<html>"}, again: true},
		"nothing":             {answer: answer.Answer{Body: ""}, reason: "ended after 0 of 2000 bytes", again: true},
		"an endless download": {size: 64, answer: answer.Answer{Body: answer.Text(strings.Repeat("x", 8<<20))}, reason: "longer than the 64 bytes", again: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newInboundTest(t, chat.ModeHTTP)
			m, err := e.ws.Act("U0BEN").Upload(e.channel, "auth.log", content, "the log", "")
			if err != nil {
				t.Fatal(err)
			}
			file := m.Files[0].ID
			if test.size > 0 {
				e.answers.Put(answer.Answer{Method: "files.info", Body: answer.Text(fmt.Sprintf(`{"ok":true,"file":{"id":%q,"size":%d,"url_private_download":"%s/files/%s/auth.log"}}`, file, test.size, e.ws.BaseURL(), file))})
			}
			if test.answer.Body != "" || test.answer.Status != 0 || name == "nothing" {
				test.answer.Method = "url_private"
				e.answers.Put(test.answer)
			}
			got, size, reason, err := e.slack.HashFile(t.Context(), file)
			if (err != nil) != test.again || !strings.Contains(reason, test.reason) || (reason == "") != (test.reason == "") {
				t.Errorf("got %q, %v, want %q", reason, err, test.reason)
			}
			if want := hex.EncodeToString(sum[:]); test.reason == "" && !test.again && (got != want || size != int64(len(content))) || test.reason != "" && got != "" {
				t.Errorf("got hash %q of %d bytes", got, size)
			}
		})
	}
}
