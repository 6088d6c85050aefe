//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/slack"
	"tocsin/store/storetest"
)

// TestOutsider_FindsNothingOfARestrictedIncident lives a restricted incident from its alert
// to its end. Every text that a person or a source gives has a unique word. Then it searches
// everything that people without access can reach for these words and for the participants.
func TestOutsider_FindsNothingOfARestrictedIncident(t *testing.T) {
	t.Parallel()
	for name, overHTTP := range map[string]bool{"http": true, "socket mode": false} {
		t.Run(name, func(t *testing.T) {
			o := &outsiderSearch{leakTest: leakTest{canaries: map[string]string{}}}
			o.botProcess = startBot(t, storetest.SQLite(t), company.Options{Seed: 61, HTTP: overHTTP, Limits: chat.Limits{Off: true}}, configureEverything)
			o.choosePeople()
			o.open()
			if overHTTP { // every person asks once, at another time of the incident
				o.tryAll("during the response")
			}
			o.respond()
			o.close()
			if !overHTTP {
				o.tryAll("after the end")
			}
			o.waitIdle(time.Minute)
			o.checkReached()
			o.search()
		})
	}
}

// boardMail gets the approved updates about restricted incidents.
const boardMail = "board@payroll.example"

// configureEverything adds the parts that send texts about incidents to other systems.
func configureEverything(c map[string]any) {
	c["public_url"] = "https://tocsin.payroll.example"
	pd := c["pagerduty"].(map[string]any)
	pd["api_url"], pd["api_key"], pd["service"], pd["from"] = pd["events_url"], company.PagerToken, company.PagerService, c["people"].([]any)[0].(map[string]any)["email"]
	c["updates"] = map[string]any{"audiences": []any{
		map[string]any{"name": "company", "slack_channel": company.AnnounceChannel},
		map[string]any{"name": "board", "mail": []string{boardMail}, "restricted": true}}}
}

// outsiderSearch is a restricted incident with its people. The outsiders are a member of a
// team without a part in the incident, a responder and a head who are excluded, and a guest
// of the workspace.
type outsiderSearch struct {
	leakTest
	engineers, security, legal, communications []company.Person
	outsiders                                  []company.Person
	channel                                    string
	onForm                                     func(chat.View) // called for each form that an answer opens
}

func (o *outsiderSearch) choosePeople() {
	in := o.company.In
	o.engineers, o.security, o.legal, o.communications = in("engineering")[:3], in("security"), in("legal"), in("communications")
	guest := company.Person{ID: "U0GUEST", Name: "Guest Person", Email: "guest@other.example"}
	o.company.Chat.AddPerson(chat.Person{ID: guest.ID, Name: "guest", RealName: guest.Name, Email: guest.Email})
	o.outsiders = []company.Person{in("payments")[1], in("engineering")[3], in("payments")[0], guest}
	if err := o.company.Chat.Act(o.engineers[0].ID).Invite("C0GENERAL", guest.ID); err != nil {
		o.t.Fatal(err)
	}
}

// do gives a command in the channel of the incident, which must be recorded.
func (o *outsiderSearch) do(who company.Person, format string, args ...any) {
	o.t.Helper()
	text := fmt.Sprintf(format, args...)
	before := o.countEvents()
	if reply, err := o.slash(who, o.channel, text); err != nil || o.countEvents() == before {
		o.t.Errorf("%s by %s: got %s, %v, want an event", text, who.Name, reply, err)
	}
}

// countEvents returns the number of events that people caused.
func (o *outsiderSearch) countEvents() int {
	return len(slices.DeleteFunc(o.view(1).Timeline, func(e incident.Event) bool { return e.By == "" }))
}

func mention(who company.Person) string { return "<@" + who.ID + "|" + who.Name + ">" }

