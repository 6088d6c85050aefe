//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
)

// checkOutcome waits until the bot is idle. It compares the database with the
// external systems, and both with the records of the senders.
func (k *killTest) checkOutcome() {
	t := k.t
	ctx := t.Context()
	if err := k.company.Pager.Until(ctx, func() bool {
		return !slices.ContainsFunc(k.company.Pager.Snapshot().Deliveries, func(d pager.Delivery) bool { return d.State == pager.Pending })
	}); err != nil {
		t.Fatal(err)
	}
	k.waitIdle(4 * time.Minute)
	if !strings.HasPrefix(k.database, "sqlite:") {
		// Each deadlock costs a second until PostgreSQL breaks it.
		n := k.queryInt("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
		if t.Logf("%d deadlocks", n); n > 5 {
			t.Error("got more than 5 deadlocks: locks are taken in different orders")
		}
	}
	var views []incident.View
	for n := range k.queryInt("SELECT count(*) FROM incidents") {
		views = append(views, k.view(incident.ID(n+1)))
	}
	k.stop()
	k.checkVerify()
	k.checkAlerts(views)
	effects := k.checkEffects()
	k.stats.doubledPosts = k.checkMessages(effects)
	k.checkChannels(views)
	k.checkPagesAndMail(views, effects)
	k.checkNotes(views)
	k.checkApproved(views)

	b := k.load.results
	t.Logf("alerts: %d sent, %d retries, %d answered 2xx, %d failed without a retry, %d of these stored anyway, responses by status %v",
		b.sent, b.repeats, countIDs(b.accepted), countIDs(b.gaveUp), k.stats.acceptedLate, b.statuses)
	t.Logf("%d incidents and channels, %d effects, %d Slack messages doubled by a call that took effect after the kill, %d mails repeated with the same Message-ID",
		len(views), len(effects), k.stats.doubledPosts, k.stats.mailRepeats)
}

// checkAlerts requires every alert answered 2xx to be counted once, in the incident
// of its story.
func (k *killTest) checkAlerts(views []incident.View) {
	t, sent := k.t, k.load.results
	owner := map[string]incident.ID{}
	counted := map[string]int{}
	for _, v := range views {
		for _, a := range v.Alerts {
			n := strings.Index(a.Title, "case-")
			if n < 0 {
				t.Errorf("%s: alert without a story: %s", v.Incident.ID, a.Title)
				continue
			}
			story := a.Title[n : n+len("case-000")]
			if owner[story] == 0 {
				owner[story] = v.Incident.ID
			}
			if owner[story] != v.Incident.ID {
				t.Errorf("%s is in both %s and %s", story, owner[story], v.Incident.ID)
			}
			counted[story] += int(a.Count)
		}
	}
	for _, s := range k.stories {
		accepted, failed := len(sent.accepted[s.name]), len(sent.gaveUp[s.name])
		switch n := counted[s.name]; {
		case n < accepted:
			t.Errorf("%s: got %d counted alerts, want at least the %d answered 2xx", s.name, n, accepted)
		case n > accepted+failed:
			t.Errorf("%s: got %d counted alerts, want at most the %d sent", s.name, n, accepted+failed)
		default:
			k.stats.acceptedLate += n - accepted
		}
	}
	for _, row := range k.queryRows(`SELECT source, outcome, count(*), sum(CASE WHEN incident_id = 0 THEN 1 ELSE 0 END) FROM inbox WHERE source <> 'pagerduty' GROUP BY source, outcome`) {
		if !slices.Contains([]string{"opened", "attached", "counted"}, row[1]) || row[3] != "0" {
			t.Errorf("deliveries from %s: %s have outcome %q, %s of them without an incident", row[0], row[2], row[1], row[3])
		}
	}
	if n := k.queryInt(`SELECT count(*) FROM inbox WHERE source <> 'pagerduty'`); n != countIDs(sent.accepted)+k.stats.acceptedLate {
		t.Errorf("got %d stored deliveries, want %d answered 2xx plus %d stored after their sender failed", n, countIDs(sent.accepted), k.stats.acceptedLate)
	}
}

// effectInfo describes a completed effect.
type effectInfo struct{ kind, incident string }

// markOf returns what marks the message or mail of an effect. The postmortem is marked by
// its revision, which is the first one of every incident of these tests.
func (e effectInfo) markOf(key string) string {
	if e.kind == "announce_postmortem" || e.kind == "mail_postmortem" {
		id, _, _ := strings.Cut(key, "/")
		return id + "/postmortem/1"
	}
	return key
}

// checkEffects returns all effects that run once, by key. It requires them to be
// completed.
func (s *botProcess) checkEffects() map[string]effectInfo {
	out := map[string]effectInfo{}
	for _, row := range s.queryRows(`SELECT e.key, e.kind, e.incident_id, e.state, coalesce(l.outcome, '') FROM effects e LEFT JOIN ledger l ON l.effect_id = e.id
		WHERE NOT e.refresh AND e.kind <> 'deadline'`) {
		if row[3] != "completed" || row[4] != "completed" {
			s.t.Errorf("effect %s: got state %s and ledger outcome %q, want completed", row[0], row[3], row[4])
		}
		out[row[0]] = effectInfo{row[1], row[2]}
	}
	// A sweep has one attempt, because the next sweep follows soon. Sweeps and schedules run while this looks.
	for _, row := range s.queryRows(`SELECT kind, state, count(*) FROM river_job WHERE state NOT IN ('completed', 'available', 'scheduled') AND NOT (kind LIKE 'sweep%' AND state IN ('running', 'discarded'))
		AND NOT (kind LIKE 'scheduled.%' AND state = 'running') GROUP BY kind, state`) {
		s.t.Errorf("got %s %s jobs in state %s", row[2], row[0], row[1])
	}
	return out
}

// messageKey returns the key in the metadata of a message, and whether the message
// is a card.
func messageKey(m chat.Message) (key string, card bool) {
	if m.Metadata == nil || m.Metadata.EventType != "tocsin_event" {
		return "", false
	}
	var payload struct {
		Key string `json:"key"`
	}
	_ = json.Unmarshal(m.Metadata.EventPayload, &payload)
	return payload.Key, strings.HasSuffix(payload.Key, "/card")
}

// everyMessage returns the messages of a channel and the replies in its threads, oldest
// first.
func everyMessage(w *chat.Workspace, channel string) (out []chat.Message) {
	seen := map[string]bool{}
	for _, root := range w.Messages(channel) {
		for _, m := range w.Thread(channel, root.TS) {
			if !seen[m.TS] { // the channel also shows a broadcast reply
				seen[m.TS] = true
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b chat.Message) int { return strings.Compare(a.TS, b.TS) })
	return out
}

// quietKinds are the kinds of events that have a message only in some cases. In the others,
// the card or another message shows them.
var quietKinds = []incident.EventKind{incident.EventRoleAssigned, incident.EventFactSet, incident.EventDepartmentsInvolved, incident.EventStepDone, incident.EventChannelOpened, incident.EventReviewConcluded,
	incident.EventPlaybookStarted}

// quietPosts returns the keys of the posts about events of quietKinds.
func (s *botProcess) quietPosts() map[string]bool {
	out := map[string]bool{}
	for _, row := range s.queryRows(`SELECT incident_id, seq, kind FROM events`) {
		if slices.Contains(quietKinds, incident.EventKind(row[2])) {
			out[fmt.Sprintf("INC-%s/%s/post", row[0], row[1])] = true
		}
	}
	return out
}

// postingEffects are the kinds of effects that post one message each.
var postingEffects = []string{"post", "announce", "ask_sign", "ask_consult", "upload", "archive", "announce_postmortem", "announce_maintenance", "notice", "share_update"}

// checkMessages requires one Slack message per posting effect, and no others. It
// returns the number of messages doubled by a call that took effect after the kill.
func (s *botProcess) checkMessages(effects map[string]effectInfo) (doubled int) {
	t := s.t
	late := map[string]bool{} // posts that took effect after the connection was closed
	for _, call := range s.company.Chat.Calls() {
		if call.Gone && call.Landed && call.Method == "chat.postMessage" {
			late[call.Result["channel"]+" "+call.Result["ts"]] = true
		}
	}
	posted, once := map[string]int{}, map[string]int{}
	for _, c := range s.company.Chat.Channels("") {
		cards := 0
		for _, m := range everyMessage(s.company.Chat, c.ID) {
			key, card := messageKey(m)
			switch {
			case card:
				cards++
			case key == "":
				continue
			case strings.Contains(key, "/page/"), strings.HasPrefix(c.ID, "D"), strings.HasSuffix(key, "/first"), strings.HasPrefix(key, "checkpoint"):
				// A page by Slack, a direct message to each person, the first message of a thread, a checkpoint.
				switch count := c.ID + " " + key; {
				case once[count] > 0 && late[c.ID+" "+m.TS]:
					doubled++
					t.Logf("%s was posted twice, the second time after the kill", key)
				case once[count] > 0:
					t.Errorf("message %s: got more than one in %s, want 1", key, c.ID)
				default:
					once[count]++
				}
			case posted[key] > 0 && late[c.ID+" "+m.TS]:
				doubled++
				t.Logf("%s was posted twice, the second time after the kill", key)
			default:
				posted[key]++
			}
		}
		if c.Creator == botUser && cards != 1 {
			t.Errorf("#%s: got %d cards, want 1", c.Name, cards)
		}
	}
	want := map[string]int{}
	for key, e := range effects {
		if slices.Contains(postingEffects, e.kind) {
			want[e.markOf(key)] = 1
		}
	}
	s.replaceSummaries(posted, want)
	for key := range s.quietPosts() {
		if posted[key] == 0 {
			delete(want, key)
		}
	}
	s.compareCounts("message", want, posted)
	return doubled
}

// replaceSummaries replaces each summary of missed messages by the messages that it
// stands for: the posts of its incident up to the number of its last event.
func (s *botProcess) replaceSummaries(posted, want map[string]int) {
	for _, c := range s.company.Chat.Channels("") {
		for _, m := range everyMessage(s.company.Chat, c.ID) {
			key, _ := messageKey(m)
			first, ok := strings.CutSuffix(key, "/post/summary")
			if !ok {
				continue
			}
			var payload struct {
				Seq int `json:"seq"`
			}
			_ = json.Unmarshal(m.Metadata.EventPayload, &payload)
			delete(posted, key)
			id, from, _ := strings.Cut(first, "/")
			start, _ := strconv.Atoi(from)
			for covered := range want {
				part := strings.Split(covered, "/")
				if seq, err := strconv.Atoi(part[1]); err == nil && len(part) == 3 && part[0] == id && part[2] == "post" && start <= seq && seq <= payload.Seq && posted[covered] == 0 {
					posted[covered] = 1
				}
			}
		}
	}
}

// compareCounts reports every key whose count differs.
func (s *botProcess) compareCounts(what string, want, got map[string]int) {
	s.t.Helper()
	missing, extra := 0, 0
	keys := map[string]bool{}
	for key := range want {
		keys[key] = true
	}
	for key := range got {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if want[key] != got[key] {
			s.t.Errorf("%s %s: got %d, want %d", what, key, got[key], want[key])
			missing += max(want[key]-got[key], 0)
			extra += max(got[key]-want[key], 0)
		}
	}
	s.t.Logf("%ss: got %d, want %d, %d missing, %d doubled or unexpected", what, len(got), len(want), missing, extra)
}

// checkChannels requires one channel per incident, created by the bot, with the card
// pinned and all responders as members.
func (s *botProcess) checkChannels(views []incident.View) {
	t := s.t
	created := map[string][]chat.Channel{}
	for _, c := range s.company.Chat.Channels("") {
		if c.Creator == botUser && (c.Kind == chat.KindPrivate || c.Kind == chat.KindPublic) {
			created[c.Name] = append(created[c.Name], c)
		}
	}
	for _, v := range views {
		name := strings.ToLower(v.Incident.ID.String())
		found := created[name]
		delete(created, name)
		if len(found) != 1 {
			t.Errorf("got %d channels named %s, want 1", len(found), name)
			continue
		}
		c := found[0]
		if c.ID != v.Incident.Links[incident.LinkChannel] {
			t.Errorf("%s: got linked channel %s, want %s", v.Incident.ID, v.Incident.Links[incident.LinkChannel], c.ID)
		}
		for _, p := range slices.Concat(s.company.In("engineering"), s.company.In("security")) {
			if !slices.Contains(c.Members, p.ID) {
				t.Errorf("%s is not a member of #%s", p.Name, name)
			}
		}
		if pins := s.company.Chat.Pins(c.ID); len(pins) != 1 || pins[0].Message.TS != v.Incident.Links[incident.LinkCard] {
			t.Errorf("#%s: got %d pins, want only the card", name, len(pins))
		}
		titles := map[string]int{}
		for _, b := range s.company.Chat.Bookmarks(c.ID) {
			if titles[b.Title]++; titles[b.Title] > 1 {
				t.Errorf("#%s: got bookmark %q twice", name, b.Title)
			}
		}
	}
	for name := range created {
		t.Errorf("#%s: got a channel without an incident", name)
	}
}

// checkPagesAndMail requires every page and mail of the timelines to be at PagerDuty
// and in the mailbox once. Any other must belong to a page that was started.
func (k *killTest) checkPagesAndMail(views []incident.View, effects map[string]effectInfo) {
	pages, started, mails, mayMail := map[string]int{}, map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, v := range views {
		for _, e := range v.Timeline {
			page := fmt.Sprintf("%s/%s", v.Incident.ID, e.Field("round"))
			mail := fmt.Sprintf("%s.page.%s.1", v.Incident.ID, e.Field("round"))
			switch {
			case e.Kind == incident.EventPaged && e.Field("escalation_step") == "0":
				pages[page] = 1
			case e.Kind == incident.EventPageStarted && e.Field("escalation_step") == "0":
				started[page] = true
			case e.Kind == incident.EventPaged && e.Field("escalation_step") == "1":
				mails[mail] = 1
			case e.Kind == incident.EventPageStarted && e.Field("escalation_step") == "1":
				mayMail[mail] = true
			}
		}
	}
	for key, e := range effects {
		switch id := strings.ReplaceAll(e.markOf(key), "/", "."); {
		case e.kind == "mail_postmortem":
			mails[id] = 1
		case e.kind == "page_ack" || e.kind == "page_resolve":
			mayMail[id] = true // only the first of a page that was mailed sends a mail
		case e.kind == "mail_signers":
			mayMail[id] = true // a department that signed before the mail gets none
		}
	}
	paged := map[string]int{}
	for _, in := range k.company.Pager.Snapshot().Incidents {
		if started[in.Key] {
			pages[in.Key] = 1 // the page may take effect after an acknowledgement
		}
		paged[in.Key]++
	}
	k.compareCounts("page", pages, paged)
	// A mail server cannot report the mails it has accepted. A repeated mail has the
	// same Message-ID and counts as one.
	mailed := map[string]int{}
	for id, n := range k.company.Mail.Counts() {
		id, _, _ = strings.Cut(id, "@")
		if mayMail[id] {
			mails[id] = 1
		}
		mailed[id] = 1
		k.stats.mailRepeats += n - 1
	}
	k.compareCounts("mail", mails, mailed)
}

// checkNotes requires every note reported as recorded to be in a timeline once, and
// every other note at most once. It also checks the acknowledgements.
func (k *killTest) checkNotes(views []incident.View) {
	found := map[string]int{}
	for _, v := range views {
		for _, e := range v.Timeline {
			if e.Kind == incident.EventNoted {
				found[e.Text("text")]++
			}
		}
	}
	confirmed := 0
	for text, recorded := range k.notes {
		if recorded {
			confirmed++
		}
		if n := found[text]; n > 1 || recorded && n != 1 {
			k.t.Errorf("note %q (reported as recorded: %v): got it %d times in the timelines", text, recorded, n)
		}
	}
	if confirmed == 0 {
		k.t.Error("got no note reported as recorded")
	}
	for _, key := range k.acks {
		id, _, _ := incident.ParsePageKey(key)
		if in := views[id-1].Incident; !in.Paging.Acknowledged() {
			k.t.Errorf("%s was acknowledged in PagerDuty: got unacknowledged in status %s", id, in.Status)
		}
	}
	k.t.Logf("people: %d notes, %d reported as recorded, %d acknowledgements in PagerDuty", len(k.notes), confirmed, len(k.acks))
}

// checkApproved requires the postmortem of the incident that people completed.
func (k *killTest) checkApproved(views []incident.View) {
	if k.approvedID == 0 {
		return
	}
	in := views[k.approvedID-1].Incident
	if in.Status != incident.Approved || len(in.Postmortems) != 1 {
		k.t.Errorf("%s: got status %s and %d postmortems, want approved and 1", in.ID, in.Status, len(in.Postmortems))
	}
	var shared int
	for _, f := range k.company.Chat.Files() {
		if len(f.Shares) > 0 {
			shared++
		}
	}
	if shared != 2 || len(k.company.Mail.For(company.EveryoneMail)) == 0 {
		k.t.Errorf("got %d shared files and %d mails to everyone, want 2 and at least 1", shared, len(k.company.Mail.For(company.EveryoneMail)))
	}
}
