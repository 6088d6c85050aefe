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

// TestStories plays twenty seeds' incidents, a few at a time, each with its own
// bot and world, and holds against each other what three sides say about it:
// the transcript, the database, and the sandbox's own logs. With -short, as the
// race detector is run, it is four of them.
func TestStories(t *testing.T) {
	seeds, atOnce := 20, 6
	if testing.Short() {
		seeds, atOnce = 4, 2
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		saw   = map[string]int{}
		slots = make(chan struct{}, atOnce)
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
			for _, way := range []string{s.result.Source, "acked by " + s.result.AckedBy, "objection of " + s.result.Objecting, "for " + s.result.Audience,
				s.result.Severity, fmt.Sprintf("http %t", s.result.HTTP), fmt.Sprintf("%d rounds", s.result.Rounds)} {
				saw[way]++
			}
		})
	}
	wg.Wait()
	if testing.Short() {
		return
	}
	for _, way := range []string{"Sentry: data leak", "CloudTrail: access key", "CloudTrail: audit trail stopped", "acked by pagerduty", "acked by button", "acked by command",
		"objection of engineering", "objection of security", "objection of legal", "objection of communications", "for all", "for responders", "for legal_and_security",
		"http true", "http false", "1 rounds", "2 rounds"} {
		if saw[way] == 0 {
			t.Errorf("none of %d seeds told of: %s (%v)", seeds, way, saw)
		}
	}
}

// storyCheck is one seed's story with everything that is left of it.
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
	s.checkPagerDuty()
	s.checkMail()
	s.checkPostmortem()
	return nil
}

// transcriptEntry is the head of an entry in the transcript, with its place in the sandbox's log.
type transcriptEntry struct{ head, position string }

var entryHead = regexp.MustCompile("(?m)^\\*\\*\\d\\d:\\d\\d:\\d\\d\\*\\* (.*?)(?: `([^`\\n]+)`)?$")

func parseTranscript(transcript string) []transcriptEntry {
	var out []transcriptEntry
	for _, m := range entryHead.FindAllStringSubmatch(transcript, -1) {
		out = append(out, transcriptEntry{m[1], m[2]})
	}
	return out
}

// positions are where the transcript's entries of one sort stand in the sandbox's log.
func (s *storyCheck) positions(fits func(head string) bool) []string {
	var out []string
	for _, l := range s.transcript {
		if fits(l.head) {
			out = append(out, l.position)
		}
	}
	return out
}

// compareLists holds two lists against each other, in any order.
func (s *storyCheck) compareLists(what string, told, logged []string) {
	slices.Sort(told)
	slices.Sort(logged)
	if !slices.Equal(told, logged) {
		s.errorf("%s: the transcript has %d, the sandbox's log has %d\ntranscript %v\nlog        %v", what, len(told), len(logged), told, logged)
	}
}

