package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/story"
)

// TestDemo_Stories plays the incidents of 20 seeds, up to six at a time, each with a
// separate bot and sandbox. It compares the transcript, the database and the logs of
// the sandbox. With -short, it plays four, for runs with the race detector.
func TestDemo_Stories(t *testing.T) {
	seeds, parallel := 20, 6
	if testing.Short() {
		seeds, parallel = 4, 2
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		seen  = map[string]int{}
		slots = make(chan struct{}, parallel)
	)
	for seed := range uint64(seeds) {
		root := t.TempDir()
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			s := &storyCheck{seed: seed, dir: root}
			if err := s.run(t.Context()); err != nil {
				s.errorf("%v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, f := range s.errors {
				t.Errorf("seed %d: %s", seed, f)
			}
			for _, variant := range []string{s.result.Source, "acked by " + s.result.AckedBy, "objection of " + s.result.Objecting, "for " + s.result.Audience,
				s.result.Severity, fmt.Sprintf("http %t", s.result.HTTP), fmt.Sprintf("%d rounds", s.result.Rounds)} {
				seen[variant]++
			}
		})
	}
	wg.Wait()
	if testing.Short() {
		return
	}
	for _, variant := range []string{"Sentry: data leak", "CloudTrail: access key", "CloudTrail: audit trail stopped", "acked by pagerduty", "acked by button", "acked by command",
		"objection of engineering", "objection of security", "objection of legal", "objection of communications", "for all", "for responders", "for legal_and_security",
		"http true", "http false", "1 rounds", "2 rounds"} {
		if seen[variant] == 0 {
			t.Errorf("got no story of %d seeds with %s (%v)", seeds, variant, seen)
		}
	}
}

// storyCheck compares the results of one seed's story and collects the differences.
type storyCheck struct {
	seed       uint64
	dir        string
	demo       *demo
	result     story.Result
	view       incident.View
	transcript []transcriptEntry
	errors     []string
}

func (s *storyCheck) errorf(format string, args ...any) {
	s.errors = append(s.errors, fmt.Sprintf(format, args...))
}

func (s *storyCheck) run(ctx context.Context) (err error) {
	o := demoOptions{Dir: s.dir, Seed: s.seed, HTTP: story.OverHTTP(s.seed), Limits: chat.Limits{Off: true}, Logger: slog.New(slog.DiscardHandler)}
	if s.demo, err = startDemo(ctx, o); err != nil {
		return err
	}
	defer func() {
		if closed := s.demo.Close(); err == nil {
			err = closed
		}
	}()
	if s.result, err = s.demo.playStory(ctx, o, io.Discard, s.dir, time.Minute); err != nil {
		return err
	}
	id, err := incident.ParseID(s.result.Incident)
	if err != nil {
		return err
	}
	if s.view, err = s.demo.Bot.Desk().Show(ctx, incident.System, id, "test"); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "transcript.md"))
	if err != nil {
		return err
	}
	s.transcript = parseTranscript(string(text))
	s.checkDatabase(ctx)
	s.checkSlack()
	s.checkBudget()
	s.checkOpening()
	s.checkPagerDuty()
	s.checkMail()
	s.checkPostmortem()
	s.checkOutdated(ctx)
	return nil
}

// transcriptEntry is the headline of an entry in the transcript, with its position in
// the sandbox's log.
type transcriptEntry struct{ head, position string }

var entryHead = regexp.MustCompile("(?m)^\\*\\*\\d\\d:\\d\\d:\\d\\d\\*\\* (.*?)(?: `([^`\\n]+)`)?$")

func parseTranscript(transcript string) []transcriptEntry {
	var out []transcriptEntry
	for _, m := range entryHead.FindAllStringSubmatch(transcript, -1) {
		out = append(out, transcriptEntry{m[1], m[2]})
	}
	return out
}

// positions returns the log positions of the transcript's entries that match.
func (s *storyCheck) positions(matches func(head string) bool) []string {
	var out []string
	for _, l := range s.transcript {
		if matches(l.head) {
			out = append(out, l.position)
		}
	}
	return out
}

// compareLists compares positions in the transcript and in the sandbox's log,
// regardless of order. It sorts both lists.
func (s *storyCheck) compareLists(what string, transcript, logged []string) {
	slices.Sort(transcript)
	slices.Sort(logged)
	if !slices.Equal(transcript, logged) {
		s.errorf("%s: the transcript has %d, the sandbox's log has %d\ntranscript %v\nlog        %v", what, len(transcript), len(logged), transcript, logged)
	}
}

