package chat

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// buttonWorld is an incident, a clock that the test sets, and the messages about the
// incident as people see them.
type buttonWorld struct {
	*rapid.T
	dir      incident.Directory
	policy   incident.Policy
	now      time.Time
	inc      incident.Incident
	events   []incident.Event
	shown    map[string]shownMessage // by key of the effect that posted it
	seen     map[string]bool         // kinds of messages whose buttons became outdated
	messages map[string]bool         // kinds of messages with buttons
}

// shownMessage is the buttons of a message.
type shownMessage struct {
	kind    string
	buttons []incident.Command
	page    incident.PageRef // of a page of a group
}

// replaced reports whether so many later pages followed a page of a group that Tocsin does
// not edit it any more. Its button still answers.
func (m shownMessage) replaced(inc incident.Incident) bool {
	return m.page.Round > 0 && inc.EndOf(m.page, incident.EffectPageAck) == incident.PageEndKnown
}

func newButtonWorld(t *rapid.T) *buttonWorld {
	w := &buttonWorld{T: t, now: start, inc: incident.New(7), shown: map[string]shownMessage{}, seen: map[string]bool{}, messages: map[string]bool{},
		policy: incident.Policy{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, EscalationSteps: 2, PersonalPages: []incident.Provider{incident.ProviderSlack},
			FirstUpdate: map[incident.Severity]time.Duration{incident.Sev1: 15 * time.Minute, incident.Sev2: 15 * time.Minute},
			TimeZone:    "Europe/Paris", Language: "en"}}
	for _, name := range append(incident.RequiredDepartments(), "payments") {
		team := incident.Team{Name: name}
		for n := range 3 {
			id := incident.PersonID(fmt.Sprintf("%s%d", name, n+1))
			w.dir.People = append(w.dir.People, incident.Person{ID: id, Name: "Name of " + string(id), Responder: name == incident.Engineering || name == incident.Security,
				Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U" + string(id)}}})
			team.Members = append(team.Members, incident.Membership{Person: id})
		}
		w.dir.Teams = append(w.dir.Teams, team)
	}
	w.dir.Audiences = []incident.UpdateAudience{{Name: "company", Channel: incident.AnnounceAudience, Restricted: true}}
	w.dir.People = append(w.dir.People, incident.Person{ID: "outsider", Name: "Outsider", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "Uoutsider"}}})
	run := incident.Run{Playbook: "leaked", Title: "Leaked key", Plan: []incident.Step{{ID: "rotate", Title: "Rotate it", Role: incident.Commander, Deadline: time.Minute}, {ID: "look", Title: "Look"}}}
	w.do("", incident.Command{Verb: incident.VerbOpen, Title: "A key leaked", Severity: incident.Sev2, Runs: []incident.Run{run},
		Alert: &incident.AlertRef{Alert: 1, Source: "cloudtrail", Kind: "cloudtrail.StopLogging", Title: "StopLogging", At: start}})
	w.do("", incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C1", incident.LinkCard: "1", incident.LinkChecklist: "2", incident.LinkSignoff: "3"}})
	return w
}

func (w *buttonWorld) env(p incident.PersonID) incident.Env {
	return incident.Env{Now: w.now, Actor: p, System: p == "", Directory: w.dir, Policy: w.policy, Timeline: w.events}
}

func (w *buttonWorld) brief(seq int) incident.Brief {
	b := incident.Brief{Incident: w.inc, Directory: w.dir, Now: w.now, Attempt: 1}
	if seq > 0 {
		b.Event = w.events[seq-1]
	}
	return b
}

// do gives a command, or does nothing if it is not possible. Then it edits and posts the
// messages as the effects request.
func (w *buttonWorld) do(p incident.PersonID, cmd incident.Command) bool {
	cmd.For, cmd.Via, cmd.Auth = w.inc.ID, incident.ViaSlack, "test"
	env := w.env(p)
	events, err := incident.Decide(cmd, w.inc, env)
	if err != nil || len(events) == 0 {
		return false
	}
	before, fresh := w.inc, len(w.events)
	for _, e := range events {
		sealed, _ := incident.Seal(w.inc.Head, e, func() []byte { sum := sha256.Sum256([]byte(fmt.Sprint(len(w.events)))); return sum[:] })
		w.inc, w.events = incident.Apply(w.inc, sealed), append(w.events, sealed)
	}
	var effects []incident.Effect
	for _, e := range w.events[fresh:] {
		effects = append(effects, e.Effects(w.inc, incident.Incident{}, env)...)
	}
	effects = append(effects, incident.Retractions(before, w.inc)...)
	old := maps.Clone(w.shown)
	was := func(p incident.PersonID, b incident.Command) bool { // whether a person could use a button before
		unchanged, err := incident.Offer(b, before, w.env(p))
		signer := b.Verb != incident.VerbSign || slices.Contains(before.Representatives(w.dir, b.Department, w.now), p)
		return err == nil && !unchanged && signer
	}
	for _, e := range effects {
		w.perform(e)
	}
	w.checkButtons(cmd, old, was)
	w.now = w.now.Add(time.Second)
	for _, e := range effects {
		if e.Kind == incident.EffectPage {
			page := incident.Command{Verb: incident.VerbPage, Round: atoi(e.Args["round"]), EscalationStep: atoi(e.Args["escalation_step"])}
			if w.do("", page) {
				w.showPage(e, GroupPage(w.brief(e.Seq), "on-call"))
				page.Verb = incident.VerbPaged
				w.do("", page)
			}
		}
	}
	return true
}

func atoi(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

// perform performs an effect at once. It fails the test if an edit may start later than 3 s
// after the event, or waits for the posts of the channel.
func (w *buttonWorld) perform(e incident.Effect) {
	b := w.brief(e.EventSeq())
	about := func(kind string, m Message, ok bool) {
		if ok {
			w.show(e.Key, kind, m)
		}
	}
	edits := e.Refresh || e.Kind == incident.EffectRetract || e.Kind == incident.EffectPageAck || e.Kind == incident.EffectPageResolve
	if edits && (e.After.After(w.now.Add(3*time.Second)) || strings.HasSuffix(e.Lane, "/channel")) {
		w.Fatalf("%s: got a start at %v in the lane %q, want at most 3 s after %v and no lane of posts", e.Key, e.After, e.Lane, w.now)
	}
	name := incident.Department(e.Args["department"])
	switch e.Kind {
	case incident.EffectCard:
		about("card", Card(b), true)
	case incident.EffectChecklist:
		about("checklist", Checklist(b), true)
	case incident.EffectSignoff:
		about("signoff", Signoff(b), true)
	case incident.EffectPost:
		m, ok := EventMessage(b, incident.ViaSlack)
		about("post about "+string(b.Event.Kind), m, ok)
	case incident.EffectArchive:
		about("last message", FinalMessage(b), true)
	case incident.EffectAskSign:
		if w.inc.Submission != nil && w.inc.SignedBy(name) == nil {
			about("request to sign", SignatureRequest(b, name), true)
		}
	case incident.EffectAskConsult:
		for _, c := range w.inc.Consultations {
			if c.Team == name && !c.Answered() {
				about("request to answer", AnswerRequest(b, c), true)
			}
		}
	case incident.EffectMessageSigners:
		if w.inc.AsksToSign(name, atoi(e.Args["request"])) {
			about("direct request to sign", SignerMessage(b, e.Args), true)
		}
	case incident.EffectPagePerson:
		about("page of a person about "+string(b.Event.Kind), PersonalPage(b), true)
	case incident.EffectAskApproval:
		if u := w.inc.Update(b.Event.Field("update")); u != nil && u.Waits() {
			about("direct request to approve", ApprovalRequest(b, *u), true)
		}
	case incident.EffectAskUpdate:
		if !w.inc.Status.Ended() && w.inc.UpdateReminded {
			about("reminder of an update", UpdateReminder(b), true)
		}
	case incident.EffectPageAck, incident.EffectPageResolve:
		if w.inc.EndOf(pageOf(e), e.Kind) != incident.PageEndKnown {
			w.showPage(e, WithdrawnGroupPage(b))
		}
	case incident.EffectRetract:
		key := incident.RequestKey(e)
		if old, posted := w.shown[key]; posted {
			m, ok := RetractedDirect(b, e)
			if !ok && incident.EffectKind(e.Args["request"]) == incident.EffectPost {
				m, ok = EventMessage(b, incident.ViaSlack)
			} else if !ok {
				m, ok = RetractedRequest(b, e), true
			}
			if ok {
				w.show(key, old.kind, m)
			}
		}
	}
}

func pageOf(e incident.Effect) incident.PageRef {
	return incident.PageRef{Round: atoi(e.Args["round"]), EscalationStep: atoi(e.Args["escalation_step"])}
}

func (w *buttonWorld) showPage(e incident.Effect, m Message) {
	key := pageOf(e).Key(w.inc.ID)
	w.show(key, "page of a group", m)
	s := w.shown[key]
	s.page = pageOf(e)
	w.shown[key] = s
}

// show records a message as people see it.
func (w *buttonWorld) show(key, kind string, m Message) {
	s := shownMessage{kind: kind}
	for _, b := range m.Blocks {
		switch b := b.(type) {
		case Actions:
			for _, a := range b {
				if a.Command.Verb != "" {
					s.buttons = append(s.buttons, a.Command)
				}
			}
		case Choice:
			for _, a := range b.Options {
				s.buttons = append(s.buttons, a.Command)
			}
		}
	}
	w.shown[key] = s
	if len(s.buttons) > 0 {
		w.messages[kind] = true
	}
}

// offer returns the answer to a person who presses a button, and reports whether the command
// is possible.
func (w *buttonWorld) offer(p incident.PersonID, cmd incident.Command) (answer string, possible bool) {
	env := w.env(p)
	unchanged, err := incident.Offer(cmd, w.inc, env)
	switch {
	case err != nil:
		answer = err.Error()
	case unchanged:
		answer = incident.Suggestions(cmd, w.inc, env)
	default:
		return "", true
	}
	if e, ok := incident.EarlierOffer(cmd, w.events, env); ok {
		answer = incident.EarlierText(e, env) + ". " + answer
	}
	return answer, false
}

// possible reports whether any person can use a button.
func (w *buttonWorld) possible(cmd incident.Command) bool {
	if cmd.Verb == incident.VerbSign && cmd.Department != "" && (w.inc.Submission == nil || w.inc.Submission.Digest != cmd.Expect || w.inc.SignedBy(cmd.Department) != nil) {
		return false
	}
	return slices.Contains(incident.AllowedVerbs(w.inc.Status), cmd.Verb) && slices.ContainsFunc(w.dir.People, func(p incident.Person) bool {
		_, ok := w.offer(p.ID, cmd)
		return ok
	})
}

// checkButtons requires every button to be possible for a person, and every button that a
// message lost to answer with the cause and with the possible commands.
func (w *buttonWorld) checkButtons(cmd incident.Command, before map[string]shownMessage, was func(incident.PersonID, incident.Command) bool) {
	for key, m := range w.shown {
		if m.replaced(w.inc) {
			continue
		}
		for _, b := range m.buttons {
			if !w.possible(b) {
				w.Fatalf("%s in %s: the %s %s still has the button %s %+v", cmd.Verb, w.inc.Status, m.kind, key, b.Verb, b)
			}
		}
	}
	author := w.events[len(w.events)-1].By
	for key, old := range before {
		for _, b := range old.buttons {
			if w.possible(b) {
				continue
			}
			w.seen[old.kind] = true
			for _, p := range w.dir.People {
				if p.ID == author || !w.inc.MayRead(w.dir, p.ID, w.now) || !was(p.ID, b) {
					continue
				}
				answer, _ := w.offer(p.ID, b)
				if !strings.Contains(answer, "You can use ") && !strings.Contains(strings.ToLower(answer), "type ") && !strings.HasSuffix(answer, " the record first") || author != "" && !strings.Contains(answer, w.dir.Name(author)) {
					w.Fatalf("%s by %q in %s: %s presses the outdated button %s of the %s %s: got %q, want the cause and the possible commands", cmd.Verb, author, w.inc.Status, p.ID, b.Verb, old.kind, key, answer)
				}
				break
			}
		}
	}
}

// act gives a random command.
func (w *buttonWorld) act() {
	person := func(team incident.Department) incident.PersonID {
		return incident.PersonID(fmt.Sprintf("%s%d", team, rapid.IntRange(1, 3).Draw(w.T, "person")))
	}
	engineer, verb := person(incident.Engineering), rapid.SampledFrom(buttonVerbs).Draw(w.T, "verb")
	team := rapid.SampledFrom(incident.RequiredDepartments()).Draw(w.T, "department")
	c := incident.Command{Verb: verb, Text: "because"}
	digest := ""
	if w.inc.Submission != nil {
		digest = w.inc.Submission.Digest
	}
	switch verb {
	case incident.VerbEditRecord:
		c.Text, c.Record = "", map[string]string{"summary": "A key leaked.", "impact": "None.", "root_cause": "A log.", "contributing_factors": "None.", "what_was_done": "Rotated it.",
			"what_detected_it": "CloudTrail.", "what_will_detect_it": "A rule.", "what_will_prevent_it": "A scanner.", "audience": "all", "language": "en"}
	case incident.VerbSign, incident.VerbObject:
		for _, name := range incident.RequiredDepartments() { // often all of them sign
			if verb == incident.VerbSign && name != team {
				w.do(person(name), incident.Command{Verb: verb, Department: name, Expect: digest, Text: "read"})
			}
		}
		c.Department, c.Expect, engineer = team, digest, person(team)
	case incident.VerbWithdraw:
		c.Department, engineer = team, person(team)
		for _, o := range w.inc.Objections {
			c.Item, c.Department, engineer = o.ID, "", o.By
		}
	case incident.VerbSetSeverity:
		c.Severity = rapid.SampledFrom(incident.Severities()).Draw(w.T, "severity")
	case incident.VerbDismiss:
		c.NoPersonalData = true
		engineer = rapid.SampledFrom([]incident.PersonID{engineer, person(incident.Security)}).Draw(w.T, "by")
	case incident.VerbStepDone, incident.VerbStepSkip, incident.VerbStartStep, incident.VerbStepLate:
		c.Step = rapid.SampledFrom([]string{"rotate", "look"}).Draw(w.T, "step")
	case incident.VerbConsult:
		c.Department = "payments"
	case incident.VerbAnswer:
		c.Department, engineer = "payments", person("payments")
	case incident.VerbUpdate:
		c.Audiences, c.When = rapid.SampledFrom([][]string{nil, {"company"}}).Draw(w.T, "audiences"), w.now.Add(10*time.Minute)
	case incident.VerbApproveUpdate:
		engineer = person(incident.Legal)
		for _, u := range w.inc.Updates {
			c.Item = u.ID
		}
	case incident.VerbUpdateTimeout, incident.VerbAckTimeout, incident.VerbAbsenceTimeout:
		w.now = w.now.Add(time.Hour)
	case incident.VerbPageTimeout, incident.VerbPageFailed:
		c.Round, c.EscalationStep = w.inc.Paging.Round, w.inc.Paging.EscalationStep
	case incident.VerbPageAgain:
		if rapid.Bool().Draw(w.T, "person") {
			c.People = []incident.PersonID{person(incident.Engineering)}
		}
	case incident.VerbAddAction:
		c.Action = &incident.Action{Kind: rapid.SampledFrom([]incident.ActionKind{incident.ActionDetection, incident.ActionPrevention}).Draw(w.T, "kind"), Title: "Scan logs", Owner: engineer, Due: w.now.AddDate(0, 1, 0)}
	case incident.VerbFinishAction:
		for _, a := range w.inc.OpenActions() {
			c.Item, engineer = a.ID, a.Owner
		}
	case incident.VerbScheduleReview:
		c.When = w.now.AddDate(0, 0, rapid.IntRange(1, 3).Draw(w.T, "days"))
	case incident.VerbConclude:
		c.Attendance, c.Reason, engineer = []incident.PersonID{"engineering1", "security1"}, "all are here", person(incident.Security)
	case incident.VerbWaiveActions:
		engineer = rapid.SampledFrom([]incident.PersonID{engineer, person(incident.Security)}).Draw(w.T, "by")
	case incident.VerbRestrict:
		c.Public = rapid.Bool().Draw(w.T, "public")
	case incident.VerbRequestAccess:
		engineer = "outsider"
	case incident.VerbEndorseAccess, incident.VerbGrant, incident.VerbRevoke:
		c.Person, engineer = "outsider", person(incident.Security)
	case incident.VerbAssignRole:
		c.Role, c.Person = rapid.SampledFrom([]incident.Role{incident.Commander, incident.Scribe, incident.Communicator}).Draw(w.T, "role"), person(incident.Engineering)
	case incident.VerbAttach:
		c.Alert = &incident.AlertRef{Alert: int64(rapid.IntRange(2, 90).Draw(w.T, "alert")), Source: "sentry", Kind: "sentry.issue", Title: "x", At: w.now}
	case incident.VerbRemindSigners:
		c.Department, c.EscalationStep = team, int(incident.SignerHead)
		for _, r := range w.inc.Requests {
			if r.Effect == incident.EffectAskSign && r.Department == team {
				c.Round = r.Seq
			}
		}
	}
	if slices.Contains(botVerbs, verb) {
		engineer = ""
	}
	w.do(engineer, c)
}

var botVerbs = []incident.Verb{incident.VerbStartStep, incident.VerbStepLate, incident.VerbUpdateTimeout, incident.VerbAckTimeout, incident.VerbAbsenceTimeout, incident.VerbPageTimeout,
	incident.VerbPageFailed, incident.VerbAttach, incident.VerbRemindSigners, incident.VerbSeverityTimeout, incident.VerbAccessTimeout}

var buttonVerbs = append([]incident.Verb{incident.VerbAcknowledge, incident.VerbContain, incident.VerbResolve, incident.VerbEditRecord, incident.VerbSubmit, incident.VerbSign, incident.VerbSign, incident.VerbObject,
	incident.VerbWithdraw, incident.VerbAmend, incident.VerbRevise, incident.VerbReopen, incident.VerbDismiss, incident.VerbSetSeverity, incident.VerbKeepSeverity, incident.VerbStepDone, incident.VerbStepSkip,
	incident.VerbConsult, incident.VerbAnswer, incident.VerbUpdate, incident.VerbApproveUpdate, incident.VerbPageAgain, incident.VerbHere, incident.VerbAddAction, incident.VerbFinishAction,
	incident.VerbScheduleReview, incident.VerbConclude, incident.VerbWaiveActions, incident.VerbRestrict, incident.VerbRequestAccess, incident.VerbEndorseAccess, incident.VerbRevoke, incident.VerbAssignRole}, botVerbs...)

// TestButtons_GoneWhenOutdated gives random commands. After each of them, every message that
// an effect posted or edited has only buttons that a person can use, and every other button
// answers with the cause and the possible commands.
func TestButtons_GoneWhenOutdated(t *testing.T) {
	messages, seen := map[string]bool{}, map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		w := newButtonWorld(rt)
		defer func() { maps.Copy(messages, w.messages); maps.Copy(seen, w.seen) }()
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			w.act()
		}
	})
	t.Logf("messages with buttons: %v", slices.Sorted(maps.Keys(messages)))
	t.Logf("outdated: %v", slices.Sorted(maps.Keys(seen)))
}