// open opens the incident by an alert and excludes two people.
func (o *outsiderSearch) open() {
	issue := feed.NewIssue(feed.DataLeak, 61)
	issue.Value, issue.Culprit = issue.Value+" "+o.canary("title of an alert"), "views "+o.canary("culprit of an alert")
	o.requireAccepted(o.company.Sentry.EventAlert(o.t.Context(), issue, feed.Copy{}))
	o.channel = o.channelOf(1).ID
	o.waitIdle(time.Minute)
	for _, suspect := range []company.Person{o.company.In("engineering")[3], o.company.In("payments")[0]} {
		text := fmt.Sprintf("exclude INC-1 %s --remove because %s", mention(suspect), o.canary("reason of an exclusion"))
		if reply, err := o.slash(o.security[0], o.channel, text); err != nil || !strings.Contains(reply, "is excluded") {
			o.t.Fatalf("%s: got %s, %v", text, reply, err)
		}
	}
	o.waitIdle(time.Minute)
}

// respond acknowledges, pages, notes and updates with every kind of text.
func (o *outsiderSearch) respond() {
	commander, second := o.engineers[0], o.security[0]
	o.do(commander, "ack")
	o.do(commander, "role scribe %s", mention(o.engineers[1]))
	o.do(commander, "page %s because %s", mention(o.security[1]), o.canary("reason of a page"))
	o.do(commander, "page security because %s", o.canary("reason of a page to a team"))
	o.do(commander, "note %s", o.canary("note"))
	o.do(commander, "severity sev2 because %s", o.canary("reason of a severity"))
	o.do(commander, "fact personal_data suspected because %s", o.canary("reason of a fact"))
	o.do(commander, `fact affected "%s SA" processor 12 because they wrote`, o.canary("affected party"))
	o.do(commander, `evidence "%s" in s3://%s/x`, o.canary("name of evidence"), strings.ReplaceAll(strings.ToLower(o.canary("place of evidence")), " ", "_"))
	o.do(commander, "update %s", o.canary("update to responders"))
	o.do(o.communications[0], "update --to board --next 30m %s", o.canary("update to the board"))
	o.do(o.legal[0], "update approve U2")
	if reply, err := o.slash(o.communications[0], o.channel, "update --to company "+o.canary("update to the company")); isRecorded(reply, err) {
		o.t.Errorf("update to an audience that is not for restricted incidents: got %s", reply)
	}
	message, err := o.company.Chat.Act(commander.ID).Upload(o.channel, o.canary("name of a file")+".txt", []byte(o.canary("content of a file")), o.canary("message"), "")
	if err != nil {
		o.t.Fatal(err)
	}
	if err := o.company.Chat.Act(commander.ID).React(o.channel, message.TS, "pushpin"); err != nil {
		o.t.Error(err)
	}
	if err := o.company.Chat.Act(commander.ID).MessageShortcut(slack.ShortcutAddEvidence, o.channel, message.TS); err != nil {
		o.t.Error(err)
	}
	asker := o.company.In("payments")[1]
	if reply, err := o.slash(asker, "C0GENERAL", "access request INC-1 because "+o.canary("reason of a request")); err != nil || reply == "" {
		o.t.Errorf("request: got %s, %v", reply, err)
	}
	o.do(second, "revoke %s because %s", mention(asker), o.canary("reason of a refusal"))
	o.do(commander, "handover %s %s", mention(second), o.canary("briefing"))
	o.do(second, "delegate security %s until %s", mention(o.security[2]), time.Now().AddDate(0, 1, 0).Format(time.DateOnly))
	o.do(second, "contain %s", o.canary("containment"))
	o.do(second, "resolve %s because %s", o.canary("resolution"), o.canary("open steps"))
	o.waitIdle(time.Minute)
}