// checkDatabase looks at the incident as the bot keeps it.
func (s *storyCheck) checkDatabase(ctx context.Context) {
	inc := s.view.Incident
	if inc.Status != incident.Closed || string(inc.Severity) != s.result.Severity || string(inc.Record.Audience) != s.result.Audience {
		s.errorf("it is %s, %s, for %s", inc.Status, inc.Severity, inc.Record.Audience)
	}
	if inc.Submission == nil || inc.Submission.Digest != s.result.Digest || inc.Submission.Document.Digest() != s.result.Digest {
		s.errorf("the digest is %s in the story; the submission is %+v", s.result.Digest, inc.Submission)
	}
	for _, d := range incident.RequiredDepartments() {
		sig := inc.SignedBy(d)
		signer, ok := s.view.Directory.Resolve(incident.Identity{Provider: incident.ProviderSlack, ID: s.result.Signers[string(d)]})
		if sig == nil || !ok || sig.By != signer.ID {
			s.errorf("%s: signed by %s in the story, %+v in the database", d, s.result.Signers[string(d)], sig)
		}
	}
	if len(inc.Objections) != 1 || string(inc.Objections[0].Department) != s.result.Objecting || inc.Objections[0].How != "amended" || inc.Objections[0].Digest != s.result.Stale {
		s.errorf("objections: %+v", inc.Objections)
	}
	if len(inc.Postmortems) != 1 || !inc.Postmortems[0].Shared || inc.Postmortems[0].FileID != s.result.Files["postmortem.md"] {
		s.errorf("postmortems: %+v, uploaded: %v", inc.Postmortems, s.result.Files)
	}
	steps := map[string]string{}
	for _, run := range inc.Runs {
		for _, step := range run.Plan {
			if step.Started.IsZero() {
				continue
			}
			if !step.Finished() {
				s.errorf("the step %s/%s is %s", run.Playbook, step.ID, step.Status)
			}
			if step.Action == "" {
				steps[run.Playbook+"/"+step.ID] = string(step.Status)
			}
		}
	}
	if fmt.Sprint(steps) != fmt.Sprint(s.result.Steps) {
		s.errorf("steps in the database %v\nin the story %v", steps, s.result.Steps)
	}
	count := int64(0)
	for _, a := range s.view.Alerts {
		count += a.Count
	}
	if count != int64(s.result.Alerts) || len(s.view.Alerts) != 2 {
		s.errorf("%d deliveries were answered 2xx, %d are counted in %d alerts", s.result.Alerts, count, len(s.view.Alerts))
	}
	if v, err := s.demo.Bot.Store().Verify(ctx); err != nil || len(v.Problems) > 0 || v.Events != len(s.view.Timeline) {
		s.errorf("verify: %+v %v; %d events", v, err, len(s.view.Timeline))
	}
	if b, err := s.demo.Bot.Store().Backlog(ctx); err != nil || b.Inbox > 0 {
		s.errorf("backlog: %+v %v", b, err)
	}
	for _, e := range s.view.Timeline {
		if e.Kind == incident.EventEffectFailed || e.Kind == incident.EventPageFailed {
			s.errorf("%s: %s %s", e.Kind, e.Field("effect"), e.Text("reason"))
		}
	}
}

// postedKinds are kinds of events of which each stands in the channel in one message.
var postedKinds = []incident.EventKind{incident.EventAlertAttached, incident.EventAlertCounted, incident.EventAcknowledged, incident.EventSeveritySet, incident.EventRoleAssigned,
	incident.EventFactSet, incident.EventDepartmentsInvolved, incident.EventNoted, incident.EventEvidence, incident.EventUpdated, incident.EventContained, incident.EventResolved,
	incident.EventRecordEdited, incident.EventSubmitted, incident.EventSigned, incident.EventAmended, incident.EventObjected, incident.EventObjectionClosed, incident.EventApproved,
	incident.EventStepDone, incident.EventStepSkipped, incident.EventConsulted, incident.EventAnswered, incident.EventActionAdded, incident.EventReviewScheduled,
	incident.EventReviewConcluded, incident.EventClosed}

// checkSlack holds Slack's log against the transcript and the timeline.
func (s *storyCheck) checkSlack() {
	ws := s.demo.Company.Chat
	var posted, edited, whispered []string
	marks := map[string]int{}
	posts := map[int]int{} // messages in the channel that tell an event, by its number
	for _, c := range ws.Calls() {
		at := c.Result["channel"] + "/" + c.Result["ts"]
		switch {
		case !c.Landed:
		case c.Method == "chat.postMessage":
			posted = append(posted, at)
		case c.Method == "chat.update":
			edited = append(edited, at)
		}
	}
	for _, ch := range ws.Channels("") {
		for _, m := range ws.Messages(ch.ID) {
			if m.Metadata == nil {
				continue
			}
			var mark struct {
				Key string `json:"key"`
			}
			if err := json.Unmarshal(m.Metadata.EventPayload, &mark); err != nil {
				s.errorf("metadata: %v", err)
			}
			key := mark.Key
			if marks[key]++; marks[key] > 1 {
				s.errorf("the message %s stands %d times", key, marks[key])
			}
			var seq int
			if n, _ := fmt.Sscanf(key, s.result.Incident+"/%d/post", &seq); n == 1 && strings.HasSuffix(key, "/post") {
				posts[seq]++
			}
		}
	}
	for _, p := range s.demo.Company.People {
		for _, m := range ws.Ephemerals(p.ID) {
			whispered = append(whispered, m.Channel+"/"+m.TS)
		}
	}
	s.compareLists("messages", s.positions(func(h string) bool { return strings.HasSuffix(h, "· **tocsin**") }), posted)
	s.compareLists("edits", s.positions(func(h string) bool { return strings.HasSuffix(h, "**tocsin** edited a message") }), edited)
	s.compareLists("whispers", s.positions(func(h string) bool { return strings.Contains(h, "only visible to") }), whispered)
	for _, e := range s.view.Timeline {
		if slices.Contains(postedKinds, e.Kind) && posts[e.Seq] != 1 {
			s.errorf("event %d, %s, stands %d times in the channel", e.Seq, e.Kind, posts[e.Seq])
		}
	}
	if made := ws.Counts()["conversations.create"]; made.Landed != 1 || made.Calls != 1 {
		s.errorf("channels were created %d times in %d calls", made.Landed, made.Calls)
	}
	if unknown := ws.UnknownMethods(); len(unknown) > 0 {
		s.errorf("unknown methods: %v", unknown)
	}
	for _, m := range ws.Messages("C0INCIDENTS") {
		if m.BotID != "" && s.result.Audience != "all" && strings.Contains(string(m.Blocks), s.view.Incident.Title) {
			s.errorf("the announce channel tells the title of a restricted incident")
		}
	}
}

