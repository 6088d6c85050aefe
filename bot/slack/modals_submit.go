package slack

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// handleSubmission executes the command of a submitted form. It returns nil
// to close the form, or a response that shows errors below their fields.
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
		return nil // no field changed
	}
	state, err := json.Marshal(in.View.State.Values)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	key := idempotency("view", in.View.ID, in.View.Hash, string(state))
	result, err := s.attempt(ctx, key, s.commandBy(in.account(), key, cmd), nil)
	if err != nil {
		return s.fieldErrors(ctx, in.View, err)
	}
	if verb == incident.VerbOpen {
		done := textView(forms[verb].title, "")
		done.Blocks.BlockSet = s.layout(chat.Result(cmd, result)).blocks
		return slack.NewUpdateViewSubmissionResponse(&done)
	}
	return nil
}

// formFields maps the field of an [incident.Error] to inputs with another name.
var formFields = map[string][]string{
	"actions": {"detection", "prevention"}, "action": {"title"}, "reason": {"text"}, "outcome": {"text"}, "record": {"summary"},
	"digest": {"attest", "text"}, "regime": {"value"}, "affected": {"value"}, "decisions": {"text"},
}

// fieldErrors shows an error below the field that it names, or below the
// first field if the form does not have that field.
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

// submission is the content of a submitted form.
type submission struct {
	meta    formMeta
	context command.Context
	fields  map[string]formElement // by name of the argument
}

// parseSubmission reads the metadata and the fields of a submitted form.
func (s *Slack) parseSubmission(ctx context.Context, in interaction) (submission, error) {
	sub := submission{fields: map[string]formElement{}}
	if err := json.Unmarshal([]byte(in.View.PrivateMetadata), &sub.meta); err != nil {
		return sub, incident.Invalid("", "an older version of Tocsin opened this form. Close the form and open it again")
	}
	pc, err := s.parseContext(ctx, s.identityOf(in.account()), "")
	switch {
	case err != nil:
		return sub, err
	case pc.Who == "" && incident.Verb(in.View.CallbackID) != incident.VerbOpen: // errors about fields may name people
		return sub, incident.NotLinked(pc.By)
	}
	sub.context, sub.context.Incident = pc, sub.meta.Incident
	for name, elements := range in.View.State.Values {
		if e, ok := elements[name]; ok {
			sub.fields[name] = e
		}
	}
	return sub, nil
}

// text returns the text in a field.
func (sub submission) text(name string) string { return strings.TrimSpace(sub.fields[name].Value) }

// selected returns the selected value of a menu.
func (sub submission) selected(name string) string { return sub.fields[name].Option.Value }

// person returns the selected person, or "" if none is selected.
func (sub submission) person(name string) (incident.PersonID, error) {
	if sub.fields[name].User == "" {
		return "", nil
	}
	return sub.resolvePerson(name, sub.fields[name].User)
}

// resolvePerson returns the person with a Slack user ID.
func (sub submission) resolvePerson(field, user string) (incident.PersonID, error) {
	p, ok := sub.context.Directory.Resolve(identity(user))
	if !ok {
		return "", incident.Unknown(field, "a person you selected is not in the configuration. Ask an administrator to add them under people")
	}
	return p.ID, nil
}

// command returns the command of the form.
func (sub submission) command(verb incident.Verb) (incident.Command, error) {
	cmd := incident.Command{Verb: verb, For: sub.meta.Incident, Department: sub.meta.Department, Step: sub.meta.Step, Expect: sub.meta.Expect,
		Text: sub.text("text"), Severity: incident.Severity(sub.selected("severity")), Role: incident.Role(sub.selected("role"))}
	if d := sub.selected("department"); d != "" {
		cmd.Department = incident.Department(d)
	}
	if when := sub.text("happened_at"); when != "" {
		at, err := command.ParseWhen(when, "happened_at", sub.context)
		if err != nil {
			return cmd, err
		}
		cmd.HappenedAt = at
	}
	switch verb {
	case incident.VerbOpen:
		cmd.Title, cmd.Public = sub.text("title"), len(sub.fields["public"].Options) > 0
	case incident.VerbDismiss:
		cmd.NoPersonalData = len(sub.fields["no_personal_data"].Options) > 0
	case incident.VerbNote:
		cmd.Audience = incident.Audience(sub.selected("audience"))
	case incident.VerbResolve:
		cmd.Reason = sub.text("reason")
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

// record returns the fields that differ from the values in the form.
func (sub submission) record() map[string]string {
	changed := map[string]string{}
	for name, shown := range sub.meta.Shown {
		e, ok := sub.fields[name]
		now := e.Value
		if name == "audience" {
			now = e.Option.Value
			ok = ok && now != ""
		}
		if ok && fingerprint(now) != shown {
			changed[name] = strings.TrimSpace(now)
		}
	}
	return changed
}

// fact parses the value like the typed command "fact".
func (sub submission) fact(cmd incident.Command) (incident.Command, error) {
	parsed, err := command.Parse("fact "+sub.selected("fact")+" "+sub.text("value"), sub.context)
	if err != nil {
		return cmd, err
	}
	cmd.Fact = parsed.Command.Fact
	if cmd.Text == "" {
		cmd.Text = parsed.Command.Text
	}
	return cmd, nil
}

// action returns an action item from three fields.
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
		return a, incident.Invalid(title, "describe the action item")
	case a.Owner == "":
		return a, incident.Invalid(owner, "select the owner of the action item")
	case err != nil:
		return a, incident.Invalid(due, "select the due date of the action item")
	}
	a.Due = day
	return a, nil
}

// conclusion adds the attendance, the action items and the waiver to the
// command.
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
	cmd.Waiver = sub.text("waiver")
	return cmd, nil
}
