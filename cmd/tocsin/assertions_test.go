package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
)

// checkOutcome waits until everything is done, and compares what stands in the
// database with what stands outside, and both with the books of the senders.
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
		// Whoever waits in a circle loses a second before PostgreSQL breaks it.
		n := k.queryInt("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
		if t.Logf("%d deadlocks", n); n > 5 {
			t.Error("locks are taken in different orders")
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
	t.Logf("alerts: %d sent, %d repeated, %d answered 2xx, %d given up by a sender that does not repeat, of which %d landed all the same; answers by status %v",
		b.sent, b.repeats, countIDs(b.accepted), countIDs(b.gaveUp), k.stats.acceptedLate, b.statuses)
	t.Logf("%d incidents and channels, %d effects; calls to Slack that landed after their sender was dead and doubled something: %d; mails that were handed over twice under one Message-ID: %d",
		len(views), len(effects), k.stats.doubledPosts, k.stats.mailRepeats)
}

// checkAlerts: every 2xx is in the incident of its story, once.
func (k *killTest) checkAlerts(views []incident.View) {
	t, books := k.t, k.load.results
	owner := map[string]incident.ID{}
	counted := map[string]int{}
	for _, v := range views {
		for _, a := range v.Alerts {
			n := strings.Index(a.Title, "case-")
			if n < 0 {
				t.Errorf("%s: an alert of no story: %s", v.Incident.ID, a.Title)
				continue
			}
			story := a.Title[n : n+len("case-000")]
			if owner[story] == 0 {
				owner[story] = v.Incident.ID
			}
			if owner[story] != v.Incident.ID {
				t.Errorf("%s is in %s and in %s", story, owner[story], v.Incident.ID)
			}
			counted[story] += int(a.Count)
		}
	}
	for _, s := range k.stories {
		sure, perhaps := len(books.accepted[s.name]), len(books.gaveUp[s.name])
		switch n := counted[s.name]; {
		case n < sure:
			t.Errorf("%s: %d alerts were answered 2xx and %d are counted", s.name, sure, n)
		case n > sure+perhaps:
			t.Errorf("%s: %d alerts are counted, and no more than %d can have arrived", s.name, n, sure+perhaps)
		default:
			k.stats.acceptedLate += n - sure
		}
	}
	for _, row := range k.queryRows(`SELECT source, outcome, count(*), sum(CASE WHEN incident_id = 0 THEN 1 ELSE 0 END) FROM inbox WHERE source <> 'pagerduty' GROUP BY source, outcome`) {
		if !slices.Contains([]string{"opened", "attached", "counted"}, row[1]) || row[3] != "0" {
			t.Errorf("deliveries from %s: %s became %q, %s of them in no incident", row[0], row[2], row[1], row[3])
		}
	}
	if n := k.queryInt(`SELECT count(*) FROM inbox WHERE source <> 'pagerduty'`); n != countIDs(books.accepted)+k.stats.acceptedLate {
		t.Errorf("%d deliveries are kept; %d were answered 2xx and %d landed after their sender gave up", n, countIDs(books.accepted), k.stats.acceptedLate)
	}
}

// effectInfo is an effect that is done for good.
type effectInfo struct{ kind, incident string }

// checkEffects reads the ledger of what is said once. Nothing may have been given
// up but what is expected to be.
func (s *botProcess) checkEffects(givenUp ...string) map[string]effectInfo {
	out := map[string]effectInfo{}
	for _, row := range s.queryRows(`SELECT e.key, e.kind, e.incident_id, e.state, coalesce(l.outcome, '') FROM effects e LEFT JOIN ledger l ON l.effect_id = e.id
		WHERE NOT e.refresh AND e.kind NOT IN ('escalation_timer', 'ack_timer', 'step_timer')`) {
		want := "completed"
		if slices.Contains(givenUp, row[0]) {
			want = "discarded"
		}
		if row[3] != want || row[4] != want {
			s.t.Errorf("the effect %s is %s, in the ledger %q", row[0], row[3], row[4])
		}
		out[row[0]] = effectInfo{row[1], row[2]}
	}
	for _, row := range s.queryRows(`SELECT kind, state, count(*) FROM river_job WHERE state NOT IN ('completed', 'available', 'scheduled') GROUP BY kind, state`) {
		s.t.Errorf("%s jobs %s are %s", row[2], row[0], row[1])
	}
	return out
}

// messageKey is the key in a message's metadata, and whether it is a card.
func messageKey(m chat.Message) (key string, card bool) {
	if m.Metadata == nil || m.Metadata.EventType != "tocsin_event" {
		return "", false
	}
	var payload struct {
		Key  string `json:"key"`
		Card bool   `json:"card"`
	}
	_ = json.Unmarshal(m.Metadata.EventPayload, &payload)
	return payload.Key, payload.Card
}

// postingEffects are the effects that leave one message each.
var postingEffects = []string{"post", "announce", "ask_sign", "ask_consult", "upload", "archive", "announce_postmortem"}

// checkMessages: what the ledger says was said stands in Slack once, and nothing else.
func (s *botProcess) checkMessages(effects map[string]effectInfo) (gone int) {
	t := s.t
	late := map[string]bool{} // posts that landed when nobody was there to hear of it
	for _, call := range s.company.Chat.Calls() {
		if call.Gone && call.Landed && call.Method == "chat.postMessage" {
			late[call.Result["channel"]+" "+call.Result["ts"]] = true
		}
	}
	stand, paged := map[string]int{}, map[string]int{}
	for _, c := range s.company.Chat.Channels("") {
		cards := 0
		for _, m := range s.company.Chat.Messages(c.ID) {
			key, card := messageKey(m)
			switch {
			case card:
				cards++
			case key == "":
				continue
			case strings.Contains(key, "/page/"): // a page by Slack, to each in their own channel
				if paged[c.ID+" "+key]++; paged[c.ID+" "+key] > 1 {
					t.Errorf("the page %s stands %d times in %s", key, paged[c.ID+" "+key], c.ID)
				}
			case stand[key] > 0 && late[c.ID+" "+m.TS]:
				gone++
				t.Logf("%s stands twice: the second time it landed after its sender was dead", key)
			default:
				stand[key]++
			}
		}
		if c.Creator == botUser && cards != 1 {
			t.Errorf("#%s has %d cards", c.Name, cards)
		}
	}
	owed := map[string]int{}
	for key, e := range effects {
		if slices.Contains(postingEffects, e.kind) {
			owed[key] = 1
		}
	}
	s.compareCounts("message", owed, stand)
	return gone
}

// compareCounts says what is missing and what is too much.
func (s *botProcess) compareCounts(what string, owed, stand map[string]int) {
	s.t.Helper()
	missing, doubled := 0, 0
	keys := map[string]bool{}
	for key := range owed {
		keys[key] = true
	}
	for key := range stand {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if owed[key] != stand[key] {
			s.t.Errorf("%s %s: %d owed, %d stand", what, key, owed[key], stand[key])
			missing += max(owed[key]-stand[key], 0)
			doubled += max(stand[key]-owed[key], 0)
		}
	}
	s.t.Logf("%ss: %d owed, %d stand, %d missing, %d doubled or not owed", what, len(owed), len(stand), missing, doubled)
}

// checkChannels: each incident has one, made by us, with its card pinned, and the
// responders in it.
func (s *botProcess) checkChannels(views []incident.View) {
	t := s.t
	ours := map[string][]chat.Channel{}
	for _, c := range s.company.Chat.Channels("") {
		if c.Creator == botUser && (c.Kind == chat.KindPrivate || c.Kind == chat.KindPublic) {
			ours[c.Name] = append(ours[c.Name], c)
		}
	}
	for _, v := range views {
		name := strings.ToLower(v.Incident.ID.String())
		have := ours[name]
		delete(ours, name)
		if len(have) != 1 {
			t.Errorf("%d channels are called %s", len(have), name)
			continue
		}
		c := have[0]
		if c.ID != v.Incident.Links[incident.LinkChannel] {
			t.Errorf("%s speaks in %s, and its channel is %s", v.Incident.ID, v.Incident.Links[incident.LinkChannel], c.ID)
		}
		for _, p := range slices.Concat(s.company.In("engineering"), s.company.In("security")) {
			if !slices.Contains(c.Members, p.ID) {
				t.Errorf("%s is not in #%s", p.Name, name)
			}
		}
		if pins := s.company.Chat.Pins(c.ID); len(pins) != 1 || pins[0].Message.TS != v.Incident.Links[incident.LinkCard] {
			t.Errorf("#%s has %d pins", name, len(pins))
		}
		titles := map[string]int{}
		for _, b := range s.company.Chat.Bookmarks(c.ID) {
			if titles[b.Title]++; titles[b.Title] > 1 {
				t.Errorf("#%s has the bookmark %q twice", name, b.Title)
			}
		}
	}
	for name := range ours {
		t.Errorf("#%s is the channel of no incident", name)
	}
}

// checkPagesAndMail: what the timelines say went out stands at the pager and in the
// mailbox, once; and what stands there was owed when it started.
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
		if e.kind == "mail_postmortem" {
			mails[strings.ReplaceAll(key, "/", ".")] = 1
		}
	}
	stand := map[string]int{}
	for _, in := range k.company.Pager.Snapshot().Incidents {
		if started[in.Key] {
			pages[in.Key] = 1 // it may have landed when somebody had it already
		}
		stand[in.Key]++
	}
	k.compareCounts("page", pages, stand)
	// A mail server cannot be asked what it took: a repeat has the same Message-ID,
	// and it is those that count.
	stood := map[string]int{}
	for id, n := range k.company.Mail.Counts() {
		id, _, _ = strings.Cut(id, "@")
		if mayMail[id] {
			mails[id] = 1
		}
		stood[id] = 1
		k.stats.mailRepeats += n - 1
	}
	k.compareCounts("mail", mails, stood)
}

