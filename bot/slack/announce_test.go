package slack

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

const announceChannelID = "C000000INC" // #incidents

func TestAnnounce_RestrictedIncidentHidesDetails(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	b.Incident.Commander = "p1"
	kinds := incident.EventKinds()
	for _, kind := range kinds {
		b.Event.Kind, b.Mark = kind, "mark-"+string(kind)
		f.must(f.effects.Announce, b)
	}
	for _, m := range f.botMessages(announceChannelID) {
		all := m.Text + string(m.Blocks)
		for _, secret := range []string{b.Incident.Title, "disabled", "U0ADA", b.Incident.Links[incident.LinkChannel], "cloudtrail"} {
			if strings.Contains(all, secret) {
				t.Fatalf("got announcement %s, want no %q", all, secret)
			}
		}
		if !strings.Contains(all, "INC-42") || !strings.Contains(all, "sev2") {
			t.Fatalf("got announcement %s, want number and severity", all)
		}
	}
	if n := len(f.botMessages(announceChannelID)); n != len(kinds) {
		t.Fatalf("got %d announcements, want %d", n, len(kinds))
	}
}

func TestAnnounce_PublicIncidentShowsTitleAndChannel(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openChannel()
	b.Incident.Restricted, b.Incident.Commander = false, "p1"
	b.Event.Kind = incident.EventOpened
	f.must(f.effects.Announce, b)
	all := string(f.botMessages(announceChannelID)[0].Blocks)
	if !strings.Contains(all, b.Incident.Title) || !strings.Contains(all, b.Incident.Links[incident.LinkChannel]) {
		t.Fatalf("got announcement %s, want title and channel", all)
	}
}

func TestAnnounce_PostsOnceAfterFault(t *testing.T) {
	eachFault(t, "chat.postMessage", func(f *outboundTest) {
		f.failThenRetry(f.effects.Announce, brief(openedIncident()))
		if n := len(f.botMessages(announceChannelID)); n != 1 {
			f.Fatalf("got %d announcements, want 1", n)
		}
	})
}

// TestAnnounce_OneThreadForEachIncident announces an incident from its opening to its end,
// with a fault at each announcement. Every later announcement is one reply in the thread
// of the first one, and the channel shows those about the end, too.
func TestAnnounce_OneThreadForEachIncident(t *testing.T) {
	for _, fault := range append(slices.Clone(lostReplyFaults), rejectedFaults...) {
		t.Run(string(fault), func(t *testing.T) {
			f := newOutboundTest(t)
			b := brief(openedIncident())
			for _, kind := range []incident.EventKind{incident.EventOpened, incident.EventSeveritySet, incident.EventResolved, incident.EventClosed} {
				b.Event.Kind, b.Mark = kind, "mark-"+string(kind)
				f.ws.SetFault(chat.Fault{Method: "chat.postMessage", Kind: fault, Count: 1})
				cmd := f.failThenRetry(f.effects.Announce, b)
				switch {
				case kind == incident.EventOpened:
					b.Incident.Links = cmd.Links
				case cmd.Verb != "":
					t.Fatalf("got command %+v after a reply, want none", cmd)
				}
			}
			inChannel := f.botMessages(announceChannelID)
			var got []bool
			for _, m := range f.ws.Thread(announceChannelID, inChannel[0].TS) {
				got = append(got, m.Broadcast)
			}
			if want := []bool{false, false, true, true}; !slices.Equal(got, want) || len(inChannel) != 3 {
				t.Fatalf("got a thread with broadcast %v and %d messages in the channel, want %v and 3", got, len(inChannel), want)
			}
		})
	}
}