// close writes the record, signs it and holds the review.
func (o *outsiderSearch) close() {
	scribe := o.engineers[1]
	for _, field := range []string{"summary", "impact", "root_cause", "contributing_factors", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		o.do(scribe, "record set %s %s", field, o.canary("closing record's "+field))
	}
	o.do(scribe, "submit")
	o.waitIdle(time.Minute) // the signers are invited
	digest := func() string { return o.view(1).Incident.Submission.Digest }
	o.do(o.legal[0], "object legal %s %s", digest(), o.canary("objection"))
	o.do(o.legal[0], "withdraw O1 because %s", o.canary("withdrawal"))
	for department, who := range map[string]company.Person{"engineering": o.engineers[2], "security": o.security[1], "legal": o.legal[0], "communications": o.communications[0]} {
		o.do(who, "sign %s %s", department, digest())
	}
	o.waitIdle(time.Minute)
	o.do(scribe, "action add detection %s owner me due 2099-12-24", o.canary("action item"))
	o.do(scribe, "action add prevention %s owner me due 2099-12-24", o.canary("second action item"))
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		o.t.Fatal(err)
	}
	o.do(scribe, "review %s", time.Now().In(zone).Add(10*time.Minute).Format("2006-01-02 15:04"))
	o.do(scribe, "review conclude with me, %s because everybody is here: %s", mention(o.engineers[0]), o.canary("decisions"))
	o.do(scribe, "action done A1 %s", o.canary("how an item was done"))
	o.waitIdle(time.Minute)
	if s := o.view(1).Incident.Status; s != incident.Closed {
		o.t.Fatalf("got status %s at the end, want closed", s)
	}
}

// checkReached requires that the people of the incident read every text, so that the search
// has something to find.
func (o *outsiderSearch) checkReached() {
	o.t.Helper()
	raw, err := json.Marshal(o.view(1))
	if err != nil {
		o.t.Fatal(err)
	}
	for canary, where := range o.canaries {
		hidden := []string{"update to the company", "culprit of an alert", "content of a file", "reason of an exclusion", "reason of a request"} // the person can have asked before
		if !strings.Contains(strings.ToLower(string(raw)), strings.ToLower(canary)) && !slices.Contains(hidden, where) {
			o.t.Errorf("the incident does not show %s", where)
		}
	}
}

// reachable is a text that an outsider can reach.
type reachable struct{ where, text string }

// find reports every unique word and, with people, every participant in the texts.
func (o *outsiderSearch) find(all []reachable, people bool) {
	o.t.Helper()
	for _, r := range all {
		lower := strings.ToLower(r.text)
		for canary, where := range o.canaries {
			if strings.Contains(lower, strings.ToLower(canary)) {
				o.t.Errorf("%s shows %s: %.600s", r.where, where, r.text)
			}
		}
		for _, p := range slices.Concat(o.engineers, o.security, o.legal, o.communications) {
			if people && (strings.Contains(r.text, p.Name) || strings.Contains(r.text, p.ID) || strings.Contains(r.text, p.Email)) {
				o.t.Errorf("%s shows the participant %s: %.600s", r.where, p.Name, r.text)
			}
		}
	}
}

func asText(v any) string {
	raw, _ := json.Marshal(v) // strings and raw JSON
	return string(raw)
}

