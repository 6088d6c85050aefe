//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/slack"
)

// directory returns the people of the company, as far as a command needs them.
func (v *verbTest) directory() incident.Directory {
	v.t.Helper()
	shown, err := v.sendCommand("status INC-1")
	if err != nil {
		v.t.Fatal(err)
	}
	d := incident.Directory{Audiences: []incident.UpdateAudience{{Name: "company"}, {Name: "board"}}}
	teams := map[string]*incident.Team{}
	for id, name := range shown.Names {
		n := slices.IndexFunc(v.company.People, func(p company.Person) bool { return p.Name == name })
		if n < 0 {
			continue
		}
		p := v.company.People[n]
		d.People = append(d.People, incident.Person{ID: id, Name: name, Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: p.ID}}})
		if teams[p.Department] == nil {
			teams[p.Department] = &incident.Team{Name: incident.Department(p.Department)}
		}
		teams[p.Department].Members = append(teams[p.Department].Members, incident.Membership{Person: id})
	}
	for _, team := range teams {
		d.Teams = append(d.Teams, *team)
	}
	return d
}

// give gives the command of a case through the form or the button of its verb, or types it
// if there is none.
func (v *verbTest) give(on incident.ID, c verbCase, text string) (string, error) {
	v.t.Helper()
	who := v.person(c.who)
	if v.door == "text" {
		return v.slash(who, "C0GENERAL", text)
	}
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return "", err
	}
	pc := command.Context{Now: time.Now(), Zone: zone}
	view := incident.View{}
	if c.verb != incident.VerbOpen {
		view = v.view(1)
		pc.Directory = v.directory()
	}
	if !opens(c.verb) {
		view = v.view(on)
	}
	id := func(p company.Person) incident.PersonID {
		person, _ := pc.Directory.Resolve(incident.Identity{Provider: incident.ProviderSlack, ID: p.ID})
		return person.ID
	}
	pc.Who = id(who)
	parsed, err := command.Parse(v.fillWith(on, c.text, func(p company.Person) string { return command.Mention(id(p), p.Name) }), pc)
	if err != nil {
		return "", err
	}
	cmd := parsed.Command
	args := command.ButtonArgs(cmd)
	if v.door == "button" {
		if c.verb == incident.VerbOpen || cmd.For == 0 || command.AsksForm(command.Press(c.verb, cmd.For, args)) || !isPress(cmd) {
			return v.slash(who, "C0GENERAL", text)
		}
		return v.press(who, c.verb, strings.Join(append([]string{cmd.For.String()}, args...), "|"))
	}
	form, ok := command.FormFor(cmd)
	if !ok {
		return v.slash(who, "C0GENERAL", text)
	}
	env := incident.Env{Now: pc.Now, Actor: pc.Who, Directory: pc.Directory}
	return v.submit(who, form, command.FormContext{Given: cmd, Incident: view.Incident, Timeline: view.Timeline, Directory: pc.Directory, Env: env})
}

// isPress reports whether a button can carry the whole command.
func isPress(c incident.Command) bool {
	return fmt.Sprint(command.Press(c.Verb, c.For, command.ButtonArgs(c))) == fmt.Sprint(c)
}

// press presses a button with a value in the announce channel and returns the answer.
func (v *verbTest) press(who company.Person, verb incident.Verb, value string) (string, error) {
	v.t.Helper()
	ws := v.company.Chat
	seen := len(ws.Ephemerals(who.ID))
	action := slack.ActionID(verb)
	ts, err := v.postButton(action, value)
	if err != nil {
		return "", err
	}
	if err := ws.Act(who.ID).Click("C0INCIDENTS", ts, chat.Action{ID: action}); err != nil {
		return "", err
	}
	var out string
	v.waitFor(20*time.Second, "an answer to "+value, func() bool {
		if all := ws.Ephemerals(who.ID); len(all) > seen {
			out = all[seen].Text + string(all[seen].Blocks)
			return true
		}
		if views := ws.OpenViews(who.ID); len(views) > 0 && !strings.Contains(string(views[len(views)-1].Blocks), "Loading…") {
			out = string(views[len(views)-1].Blocks)
			return true
		}
		return false
	})
	return out, nil
}