// TestAnnounce_StartsThreadInReplacedChannel announces in another channel than before.
func TestAnnounce_StartsThreadInReplacedChannel(t *testing.T) {
	f := newOutboundTest(t)
	b := brief(openedIncident())
	b.Incident.Links[incident.LinkAnnouncement] = "C0GONE/1.000001"
	b.Event.Kind = incident.EventResolved
	cmd := f.must(f.effects.Announce, b)
	posted := f.botMessages(announceChannelID)
	if want := announceChannelID + "/" + posted[0].TS; len(posted) != 1 || posted[0].Broadcast || cmd.Links[incident.LinkAnnouncement] != want {
		t.Fatalf("got messages %+v and links %v, want one message and the link %s", posted, cmd.Links, want)
	}
}

func TestAnnounce_JoinsPublicChannel(t *testing.T) {
	f := newOutboundTest(t, func(c *chat.Config) { c.Channels[0].Members = []string{"U0ADA"} })
	f.must(f.effects.Announce, brief(openedIncident()))
	if n := len(f.botMessages(announceChannelID)); n != 1 {
		t.Fatalf("got %d announcements, want 1", n)
	}
	f.slack.cfg.AnnounceChannel, f.slack.announceCache.id = "nowhere", ""
	if _, err := f.effects.Announce(f.ctx, brief(openedIncident()), effect); !isBlocked(err) || !strings.Contains(err.Error(), "slack.announce_channel") {
		t.Fatalf("got error %v, want one for an administrator that names slack.announce_channel", err)
	}
	f.slack.cfg.AnnounceChannel = ""
	f.must(f.effects.Announce, brief(openedIncident()))
}

func withSubmittedRecord(inc incident.Incident, audience incident.Audience) incident.Incident {
	inc.Status = incident.Approved
	inc.Record = incident.ClosingRecord{Summary: "A root key leaked.", WillPrevent: "No root keys.", Audience: audience}
	inc.Submission = &incident.Submission{By: "p1", At: noon, Digest: "sha256:" + strings.Repeat("ab", 32),
		Document: incident.SignedDocument{Revision: 1, Record: inc.Record}}
	return inc
}

func TestAnnouncePostmortem_UsesSignedAudience(t *testing.T) {
	for audience, want := range map[incident.Audience]struct{ announced, channel, direct int }{
		incident.AudienceAll: {announced: 1}, incident.AudienceResponders: {channel: 1}, incident.AudienceLegalSecurity: {direct: 3},
	} {
		t.Run(string(audience), func(t *testing.T) {
			f := newOutboundTest(t)
			b := f.openChannel()
			b.Incident = withSubmittedRecord(b.Incident, audience)
			b.Incident.Record.Audience = incident.AudienceAll // edited after signing
			b.Event.Kind = incident.EventPostmortemWritten
			f.must(f.effects.AnnouncePostmortem, b)
			b.Attempt = 2
			f.must(f.effects.AnnouncePostmortem, b)
			direct := f.countDirectMessages()
			if got := len(f.botMessages(announceChannelID)); got != want.announced || len(f.botMessages(b.Incident.Links[incident.LinkChannel])) != want.channel || direct != want.direct {
				t.Fatalf("got %d messages in the announce channel, %d in the incident channel and %d direct, want %+v", got, len(f.botMessages(b.Incident.Links[incident.LinkChannel])), direct, want)
			}
		})
	}
}

// countDirectMessages returns the number of direct messages from the bot.
func (f *outboundTest) countDirectMessages() int {
	n := 0
	for _, p := range f.ws.Config().People {
		for _, c := range f.ws.DMs(p.ID) {
			n += len(f.botMessages(c.ID))
		}
	}
	return n
}

func TestAgenda_HidesTitlesOfRestrictedIncidents(t *testing.T) {
	f := newOutboundTest(t)
	b := incident.Brief{Now: noon, Attempt: 1, Mark: "agenda-1", Agenda: []incident.Summary{
		{ID: 1, Status: incident.Approved, Severity: incident.Sev1, Title: "open title", ReviewAt: noon.Add(time.Hour)},
		{ID: 2, Status: incident.Dismissed, Severity: incident.Sev3, Title: "hidden title", Restricted: true}}}
	f.must(f.effects.Agenda, b)
	b.Attempt = 2
	f.must(f.effects.Agenda, b)
	posted := f.botMessages(announceChannelID)
	if len(posted) != 1 || strings.Contains(string(posted[0].Blocks), "hidden") || !strings.Contains(string(posted[0].Blocks), "open title") {
		t.Fatalf("got messages %+v", posted)
	}
}