// compareCalls is [storyCheck.compareLists] for calls. The transcript may lack calls since
// the last act, because the bot still acts when it is written.
func (s *storyCheck) compareCalls(what string, transcript []string, calls []chat.Call) {
	left := map[string]int{}
	for _, at := range transcript {
		left[at]++
	}
	var logged []string
	for _, c := range calls {
		at := c.Result["channel"] + "/" + c.Result["ts"]
		if left[at] == 0 && c.Time.After(s.result.EndAt) {
			continue
		}
		left[at]--
		logged = append(logged, at)
	}
	s.compareLists(what, transcript, logged)
}

// checkDatabase compares the stored incident with the result of the story.
func (s *storyCheck) checkDatabase(ctx context.Context) {
	inc := s.view.Incident
	if inc.Status != incident.Closed || string(inc.Severity) != s.result.Severity || string(inc.Record.Audience) != s.result.Audience {
		s.errorf("got status %s, severity %s and audience %s, want closed, %s and %s", inc.Status, inc.Severity, inc.Record.Audience, s.result.Severity, s.result.Audience)
	}
	if inc.Submission == nil || inc.Submission.Digest != s.result.Digest || inc.Submission.Document.Digest() != s.result.Digest {
		s.errorf("got submission %+v, want digest %s", inc.Submission, s.result.Digest)
	}
	for _, d := range incident.RequiredDepartments() {
		sig := inc.SignedBy(d)
		signer, ok := s.view.Directory.Resolve(incident.Identity{Provider: incident.ProviderSlack, ID: s.result.Signers[string(d)]})
		if sig == nil || !ok || sig.By != signer.ID {
			s.errorf("%s: got signature %+v, want signer %s", d, sig, s.result.Signers[string(d)])
		}
	}
	if len(inc.Objections) != 1 || string(inc.Objections[0].Department) != s.result.Objecting || inc.Objections[0].How != "amended" || inc.Objections[0].Digest != s.result.Stale {
		s.errorf("got objections %+v, want one amended of %s", inc.Objections, s.result.Objecting)
	}
	if len(inc.Postmortems) != 1 || !inc.Postmortems[0].Shared || inc.Postmortems[0].FileID != s.result.Files["postmortem.md"] {
		s.errorf("got postmortems %+v, want one with a file of %v", inc.Postmortems, s.result.Files)
	}
	steps := map[string]string{}
	for _, run := range inc.Runs {
		for _, step := range run.Plan {
			if step.Started.IsZero() {
				continue
			}
			if !step.Finished() {
				s.errorf("step %s/%s: got %s, want done or skipped", run.Playbook, step.ID, step.Status)
			}
			if step.Action == "" {
				steps[run.Playbook+"/"+step.ID] = string(step.Status)
			}
		}
	}
	if fmt.Sprint(steps) != fmt.Sprint(s.result.Steps) {
		s.errorf("got steps %v\nwant %v", steps, s.result.Steps)
	}
	count := int64(0)
	for _, a := range s.view.Alerts {
		count += a.Count
	}
	if count != int64(s.result.Alerts) || len(s.view.Alerts) != 2 {
		s.errorf("got count %d in %d alerts, want %d in 2", count, len(s.view.Alerts), s.result.Alerts)
	}
	if v, err := s.demo.Bot.Store().Verify(ctx); err != nil || len(v.Problems) > 0 || v.Events != len(s.view.Timeline) {
		s.errorf("verify: got %+v, %v, want %d events", v, err, len(s.view.Timeline))
	}
	if b, err := s.demo.Bot.Store().Backlog(ctx); err != nil || b.Inbox > 0 {
		s.errorf("got backlog %+v, %v, want an empty inbox", b, err)
	}
	for _, e := range s.view.Timeline {
		if e.Kind == incident.EventEffectFailed || e.Kind == incident.EventPageFailed {
			s.errorf("%s: %s %s", e.Kind, e.Field("effect"), e.Text("reason"))
		}
	}
}

// postedKinds are the kinds of events that have one message, in the channel or in a thread.
var postedKinds = []incident.EventKind{incident.EventAlertAttached, incident.EventAlertCounted, incident.EventAcknowledged, incident.EventSeveritySet, incident.EventSeverityProposed,
	incident.EventNoted, incident.EventEvidence, incident.EventUpdated, incident.EventContained, incident.EventResolved,
	incident.EventSubmitted, incident.EventAmended, incident.EventObjected, incident.EventApproved,
	incident.EventAnswered, incident.EventActionAdded, incident.EventReviewScheduled, incident.EventClosed}