// checkPagerDuty holds PagerDuty's log against the rounds and routes that were started.
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
				s.errorf("route %s was paged, though somebody answered", e.Field("escalation_step"))
			}
		}
	}
	if fmt.Sprint(triggers) != fmt.Sprint(rounds) || len(triggers) != s.result.Rounds {
		s.errorf("pages at PagerDuty %v, started %v, told %d", triggers, rounds, s.result.Rounds)
	}
	var rang []string
	for _, p := range account.Snapshot().Pages {
		rang = append(rang, p.Key)
	}
	s.compareLists("pages", s.positions(func(h string) bool { return strings.HasPrefix(h, "📟") }), rang)
}

func (s *storyCheck) checkMail() {
	var kept []string
	for id, n := range s.demo.Company.Mail.Counts() {
		kept = append(kept, id)
		if n != 1 || id == "" {
			s.errorf("the mail %q came %d times", id, n)
		}
	}
	s.compareLists("mails", s.positions(func(h string) bool { return strings.HasPrefix(h, "✉") }), kept)
	s.compareLists("mails of the report", slices.Clone(s.result.Mails), kept)
}

var (
	jsonBlock  = regexp.MustCompile("(?s)```json\n(.*?)\n```")
	digestLine = regexp.MustCompile(`(?m)^ {4}(sha256:[0-9a-f]{64})$`)
)

// checkPostmortem computes the digest again from what stands in postmortem.md.
func (s *storyCheck) checkPostmortem() {
	md, err := os.ReadFile(filepath.Join(s.dir, "postmortem.md"))
	if err != nil {
		s.errorf("%v", err)
		return
	}
	block, stated := jsonBlock.FindSubmatch(md), digestLine.FindSubmatch(md)
	if block == nil || stated == nil {
		s.errorf("postmortem.md has no record or no digest")
		return
	}
	sum := sha256.Sum256(block[1])
	digest := "sha256:" + hex.EncodeToString(sum[:])
	signed := s.view.Incident.Submission
	if digest != string(stated[1]) || digest != signed.Digest || digest != signed.Document.Digest() || digest != s.result.Digest || string(block[1]) != string(signed.Document.Canonical()) {
		s.errorf("the digest of the record in postmortem.md is %s; it states %s, the database %s", digest, stated[1], signed.Digest)
	}
	html, err := os.ReadFile(filepath.Join(s.dir, "postmortem.html"))
	if err != nil || !strings.Contains(string(html), digest) || !strings.Contains(string(html), "<svg") {
		s.errorf("postmortem.html: %v", err)
	}
}

// TestStoryThatBreaksOff asks for what cannot happen: without its pager the
// story says what it waited for, and leaves the transcript of what there was.
func TestStoryThatBreaksOff(t *testing.T) {
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
		t.Errorf("it broke off with: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "transcript.md")); err != nil || !strings.Contains(string(text), "**The story failed:**") {
		t.Errorf("transcript: %v", err)
	}
}