func TestAgenda_ListsSuppressedAlerts(t *testing.T) {
	f := newOutboundTest(t)
	b := incident.Brief{Now: noon, Attempt: 1, Mark: "agenda-2", SuppressedAlerts: incident.AlertResult{Kinds: 2, Occurrences: 40,
		Alerts:             []incident.AlertLine{{ID: 17, Kind: "sentry.issue", Level: "low", Count: 39, LastAt: noon, Reason: "the load test"}},
		MaintenanceWindows: []incident.MaintenanceWindow{{ID: 3, Owner: "p1", Reason: "the database moves", From: noon, To: noon.Add(time.Hour), Suppressed: 4}}}}
	f.must(f.effects.Agenda, b)
	posted := f.botMessages(announceChannelID)
	if len(posted) != 1 {
		t.Fatalf("got messages %+v", posted)
	}
	for _, want := range []string{"since the last agenda*: 2. Occurrences: 40", "A17", "the load test", "M3 active", "the database moves"} {
		if !strings.Contains(string(posted[0].Blocks), want) {
			t.Errorf("got %s, want %q", posted[0].Blocks, want)
		}
	}
}

func TestAnnounceMaintenance_PostsOnce(t *testing.T) {
	eachFault(t, "chat.postMessage", func(f *outboundTest) {
		b := incident.Brief{Now: noon, Attempt: 1, Mark: "maintenance/3/started", Maintenance: &incident.MaintenanceWindow{ID: 3, Owner: "p1",
			Reason: "the <!channel> moves", From: noon, To: noon.Add(time.Hour)}}
		f.failThenRetry(f.effects.AnnounceMaintenance, b, "window", "3", "event", incident.MaintenanceStarted)
		posted := f.botMessages(announceChannelID)
		if len(posted) != 1 {
			f.Fatalf("got messages %+v, want one", posted)
		}
		for _, want := range []string{"Maintenance window M3 has started.", "sev3 and sev4 only", "unconfirmed", "moves"} {
			if !strings.Contains(string(posted[0].Blocks), want) {
				f.Errorf("got %s, want %q", posted[0].Blocks, want)
			}
		}
		if strings.Contains(string(posted[0].Blocks), "<!channel>") {
			f.Errorf("got %s, want the reason escaped", posted[0].Blocks)
		}
	})
}

func TestPageGroup_ReachesEachResponderOnce(t *testing.T) {
	for _, method := range []string{"chat.postMessage", "conversations.open", "conversations.history"} {
		eachFault(t, method, func(f *outboundTest) {
			f.ws.ClearFaults()
			b := brief(openedIncident())
			kind := strings.TrimPrefix(f.Name(), "TestPageGroup_ReachesEachResponderOnce/"+method+"_")
			// The first call succeeds, the second fails.
			var calls atomic.Int32
			cancel := f.ws.Subscribe(func(e chat.Entry) {
				if e.Call != nil && e.Call.Method == method {
					if calls.Add(1) == 1 {
						f.ws.SetFault(chat.Fault{Method: method, Kind: chat.FaultKind(kind), Count: 1})
					}
				}
			})
			defer cancel()
			cmd := f.failThenRetry(f.effects.PageGroup("S0SEC"), b, "round", "2", "escalation_step", "1")
			if cmd.Verb != incident.VerbPaged || cmd.Round != 2 || cmd.EscalationStep != 1 {
				f.Fatalf("got command %+v, want paged in round 2 by step 1", cmd)
			}
			posted := f.botMessages(announceChannelID)
			if f.countDirectMessages() != 2 || len(posted) != 1 || !strings.Contains(posted[0].Text, "<!subteam^S0SEC>") || strings.Contains(string(posted[0].Blocks), "Root key") {
				f.Fatalf("got %d direct messages and announcements %+v, want 2 and 1", f.countDirectMessages(), posted)
			}
		})
	}
}

