package slack

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// handleSubmission answers a submitted form: nothing, and it closes; or what is
// wrong, under the field it is about.
func (s *Slack) handleSubmission(ctx context.Context, in interaction) any {
	verb := incident.Verb(in.View.CallbackID)
	if _, ok := forms[verb]; !ok {
		return nil
	}
	sub, err := s.parseSubmission(ctx, in)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	cmd, err := sub.command(verb)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	if verb == incident.VerbEditRecord && len(cmd.Record) == 0 {
		return nil // nothing was changed
	}
	state, err := json.Marshal(in.View.State.Values)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	key := idempotency("view", in.View.ID, in.View.Hash, string(state))
	result, err := s.attempt(ctx, key, commandBy(in.User.ID, key, cmd), nil)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	if verb == incident.VerbOpen {
		done := textView(forms[verb].title, "")
		done.Blocks.BlockSet = resultMessage(cmd, result).blocks
		return slack.NewUpdateViewSubmissionResponse(&done)
	}
	return nil
}

// fields of a refusal that have another name in the form.
var formFields = map[string][]string{
	"actions": {"detection", "prevention"}, "action": {"title"}, "reason": {"text"}, "outcome": {"text"}, "record": {"summary"},
	"digest": {"attest", "text"}, "regime": {"value"}, "affected": {"value"}, "decisions": {"text"},
}

// fieldErrors shows a refusal below the field that it names, and below the first
// field where it names none that the form has.
func (s *Slack) fieldErrors(ctx context.Context, v viewPayload, err error) any {
	message, _ := clip(clean(s.errorText(ctx, err)), 1000)
	var refused *incident.Error
	var inputs []string
	for _, b := range v.Blocks {
		if b.Type == "input" {
			inputs = append(inputs, b.BlockID)
		}
	}
	if len(inputs) == 0 {
		done := textView("Tocsin", message)
		return slack.NewUpdateViewSubmissionResponse(&done)
	}
	field := inputs[0]
	if errors.As(err, &refused) {
		for _, name := range append([]string{refused.Field}, formFields[refused.Field]...) {
			if slices.Contains(inputs, name) {
				field = name
				break
			}
		}
	}
	return slack.NewErrorsViewSubmissionResponse(map[string]string{field: message})
}

// submission is a submitted form being read.
type submission struct {
	meta    formMeta
	context incident.ParseContext
	fields  map[string]formElement // by argument
}

func (s *Slack) parseSubmission(ctx context.Context, in interaction) (submission, error) {
	sub := submission{fields: map[string]formElement{}}
	if err := json.Unmarshal([]byte(in.View.PrivateMetadata), &sub.meta); err != nil {
		return sub, incident.Invalid("", "this form is from an older version; close it and open it again")
	}
	w, err := s.parseContext(ctx, in.User.ID, "")
	if err != nil {
		return sub, err
	}
	sub.context, sub.context.Incident = w, sub.meta.Incident
	for name, elements := range in.View.State.Values {
		if e, ok := elements[name]; ok {
			sub.fields[name] = e
		}
	}
	return sub, nil
}

// text is what was typed into a field.
func (sub submission) text(name string) string { return strings.TrimSpace(sub.fields[name].Value) }

// selected is what was picked in a menu.
func (sub submission) selected(name string) string { return sub.fields[name].Option.Value }

// person is who was picked, or "" if nobody was.
func (sub submission) person(name string) (incident.PersonID, error) {
	if sub.fields[name].User == "" {
		return "", nil
	}
	return sub.resolvePerson(name, sub.fields[name].User)
}

func (sub submission) resolvePerson(field, user string) (incident.PersonID, error) {
	p, ok := sub.context.Directory.Resolve(identity(user))
	if !ok {
		return "", incident.Unknown(field, "the configuration does not know everybody you chose; have an administrator add them under people")
	}
	return p.ID, nil
}