// search looks at everything that reached an outsider without a question.
func (o *outsiderSearch) search() {
	o.t.Helper()
	ws := o.company.Chat
	var passive []reachable
	for _, who := range o.outsiders {
		for _, c := range ws.Channels(who.ID) {
			if c.ID == o.channel {
				o.t.Errorf("%s sees the channel of the incident", who.Name)
			}
			// The members of a channel are people of the workspace. Everything else comes from Tocsin.
			c.Members, c.Creator = nil, ""
			passive = append(passive, reachable{who.Name + " in the channel " + c.Name, asText(c)})
			for _, root := range ws.Messages(c.ID) {
				for _, m := range ws.Thread(c.ID, root.TS) {
					m.Notified, m.ReplyUsers = nil, nil
					if m.User == botUser {
						passive = append(passive, reachable{who.Name + " in the channel " + c.Name, asText(m)})
					}
				}
			}
			passive = append(passive, reachable{"pins of " + c.Name, asText(ws.Pins(c.ID))}, reachable{"bookmarks of " + c.Name, asText(ws.Bookmarks(c.ID))})
		}
		if home, ok := ws.Home(who.ID); ok {
			passive = append(passive, reachable{who.Name + " on the home tab", asText(home)})
		}
		for _, m := range o.company.Mail.For(who.Email) {
			passive = append(passive, reachable{who.Name + " by mail", string(m.Raw)})
		}
	}
	for _, f := range ws.Files() {
		for channel := range f.Shares {
			if c, _ := ws.Channel(channel); c.Kind == chat.KindPublic || slices.ContainsFunc(o.outsiders, func(p company.Person) bool { return slices.Contains(c.Members, p.ID) }) {
				o.t.Errorf("the file %s is in %s", f.Name, c.Name)
			}
		}
	}
	for _, m := range o.company.Mail.For(company.EveryoneMail) {
		passive = append(passive, reachable{"mail to everyone", string(m.Raw)})
	}
	for _, path := range []string{"/readyz", "/metrics", "/healthz"} {
		_, body := o.httpGet(path)
		passive = append(passive, reachable{path, body})
	}
	for _, path := range o.statusPages() {
		status, body := o.httpGet(path)
		if status != http.StatusOK {
			o.t.Errorf("%s: got status %d", path, status)
		}
		passive = append(passive, reachable{"the status page", body})
	}
	if len(passive) < 20 {
		o.t.Errorf("got %d texts, want at least 20", len(passive))
	}
	o.find(passive, true)
	var pages []reachable // PagerDuty names its users itself
	for _, in := range o.company.Pager.Snapshot().Incidents {
		pages = append(pages, reachable{"the page " + in.Key, asText(in)})
		for _, n := range in.Notes {
			o.find([]reachable{{"a note in PagerDuty", n.Content}}, true)
		}
	}
	for _, r := range o.company.Pager.Requests() {
		pages = append(pages, reachable{"a request to PagerDuty", asText(r)})
	}
	o.find(pages, false)
}

var statusPath = regexp.MustCompile(`/i/[0-9]+-[0-9a-zA-Z_-]+`)

// statusPages returns the paths of the status pages that pages link.
func (o *outsiderSearch) statusPages() (out []string) {
	for _, r := range o.company.Pager.Requests() {
		for _, path := range statusPath.FindAllString(asText(r), -1) {
			if !slices.Contains(out, path) {
				out = append(out, path)
			}
		}
	}
	if len(out) == 0 {
		o.t.Error("got no status page in a page")
	}
	return out
}

// noIncident is an incident that does not exist. Its number is as long as that of INC-1.
const noIncident = incident.ID(9)

// varying are the parts of an answer that differ between two equal questions.
var varying = regexp.MustCompile(`"block_id":"[^"]*"|INC-[19]\b|inc-[19]\b|\b[AD](1|99999)\b|[0-9]{2}:[0-9]{2}(:[0-9]{2})?|<!date\^[0-9]+`)

func (o *outsiderSearch) tryAll(when string) {
	o.t.Helper()
	for _, who := range o.outsiders {
		o.try(who, when)
	}
}