// TestWithdrawPage_EditsEveryMessage checks the announce channel and the direct messages.
func TestWithdrawPage_EditsEveryMessage(t *testing.T) {
	f := newOutboundTest(t)
	b := brief(openedIncident())
	page := incident.Effect{Key: "INC-42/page/2/1", Kind: incident.EffectPage, Incident: b.Incident.ID, Args: map[string]string{"round": "2", "escalation_step": "1"}}
	b.Mark, b.Incident.Paging.Round = page.Key, 2
	if _, err := f.effects.PageGroup("S0SEC")(f.ctx, b, page); err != nil {
		t.Fatal(err)
	}
	b.Incident.Status, b.Mark = incident.Dismissed, "INC-42/9/page_resolve/2/1"
	withdraw := incident.Effect{Key: b.Mark, Kind: incident.EffectPageResolve, Incident: b.Incident.ID, Args: page.Args}
	if _, err := f.effects.WithdrawPage(f.ctx, b, withdraw); err != nil {
		t.Fatal(err)
	}
	edited := 0
	for _, c := range f.ws.Channels("") {
		for _, m := range f.botMessages(c.ID) {
			if !strings.Contains(m.Text, "no longer needs a responder") || strings.Contains(string(m.Blocks), "Acknowledge") {
				t.Errorf("got message %s %s, want no call for help and no button", m.Text, m.Blocks)
			}
			edited++
		}
	}
	if edited != 3 {
		t.Errorf("got %d messages, want 2 direct messages and 1 announcement", edited)
	}
}

func TestPageGroup_WithoutRecipientsFails(t *testing.T) {
	f := newOutboundTest(t)
	f.slack.cfg.AnnounceChannel = ""
	b := brief(openedIncident())
	b.Directory = incident.Directory{}
	if _, err := f.effects.PageGroup("S0SEC")(f.ctx, b, effect); !isBlocked(err) {
		t.Fatalf("got error %v, want one for an administrator", err)
	}
}

// TestRetract_EditsTheMessage checks that a closed request has no buttons.
func TestRetract_EditsTheMessage(t *testing.T) {
	f := newOutboundTest(t)
	b := f.openThread(incident.LinkSignoff)
	channel := b.Incident.Links[incident.LinkChannel]
	b.Incident = withSubmittedRecord(b.Incident, incident.AudienceAll)
	id := b.Incident.ID
	ask := incident.Effect{Kind: incident.EffectAskSign, Incident: id, Args: map[string]string{"department": "security"}}
	b.Event = incident.Event{Seq: 70, Kind: incident.EventSubmitted, RecordedAt: noon, HappenedAt: noon}
	b.Mark = id.String() + "/70/ask_sign/security"
	if _, err := f.effects.AskSign(f.ctx, b, ask); err != nil {
		t.Fatal(err)
	}
	b.Incident.Submission, b.Mark = nil, id.String()+"/71/retract/70/ask_sign/security"
	retract := incident.Effect{Key: b.Mark, Kind: incident.EffectRetract, Incident: id, Seq: 71, Args: map[string]string{"request": "ask_sign", "department": "security", "seq": "70"}}
	for range 2 { // a repeat changes nothing
		if _, err := f.effects.Retract(f.ctx, b, retract); err != nil {
			t.Fatal(err)
		}
	}
	posted := f.replies(b, incident.LinkSignoff)
	last := posted[len(posted)-1]
	if !strings.Contains(last.Text, "no longer applies") || strings.Contains(string(last.Blocks), "button") || strings.Contains(string(last.Blocks), "subteam") {
		t.Errorf("got message %s %s, want no button and no mention", last.Text, last.Blocks)
	}

	b.Event = incident.Event{Seq: 72, Kind: incident.EventDismissProposed, By: "p1", RecordedAt: noon, HappenedAt: noon}
	b.Incident.Status, b.Incident.Dismissal, b.Mark = incident.Active, &incident.Dismissal{By: "p1", At: noon, Reason: "a drill"}, id.String()+"/72/post"
	if _, err := f.effects.Post(f.ctx, b, incident.Effect{}); err != nil {
		t.Fatal(err)
	}
	if posted := f.botMessages(channel); !strings.Contains(string(posted[len(posted)-1].Blocks), "Agree and dismiss") {
		t.Fatalf("got %s, want the button of the proposal", posted[len(posted)-1].Blocks)
	}
	b.Incident.Dismissal = nil
	retract.Args = map[string]string{"request": "post", "seq": "72"}
	if _, err := f.effects.Retract(f.ctx, b, retract); err != nil {
		t.Fatal(err)
	}
	posted = f.botMessages(channel)
	if last := string(posted[len(posted)-1].Blocks); strings.Contains(last, "Agree and dismiss") || !strings.Contains(last, "no action is needed any more") {
		t.Errorf("got %s, want the proposal without its button", last)
	}
}