// command makes the command that the form stands for.
func (sub submission) command(verb incident.Verb) (incident.Command, error) {
	cmd := incident.Command{Verb: verb, For: sub.meta.Incident, Department: sub.meta.Department, Step: sub.meta.Step, Expect: sub.meta.Expect,
		Text: sub.text("text"), Severity: incident.Severity(sub.selected("severity")), Role: incident.Role(sub.selected("role"))}
	if d := sub.selected("department"); d != "" {
		cmd.Department = incident.Department(d)
	}
	if when := sub.text("happened_at"); when != "" {
		at, err := incident.ParseWhen(when, "happened_at", sub.context)
		if err != nil {
			return cmd, err
		}
		cmd.HappenedAt = at
	}
	switch verb {
	case incident.VerbOpen:
		cmd.Title, cmd.Public = sub.text("title"), len(sub.fields["public"].Options) > 0
	case incident.VerbNote:
		cmd.Audience = incident.Audience(sub.selected("audience"))
	case incident.VerbEvidence:
		cmd.Evidence = &incident.Evidence{Name: sub.text("name"), Where: sub.text("where"), SHA256: strings.ToLower(sub.text("sha256"))}
	case incident.VerbEditRecord, incident.VerbSubmit, incident.VerbRevise:
		cmd.Record = sub.record()
	case incident.VerbScheduleReview:
		if at := sub.fields["when"].DateTime; at > 0 {
			cmd.When = time.Unix(at, 0)
		}
	case incident.VerbAssignRole:
		person, err := sub.person("person")
		cmd.Person = person
		return cmd, err
	case incident.VerbSetFact:
		return sub.fact(cmd)
	case incident.VerbAddAction:
		a, err := sub.action(incident.ActionKind(sub.selected("kind")), "title", "owner", "due")
		cmd.Action = &a
		return cmd, err
	case incident.VerbConclude:
		return sub.conclusion(cmd)
	}
	return cmd, nil
}

// record holds the fields that differ from what the form showed.
func (sub submission) record() map[string]string {
	changed := map[string]string{}
	for name, shown := range sub.meta.Shown {
		e, there := sub.fields[name]
		now := e.Value
		if name == "audience" {
			now = e.Option.Value
			there = there && now != ""
		}
		if there && fingerprint(now) != shown {
			changed[name] = strings.TrimSpace(now)
		}
	}
	return changed
}

// fact reads the form's value as it would be read if it were typed.
func (sub submission) fact(cmd incident.Command) (incident.Command, error) {
	words, err := incident.ParseCommandLine("fact "+sub.selected("fact")+" "+sub.text("value"), sub.context)
	if err != nil {
		return cmd, err
	}
	cmd.Fact = words.Command.Fact
	if cmd.Text == "" {
		cmd.Text = words.Command.Text
	}
	return cmd, nil
}

// action reads an action item out of three fields.
func (sub submission) action(kind incident.ActionKind, title, owner, due string) (incident.Action, error) {
	a := incident.Action{Kind: kind, Title: sub.text(title)}
	person, err := sub.person(owner)
	if err != nil {
		return a, err
	}
	a.Owner = person
	day, err := time.Parse(time.DateOnly, sub.fields[due].Date)
	switch {
	case a.Title == "":
		return a, incident.Invalid(title, "say what is to be done")
	case a.Owner == "":
		return a, incident.Invalid(owner, "an action item needs somebody who does it")
	case err != nil:
		return a, incident.Invalid(due, "an action item needs a day until when")
	}
	a.Due = day
	return a, nil
}

// conclusion reads the review: who was there, what was decided, what follows.
func (sub submission) conclusion(cmd incident.Command) (incident.Command, error) {
	for _, user := range sub.fields["attendance"].Users {
		person, err := sub.resolvePerson("attendance", user)
		if err != nil {
			return cmd, err
		}
		cmd.Attendance = append(cmd.Attendance, person)
	}
	for _, kind := range requiredActions {
		name := string(kind)
		if sub.text(name) == "" && sub.fields[name+"_owner"].User == "" && sub.fields[name+"_due"].Date == "" {
			continue
		}
		a, err := sub.action(kind, name, name+"_owner", name+"_due")
		if err != nil {
			return cmd, err
		}
		cmd.Actions = append(cmd.Actions, a)
	}
	cmd.Waiver = sub.text("exception")
	return cmd, nil
}