// try gives every command, button and shortcut as an outsider, about the incident and about
// one that does not exist. The answers must be equal and must show nothing.
func (o *outsiderSearch) try(who company.Person, when string) {
	o.t.Helper()
	same := func(what string, ask func(incident.ID) string) {
		o.t.Helper()
		got, want := ask(1), ask(noIncident)
		o.find([]reachable{{fmt.Sprintf("%s, %s, %s", who.Name, when, what), got}}, false)
		if got == "" || varying.ReplaceAllString(got, "X") != varying.ReplaceAllString(want, "X") {
			o.t.Errorf("%s, %s, %s:\n if it exists: %.900s\n if not:       %.900s", who.Name, when, what, got, want)
		}
	}
	for _, spec := range command.Specs() {
		if !spec.NeedsIncident {
			continue
		}
		for _, example := range append(slices.Clone(spec.Examples), spec.Name) {
			if strings.Contains(example, "break-glass") && who.Department == "legal" || strings.HasPrefix(example, "page test") { // a test page is about no incident
				continue
			}
			name, rest, _ := strings.Cut(example, " ")
			rest = strings.ReplaceAll(strings.ReplaceAll(rest, "INC-42 ", ""), "INC-42", "")
			rest = strings.ReplaceAll(rest, "@ada", mention(o.engineers[0]))
			same(example, func(id incident.ID) string {
				for _, y := range spec.Syntaxes {
					for _, word := range y.Words {
						if after, ok := strings.CutPrefix(rest, word+" "); ok {
							return o.typed(who, name+" "+word+" "+id.String()+" "+after)
						}
					}
				}
				return o.typed(who, name+" "+id.String()+" "+rest)
			})
		}
	}
	for _, row := range incident.Transitions {
		if len(command.Typed(row.Verb)) > 0 && row.Verb != incident.VerbOpen {
			for _, value := range []string{"", "|legal|sha256:00"} {
				same("button "+string(row.Verb)+value, func(id incident.ID) string { return o.pressed(who, slack.ActionID(row.Verb), id.String()+value) })
			}
		}
	}
	for _, spec := range command.Specs() {
		if spec.NeedsIncident {
			same("question "+spec.Name, func(id incident.ID) string { return o.pressed(who, "ask/0", spec.Name+" "+id.String()) })
		}
	}
	same("question record show", func(id incident.ID) string { return o.pressed(who, "ask/0", "record show "+id.String()) })
	same("a mention", func(id incident.ID) string { return o.mentioned(who, "status "+id.String()) })
	all := o.tryGeneral(who, when, same)
	if _, err := o.company.Chat.Act(who.ID).OpenHome(); err != nil {
		o.t.Error(err)
	}
	own, err := o.company.Chat.Act(who.ID).Post("C0GENERAL", "look at INC-1", "")
	if err == nil {
		for _, shortcut := range []string{slack.ShortcutAddNote, slack.ShortcutAddAction, slack.ShortcutAddEvidence} {
			all = append(all, reachable{"shortcut " + shortcut, o.answer(who, func() error { return o.company.Chat.Act(who.ID).MessageShortcut(shortcut, "C0GENERAL", own.TS) })})
		}
		for _, name := range []string{"pushpin", "white_check_mark"} {
			if err := o.company.Chat.Act(who.ID).React("C0GENERAL", own.TS, name); err != nil {
				o.t.Error(err)
			}
		}
	} else {
		o.t.Error(err)
	}
	dm, err := o.company.Chat.Act(who.ID).OpenDM()
	if err != nil {
		o.t.Fatal(err)
	}
	for _, text := range []string{"status INC-1", "timeline INC-1", "who INC-1", "note INC-1 hello"} {
		before := len(o.company.Chat.Messages(dm))
		if _, err := o.company.Chat.Act(who.ID).Post(dm, text, ""); err != nil {
			o.t.Fatal(err)
		}
		o.waitFor(20*time.Second, "an answer to a direct message", func() bool { return len(o.company.Chat.Messages(dm)) >= before+2 })
	}
	all = append(all, reachable{"direct messages of " + who.Name, asText(o.company.Chat.Messages(dm))})
	o.find(all, false)
}

// tryGeneral gives the commands that need no incident. If an example names an incident, an
// alert or a delivery, the answer must be the same as for one that does not exist.
func (o *outsiderSearch) tryGeneral(who company.Person, when string, same func(string, func(incident.ID) string)) (all []reachable) {
	o.t.Helper()
	changes := []string{"open", "maintenance add", "maintenance confirm", "maintenance end"} // something else than the incident
	for _, spec := range command.Specs() {
		for _, example := range append(slices.Clone(spec.Examples), spec.Name) {
			switch {
			case spec.NeedsIncident, slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(example, c) }):
			case numbered.MatchString(example):
				same(example, func(id incident.ID) string {
					number := "1"
					if id == noIncident {
						number = missingNumber
					}
					return o.typed(who, strings.ReplaceAll(numbered.ReplaceAllString(example, "${1}"+number), "INC-"+number, id.String()))
				})
			default:
				all = append(all, reachable{fmt.Sprintf("%s, %s, %q", who.Name, when, example), o.typed(who, example)})
			}
		}
	}
	for _, text := range []string{"", "list all", "list closed"} {
		all = append(all, reachable{fmt.Sprintf("%s, %s, %q", who.Name, when, text), o.typed(who, text)})
	}
	return all
}