// postButton posts a message of the bot with a button in the announce channel.
func (v *verbTest) postButton(action, value string) (string, error) {
	blocks, err := json.Marshal([]any{map[string]any{"type": "actions", "elements": []any{map[string]any{"type": "button", "action_id": action, "value": value,
		"text": map[string]string{"type": "plain_text", "text": "Press"}}}}})
	if err != nil {
		return "", err
	}
	res, err := http.PostForm(v.company.ChatURL+"/api/chat.postMessage", url.Values{"token": {company.BotToken}, "channel": {"C0INCIDENTS"}, "text": {"x"}, "blocks": {string(blocks)}})
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	var posted struct {
		TS string `json:"ts"`
	}
	if err != nil || json.Unmarshal(raw, &posted) != nil || posted.TS == "" {
		return "", fmt.Errorf("post a button: got %s, %w", raw, err)
	}
	return posted.TS, nil
}

// submit opens the form of a command, fills in the fields and submits it. The form of a
// fact follows a form that selects the fact.
func (v *verbTest) submit(who company.Person, form *command.FormSpec, c command.FormContext) (string, error) {
	v.t.Helper()
	cmd, ws := c.Given, v.company.Chat
	var err error
	var reply string
	if words := openingWords(cmd); words != "" {
		_, err = ws.Act(who.ID).Command("C0GENERAL", "/incident", words)
	} else {
		reply, err = v.press(who, cmd.Verb, strings.Join(append([]string{cmd.For.String()}, command.ButtonArgs(cmd)...), "|"))
	}
	if err != nil || reply != "" && len(ws.OpenViews(who.ID)) == 0 {
		return reply, err
	}
	current := func() (found chat.View) {
		v.waitFor(20*time.Second, "the form of "+string(cmd.Verb), func() bool {
			views := ws.OpenViews(who.ID)
			if len(views) > 0 {
				found = views[len(views)-1]
			}
			return len(views) > 0 && !strings.Contains(string(found.Blocks), "Loading…")
		})
		return found
	}
	view := current()
	if cmd.Fact != nil {
		out, err := ws.Act(who.ID).Submit(view.ID, map[string]map[string]any{"fact": {"fact": string(cmd.Fact.Name)}})
		if err != nil || out.Outcome == chat.SubmitErrors {
			return "", fmt.Errorf("select the fact: got %+v, %w", out, err)
		}
		view = current()
	}
	var blocks []struct {
		Type    string `json:"type"`
		BlockID string `json:"block_id"`
	}
	if err := json.Unmarshal(view.Blocks, &blocks); err != nil {
		return "", err
	}
	given := fieldValues(form.Open(c), c)
	values := map[string]map[string]any{}
	for _, b := range blocks {
		if value, ok := given[b.BlockID]; b.Type == "input" && ok {
			values[b.BlockID] = map[string]any{b.BlockID: value}
		}
	}
	out, err := ws.Act(who.ID).Submit(view.ID, values)
	if err != nil || out.Outcome == chat.SubmitErrors {
		err = fmt.Errorf("submit the form: got %+v with %v: %w", out, values, err)
	}
	for _, left := range ws.OpenViews(who.ID) {
		if err := ws.Act(who.ID).CloseView(left.ID, true); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(out), err
}

// openingWords returns the command without arguments, if it opens the form, or "".
func openingWords(c incident.Command) string {
	for _, y := range command.SpecOf(c.Verb).Syntaxes {
		words := command.SpecOf(c.Verb).Name
		if len(y.Words) > 0 {
			words += " " + y.Words[0]
		}
		if c.For != 0 {
			words += " " + c.For.String()
		}
		if parsed, err := command.Parse(words, command.Context{Now: time.Now()}); y.Verb == c.Verb && err == nil && parsed.Form == c.Verb {
			return words
		}
	}
	return ""
}

// fieldValues returns the values that a person enters to give the command of c.
func fieldValues(f command.Form, c command.FormContext) map[string]any {
	out := map[string]any{"attest": []string{"yes"}}
	if c.Given.NoPersonalData {
		out["no_personal_data"] = []string{"yes"}
	}
	user := func(id string) string {
		p, _ := c.Directory.Person(incident.PersonID(id))
		return p.IDAt(incident.ProviderSlack)
	}
	for _, field := range f.Fields {
		if field.Value == "" {
			continue
		}
		switch field.Kind {
		case command.KindMany, command.KindTicks:
			out[field.Name] = strings.Fields(field.Value)
		case command.KindPerson:
			out[field.Name] = user(field.Value)
		case command.KindPeople:
			var users []string
			for _, id := range strings.Fields(field.Value) {
				users = append(users, user(id))
			}
			out[field.Name] = users
		case command.KindMoment:
			at, err := time.Parse(time.RFC3339, field.Value)
			if err == nil {
				out[field.Name] = at.Unix()
			}
		default:
			out[field.Name] = field.Value
		}
	}
	for name, value := range c.Given.Record {
		out[name] = value
	}
	cmd := c.Given
	set := func(field string, given bool, value func() any) {
		if given {
			out[field] = value()
		}
	}
	set("person", cmd.Person != "", func() any { return user(string(cmd.Person)) })
	set("when", !cmd.When.IsZero(), func() any { return cmd.When.Unix() })
	set("until", !cmd.Until.IsZero(), func() any { return cmd.Until.Unix() })
	set("audiences", len(cmd.Audiences) > 0, func() any { return cmd.Audiences })
	set("attendance", len(cmd.Attendance) > 0, func() any {
		var users []string
		for _, p := range cmd.Attendance {
			users = append(users, user(string(p)))
		}
		return users
	})
	if a := cmd.Action; a != nil {
		out["kind"], out["title"], out["owner"], out["due"] = string(a.Kind), a.Title, user(string(a.Owner)), a.Due.Format(time.DateOnly)
	}
	return out
}

// askAsOutsider asks every question as an outsider, who learns nothing about the incident.
func (v *verbTest) askAsOutsider() {
	v.t.Helper()
	for query, words := range queryCases {
		text := v.fill(1, words[0])
		reply, err := v.slash(v.person("outsider0"), "C0GENERAL", text)
		if err != nil || reply == "" {
			v.t.Errorf("question %s by an outsider: got %q, %v, want an answer", query, reply, err)
		}
		v.requireSecret("question "+query, reply)
		if strings.Contains(words[0], "ID") && !strings.Contains(reply, "INC-1 does not exist, or you may not read it") {
			v.t.Errorf("question %s by an outsider: got %.300s, want that it may not exist", query, reply)
		}
	}
}

// pressAsOutsider presses a button of every verb as an outsider, and opens every form.
func (v *verbTest) pressAsOutsider() {
	v.t.Helper()
	before := len(v.byPeople(1))
	who := v.person("outsider0")
	for _, spec := range command.Specs() {
		for _, y := range spec.Syntaxes {
			if y.Verb == "" || y.Verb == incident.VerbOpen {
				continue
			}
			reply, err := v.press(who, y.Verb, "INC-1")
			if err != nil {
				v.t.Errorf("button %s by an outsider: %v", y.Verb, err)
			}
			v.requireSecret("button "+string(y.Verb), reply)
			for _, view := range v.company.Chat.OpenViews(who.ID) {
				if err := v.company.Chat.Act(who.ID).CloseView(view.ID, true); err != nil {
					v.t.Error(err)
				}
			}
		}
	}
	if after := len(v.byPeople(1)); after != before {
		v.t.Errorf("got %d events after an outsider pressed every button, want %d", after, before)
	}
}

// requireSecret fails the test if an outsider reads the title or a participant of INC-1.
func (v *verbTest) requireSecret(what, reply string) {
	v.t.Helper()
	for _, secret := range []string{"payslip", v.person("engineering0").Name} {
		if strings.Contains(reply, secret) {
			v.t.Errorf("%s by an outsider: got %.400s, want it without %q", what, reply, secret)
		}
	}
}