// The budget of a calm incident.
const (
	maxLines     = 35 // in the channel, of the bot and of Slack, with each join
	maxBeforeAct = 4  // posts of the bot in the channel before a person acts
	maxReplies   = 60 // in threads
	maxCommander = 12 // notifications of the commander
	maxOthers    = 6  // notifications of anybody else
)

// checkBudget checks that the incident was calm, and that the counts are those of the
// workspace.
func (s *storyCheck) checkBudget() {
	c := s.result.Counts
	for _, b := range []struct {
		what     string
		got, max int
	}{{"lines in the channel", c.Lines, maxLines}, {"posts before a person acted", c.BeforeAct, maxBeforeAct}, {"replies in threads", c.Replies, maxReplies},
		{"notifications of the commander", c.Commander, maxCommander}, {"notifications of " + c.MostCalled, c.Others, maxOthers}} {
		if b.got > b.max || b.got == 0 {
			s.errorf("got %d %s, want 1 to %d (%s)", b.got, b.what, b.max, c)
		}
	}
	replies := s.positions(func(h string) bool {
		return strings.HasSuffix(h, "· **tocsin**") && strings.HasPrefix(h, "#"+strings.ToLower(s.result.Incident)+" (thread)")
	})
	if len(replies) < c.Replies {
		s.errorf("got %d replies in the transcript, want %d", len(replies), c.Replies)
	}
}

// checkOpening checks the order of the first messages in the channel: the card, the alert
// and the checklist with the first steps.
func (s *storyCheck) checkOpening() {
	inc := s.view.Incident
	channel := inc.Links[incident.LinkChannel]
	var first []string
	for _, m := range s.demo.Company.Chat.Messages(channel) {
		if m.Subtype == "" && len(first) < 3 {
			first = append(first, m.TS)
		}
	}
	if want := []string{inc.Links[incident.LinkCard], inc.Links[incident.LinkAlerts], inc.Links[incident.LinkChecklist]}; !slices.Equal(first, want) {
		s.errorf("got first messages %v, want the card, the alert and the checklist %v", first, want)
	}
}

// checkSlack compares the log of Slack with the transcript and the timeline.
func (s *storyCheck) checkSlack() {
	ws := s.demo.Company.Chat
	var posted, edited []chat.Call
	var ephemeral []string
	messages := map[string]int{}
	posts := map[int]int{} // messages in the channel by event number
	for _, c := range ws.Calls() {
		switch {
		case !c.Landed:
		case c.Method == "chat.postMessage":
			posted = append(posted, c)
		case c.Method == "chat.update":
			edited = append(edited, c)
		}
	}
	for _, ch := range ws.Channels("") {
		var list []chat.Message
		for _, m := range ws.Messages(ch.ID) {
			if !m.Broadcast { // which is also in its thread
				list = append(list, ws.Thread(ch.ID, m.TS)...)
			}
		}
		for _, m := range list {
			if m.Metadata == nil {
				continue
			}
			var metadata struct {
				Key string `json:"key"`
			}
			if err := json.Unmarshal(m.Metadata.EventPayload, &metadata); err != nil {
				s.errorf("metadata: %v", err)
			}
			key := metadata.Key
			if messages[key]++; messages[key] > 1 {
				s.errorf("message %s: got %d, want 1", key, messages[key])
			}
			var seq int
			if n, _ := fmt.Sscanf(key, s.result.Incident+"/%d/post", &seq); n == 1 && strings.HasSuffix(key, "/post") {
				posts[seq]++
			}
		}
	}
	for _, p := range s.demo.Company.People {
		for _, m := range ws.Ephemerals(p.ID) {
			ephemeral = append(ephemeral, m.Channel+"/"+m.TS)
		}
	}
	s.compareCalls("messages", s.positions(func(h string) bool { return strings.HasSuffix(h, "· **tocsin**") }), posted)
	s.compareCalls("edits", s.positions(func(h string) bool { return strings.HasSuffix(h, "**tocsin** edited a message") }), edited)
	s.compareLists("ephemeral messages", s.positions(func(h string) bool { return strings.Contains(h, "only visible to") }), ephemeral)
	for _, e := range s.view.Timeline {
		if slices.Contains(postedKinds, e.Kind) && posts[e.Seq] != 1 {
			s.errorf("event %d, %s: got %d messages in the channel and its threads, want 1", e.Seq, e.Kind, posts[e.Seq])
		}
	}
	if created := ws.Counts()["conversations.create"]; created.Landed != 1 || created.Calls != 1 {
		s.errorf("got %d channels created in %d calls, want 1 in 1", created.Landed, created.Calls)
	}
	if unknown := ws.UnknownMethods(); len(unknown) > 0 {
		s.errorf("got calls of unknown methods %v", unknown)
	}
	for _, m := range ws.Messages("C0INCIDENTS") {
		if m.BotID != "" && s.result.Audience != "all" && strings.Contains(string(m.Blocks), s.view.Incident.Title) {
			s.errorf("got the title of a restricted incident in the announcement channel")
		}
	}
}