// missingNumber is the number of no alert and no delivery.
const missingNumber = "99999"

// numbered matches the numbers of incidents, alerts and deliveries in examples.
var numbered = regexp.MustCompile(`\b(INC-|A|D)[0-9]+\b`)

// mentioned mentions Tocsin in the announce channel, in which Tocsin reads mentions.
func (o *outsiderSearch) mentioned(who company.Person, text string) string {
	o.t.Helper()
	return o.answer(who, func() error {
		if err := o.company.Chat.Act(who.ID).Join("C0INCIDENTS"); err != nil {
			return err
		}
		_, err := o.company.Chat.Act(who.ID).Post("C0INCIDENTS", "<@"+botUser+"> "+text, "")
		return err
	})
}

// answer acts and returns what the person sees of it: a new message that only they see, or an
// open form, which it closes.
func (o *outsiderSearch) answer(who company.Person, act func() error) string {
	o.t.Helper()
	ws := o.company.Chat
	seen := len(ws.Ephemerals(who.ID))
	if err := act(); err != nil {
		o.t.Errorf("%s: %v", who.Name, err)
		return ""
	}
	var out []string
	o.waitFor(20*time.Second, "an answer to "+who.Name, func() bool {
		out = nil
		for _, m := range ws.Ephemerals(who.ID)[seen:] {
			out = append(out, m.Text+string(m.Blocks))
		}
		for _, v := range ws.OpenViews(who.ID) {
			if strings.Contains(string(v.Blocks), "Loading…") {
				return false
			}
			out = append(out, v.Title+" "+string(v.Blocks))
		}
		return len(out) > 0
	})
	for _, v := range ws.OpenViews(who.ID) {
		if o.onForm != nil {
			o.onForm(v)
		}
		if err := ws.Act(who.ID).CloseView(v.ID, true); err != nil {
			o.t.Error(err)
		}
	}
	return strings.Join(out, "\n")
}

// typed types a command outside the channel of the incident.
func (o *outsiderSearch) typed(who company.Person, text string) string {
	o.t.Helper()
	return o.answer(who, func() error {
		_, err := o.company.Chat.Act(who.ID).Command("C0GENERAL", "/incident", text)
		return err
	})
}

// pressed presses a button of a message with a forged value.
func (o *outsiderSearch) pressed(who company.Person, action, value string) string {
	o.t.Helper()
	ts := o.postButton(action, value)
	return o.answer(who, func() error { return o.company.Chat.Act(who.ID).Click("C0INCIDENTS", ts, chat.Action{ID: action}) })
}

// postButton posts a message of the bot with a button in the announce channel.
func (o *outsiderSearch) postButton(action, value string) string {
	o.t.Helper()
	blocks := asText([]any{map[string]any{"type": "actions", "elements": []any{map[string]any{"type": "button", "action_id": action, "value": value,
		"text": map[string]string{"type": "plain_text", "text": "Press"}}}}})
	res, err := http.PostForm(o.company.ChatURL+"/api/chat.postMessage", url.Values{"token": {company.BotToken}, "channel": {"C0INCIDENTS"}, "text": {"x"}, "blocks": {blocks}})
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	var posted struct {
		TS string `json:"ts"`
	}
	if err != nil || json.Unmarshal(raw, &posted) != nil || posted.TS == "" {
		o.t.Fatalf("post a button: got %s, %v", raw, err)
	}
	return posted.TS
}