// checkNotes: what a person was told is recorded stands in a timeline once; what
// they were not told stands there at most once.
func (k *killTest) checkNotes(views []incident.View) {
	found := map[string]int{}
	for _, v := range views {
		for _, e := range v.Timeline {
			if e.Kind == incident.EventNoted {
				found[e.Text("text")]++
			}
		}
	}
	sure := 0
	for text, recorded := range k.notes {
		if recorded {
			sure++
		}
		if n := found[text]; n > 1 || recorded && n != 1 {
			k.t.Errorf("%q (answered as done: %v) stands %d times", text, recorded, n)
		}
	}
	if sure == 0 {
		k.t.Error("nobody was told that anything is recorded")
	}
	for _, key := range k.acks {
		id, _, _ := incident.ParsePageKey(key)
		if in := views[id-1].Incident; !in.Paging.Acknowledged() {
			k.t.Errorf("%s was acknowledged in PagerDuty, and nobody has it: %s", id, in.Status)
		}
	}
	k.t.Logf("people: %d notes, %d answered as done, %d acknowledgements in PagerDuty", len(k.notes), sure, len(k.acks))
}

// checkApproved: the incident that people took through its whole life has its postmortem.
func (k *killTest) checkApproved(views []incident.View) {
	if k.approvedID == 0 {
		return
	}
	in := views[k.approvedID-1].Incident
	if in.Status != incident.Approved || len(in.Postmortems) != 1 {
		k.t.Errorf("%s is %s with %d postmortems", in.ID, in.Status, len(in.Postmortems))
	}
	var whole int
	for _, f := range k.company.Chat.Files() {
		if len(f.Shares) > 0 {
			whole++
		}
	}
	if whole != 2 || len(k.company.Mail.For(company.EveryoneMail)) == 0 {
		k.t.Errorf("%d files are shared, %d mails told everyone", whole, len(k.company.Mail.For(company.EveryoneMail)))
	}
}