func TestAskSignAskConsult_PostOnceWhileOpen(t *testing.T) {
	eachFault(t, "chat.postMessage", func(f *outboundTest) {
		b := f.openChannel()
		b.Incident = withSubmittedRecord(b.Incident, incident.AudienceAll)
		b.Incident.Links[incident.LinkSignoff] = f.failThenRetry(f.effects.AskSign, b, "department", "security").Links[incident.LinkSignoff]
		if roots := f.botMessages(b.Incident.Links[incident.LinkChannel]); len(roots) != 1 || roots[0].TS != b.Incident.Links[incident.LinkSignoff] {
			f.Fatalf("got %d messages in the channel, want the first one of the thread", len(roots))
		}
		posted := f.replies(b, incident.LinkSignoff)
		if len(posted) != 1 {
			f.Fatalf("got %d requests, want 1", len(posted))
		}
		if text := posted[0].Text; strings.Contains(text, "<") || strings.Contains(text, "sha256") {
			f.Fatalf("got request %q, want no mention and no digest, because each signer gets a direct message", text)
		}
		for _, want := range []string{"Ben Oduya", "Eve Stone", `INC-42|security|sha256:`, `"action_id":"sign"`, `"action_id":"object"`} {
			if !strings.Contains(string(posted[0].Blocks), want) {
				f.Fatalf("got request %s, want %s", posted[0].Blocks, want)
			}
		}
		b.Mark, b.Incident.Signatures = "mark-2", []incident.Signature{{Department: incident.Security, By: "p2", Digest: b.Incident.Submission.Digest}}
		f.must(f.effects.AskSign, b, "department", "security")
		b.Incident.Consultations = []incident.Consultation{{Team: "payroll", Blocking: true, AskedAt: noon}}
		f.must(f.effects.AskConsult, b, "department", "payroll")
		b.Mark, b.Incident.Consultations[0].At = "mark-3", noon
		f.must(f.effects.AskConsult, b, "department", "payroll")
		if n := len(f.replies(b, incident.LinkSignoff)); n != 2 {
			f.Fatalf("got %d messages, want one for the signature and one for the answer", n)
		}
	})
}

func TestNotice_PostsOnce(t *testing.T) {
	f := newOutboundTest(t)
	b := incident.Brief{Now: noon, Attempt: 1, Mark: "notice/security.txt/2027-06-01/7"}
	notice := func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		e.Args = map[string]string{"about": "security_txt", "left": "7", "expires": "2027-06-01"}
		return f.effects.Notice(ctx, b, e)
	}
	f.must(notice, b)
	b.Attempt = 2
	f.must(notice, b)
	posted := f.botMessages(announceChannelID)
	if len(posted) != 1 || !strings.Contains(string(posted[0].Blocks), "security.txt expires on 2027-06-01, in 7 days or less") || !strings.Contains(string(posted[0].Blocks), "set a new date") {
		t.Fatalf("got messages %+v", posted)
	}
}