// checkPagerDuty compares the log of PagerDuty with the rounds in the timeline.
func (s *storyCheck) checkPagerDuty() {
	account := s.demo.Company.Pager
	triggers, rounds := map[string]int{}, map[string]int{}
	for _, r := range account.Requests() {
		if r.Event != nil && r.Event.Action == "trigger" {
			triggers[r.Event.DedupKey]++
		}
	}
	for _, e := range s.view.Timeline {
		if e.Kind == incident.EventPageStarted {
			rounds[s.result.Incident+"/"+e.Field("round")]++
			if e.Field("escalation_step") != "0" {
				s.errorf("got page to escalation step %s, want only step 0", e.Field("escalation_step"))
			}
		}
	}
	if fmt.Sprint(triggers) != fmt.Sprint(rounds) || len(triggers) != s.result.Rounds {
		s.errorf("got pages %v at PagerDuty and %v in the timeline, want %d rounds", triggers, rounds, s.result.Rounds)
	}
	var pages []string
	for _, p := range account.Snapshot().Pages {
		pages = append(pages, p.Key)
	}
	s.compareLists("pages", s.positions(func(h string) bool { return strings.HasPrefix(h, "📟") }), pages)
}

// checkMail compares the mailbox with the transcript and the result of the story.
func (s *storyCheck) checkMail() {
	var received []string
	for id, n := range s.demo.Company.Mail.Counts() {
		received = append(received, id)
		if n != 1 || id == "" {
			s.errorf("mail %q: got it %d times, want 1", id, n)
		}
	}
	s.compareLists("mails", s.positions(func(h string) bool { return strings.HasPrefix(h, "✉") }), received)
	s.compareLists("mails of the result", slices.Clone(s.result.Mails), received)
}

var (
	jsonBlock  = regexp.MustCompile("(?s)```json\n(.*?)\n```")
	digestLine = regexp.MustCompile(`(?m)^ {4}(sha256:[0-9a-f]{64})$`)
)

// checkPostmortem computes the digest of the closing record in postmortem.md and
// compares it with the stated and the signed one.
func (s *storyCheck) checkPostmortem() {
	md, err := os.ReadFile(filepath.Join(s.dir, "postmortem.md"))
	if err != nil {
		s.errorf("%v", err)
		return
	}
	block, stated := jsonBlock.FindSubmatch(md), digestLine.FindSubmatch(md)
	if block == nil || stated == nil {
		s.errorf("got postmortem.md without a record or a digest")
		return
	}
	sum := sha256.Sum256(block[1])
	digest := "sha256:" + hex.EncodeToString(sum[:])
	signed := s.view.Incident.Submission
	if digest != string(stated[1]) || digest != signed.Digest || digest != signed.Document.Digest() || digest != s.result.Digest || string(block[1]) != string(signed.Document.Canonical()) {
		s.errorf("postmortem.md: got digest %s, want the stated %s and the signed %s", digest, stated[1], signed.Digest)
	}
	html, err := os.ReadFile(filepath.Join(s.dir, "postmortem.html"))
	if err != nil || !strings.Contains(string(html), digest) || !strings.Contains(string(html), "<svg") {
		s.errorf("got postmortem.html without the digest or the timeline, error %v", err)
	}
}

// TestDemo_StoryFails makes Slack fail to create channels. The story must return an
// error that names the missing channel, and write the transcript until then.
func TestDemo_StoryFails(t *testing.T) {
	dir := t.TempDir()
	o := demoOptions{Dir: dir, Seed: 1, Limits: chat.Limits{Off: true}, Logger: slog.New(slog.DiscardHandler)}
	d, err := startDemo(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	d.Company.Chat.SetFault(chat.Fault{Method: "conversations.create", Kind: chat.FaultServerError})
	_, err = story.Run(t.Context(), story.Config{Company: d.Company, Seed: 1, Dir: dir, WaitTimeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "wait up to 1s for the channel inc-1") {
		t.Errorf("got error %v, want the wait for the channel", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "transcript.md")); err != nil || !strings.Contains(string(text), "**The story failed:**") {
		t.Errorf("got transcript without the failure, error %v", err)
	}
}
