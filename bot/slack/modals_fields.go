package slack

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The limits of Slack for forms. Slack allows 100 blocks and 250 KB for the whole
// form.
const (
	maxInputText  = 3000 // units in a text input
	maxNote       = 300
	maxReadBlocks = 60
	maxFormBytes  = 200_000
)

// documentBlocks returns the document that a person reads before the fields of a
// form, as far as it fits.
func documentBlocks(f command.Form) []slack.Block {
	var blocks []slack.Block
	for _, part := range f.Document {
		blocks = append(blocks, textBlocks(part.Kind, part.Text)...)
	}
	if fit := countFitting(blocks); fit < len(blocks) {
		blocks = append(blocks[:fit], slack.NewSectionBlock(plainText("The record is too long for a form in Slack. Read the rest before you continue: tocsin incident record show "+f.State.Incident.String()), nil, nil))
	}
	return blocks
}

// countFitting returns how many of the blocks fit into a form.
func countFitting(blocks []slack.Block) int {
	size := 0
	for n, b := range blocks {
		data, err := json.Marshal(b)
		if size += len(data); err != nil || n == maxReadBlocks || size > maxFormBytes {
			return n
		}
	}
	return len(blocks)
}

// textBlocks returns a part of a form without input, in as many blocks as needed.
func textBlocks(kind command.FieldKind, content string) []slack.Block {
	content = clean(content)
	switch kind {
	case command.KindRule:
		return []slack.Block{slack.NewDividerBlock()}
	case command.KindHeading:
		return []slack.Block{slack.NewHeaderBlock(plainText(content))}
	case command.KindNote:
		content, _ = clip(content, maxNote)
		return []slack.Block{slack.NewContextBlock("", plainText(content))}
	}
	var blocks []slack.Block
	for content != "" {
		piece, cut := clip(content, maxBlockText)
		if cut {
			piece = strings.TrimSuffix(piece, "…")
		}
		blocks = append(blocks, slack.NewSectionBlock(plainText(piece), nil, nil))
		content = strings.TrimLeft(content[len(piece):], " \n\t")
	}
	return blocks
}

// fieldBlocks returns the blocks of one field. For a sparse field it stores the
// fingerprint of the value.
func (m formMeta) fieldBlocks(f command.Field) []slack.Block {
	if !f.Kind.IsInput() {
		return textBlocks(f.Kind, f.Label)
	}
	value := clean(f.Value)
	if f.Command != "" && units(value) > maxInputText {
		start, _ := clip(value, 300)
		return []slack.Block{slack.NewSectionBlock(plainText(f.Label+": "+start), nil, nil),
			slack.NewContextBlock("", plainText("This field is too long for a form in Slack. To change the field, type the command "+f.Command+"."))}
	}
	if isMenu(f.Kind) {
		all, groups, _ := menuOptions(f)
		if len(all)+len(groups) == 0 || len(value) > maxOptionValue {
			shown, _ := clip(f.Label+": "+cmp.Or(f.Titles[f.Value], value), maxBlockText)
			return []slack.Block{slack.NewSectionBlock(plainText(shown), nil, nil)}
		}
	}
	if f.Sparse {
		m.Shown[f.Name] = fingerprint(value)
	}
	label := f.Label
	if !f.Optional { // Slack marks the optional fields only
		label += " (required)"
	}
	b := slack.NewInputBlock(f.Name, plainText(label), nil, inputElement(f, cmp.Or(clean(f.Draft), value)))
	b.Optional, b.DispatchAction = f.Optional, f.Kind == command.KindProse
	if f.Hint != "" {
		b.Hint = plainText(f.Hint)
	}
	return []slack.Block{b}
}

// inputElement returns the input of a field. Block ID and action ID are the name of
// the field: [Slack.fieldErrors] finds the field of an error by this name.
func inputElement(f command.Field, value string) slack.BlockElement {
	switch f.Kind {
	case command.KindChoice:
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Select an option"), f.Name)
		var chosen []*slack.OptionBlockObject
		e.Options, e.OptionGroups, chosen = menuOptions(f, value)
		if len(chosen) > 0 {
			e.InitialOption = chosen[0]
		}
		return e
	case command.KindMany:
		e := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeStatic, plainText("Select one or more"), f.Name)
		e.Options, e.OptionGroups, e.InitialOptions = menuOptions(f, strings.Fields(value)...)
		return e
	case command.KindRadio:
		options, _, chosen := menuOptions(f, value)
		e := slack.NewRadioButtonsBlockElement(f.Name, options...)
		if len(chosen) > 0 {
			e.InitialOption = chosen[0]
		}
		return e
	case command.KindTicks:
		options, _, _ := menuOptions(f)
		return slack.NewCheckboxGroupsBlockElement(f.Name, options...)
	case command.KindCheck:
		return slack.NewCheckboxGroupsBlockElement(f.Name, slack.NewOptionBlockObject("yes", plainText(f.Options[0]), nil))
	case command.KindPerson:
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeUser, plainText("Select a person"), f.Name)
		e.InitialUser = value
		return e
	case command.KindPeople:
		e := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, plainText("Select people"), f.Name)
		e.InitialUsers = strings.Fields(value)
		return e
	case command.KindDay:
		e := slack.NewDatePickerBlockElement(f.Name)
		e.InitialDate = value
		return e
	case command.KindMoment:
		e := slack.NewDateTimePickerBlockElement(f.Name)
		if at, err := time.Parse(time.RFC3339, value); err == nil && at.Unix() > 0 {
			e.InitialDateTime = at.Unix()
		}
		return e
	case command.KindNumber:
		e := slack.NewNumberInputBlockElement(nil, f.Name, false)
		e.InitialValue, e.MinValue = value, "0"
		return e
	}
	e := slack.NewPlainTextInputBlockElement(nil, f.Name)
	e.Multiline, e.MaxLength = f.Kind == command.KindProse, maxInputText
	e.InitialValue, _ = clip(value, maxInputText)
	if e.Multiline {
		e.DispatchActionConfig = &slack.DispatchActionConfig{TriggerActionsOn: []string{"on_character_entered"}} // see handleTyping
	}
	return e
}

// The limits of Slack for menus.
const (
	maxOptions      = 100
	maxGroups       = 100
	maxOptionValue  = 150
	maxRadioOptions = 10 // and boxes to tick
)

func isMenu(k command.FieldKind) bool {
	return k == command.KindChoice || k == command.KindRadio || k == command.KindMany || k == command.KindTicks
}

// menuOptions returns the options of a menu, in groups if there are more than Slack
// allows in one list, and those of them that are selected. It leaves out what Slack
// does not accept.
func menuOptions(f command.Field, selected ...string) (all []*slack.OptionBlockObject, groups []*slack.OptionGroupBlockObject, chosen []*slack.OptionBlockObject) {
	for _, option := range f.Options {
		if option == "" || len(option) > maxOptionValue || len(all) == maxOptions*maxGroups || (f.Kind == command.KindRadio || f.Kind == command.KindTicks) && len(all) == maxRadioOptions {
			continue
		}
		shown, _ := clip(strings.Join(strings.Fields(clean(cmp.Or(f.Titles[option], strings.ReplaceAll(option, "_", " ")))), " "), 70)
		o := slack.NewOptionBlockObject(option, plainText(cmp.Or(shown, option)), nil)
		if all = append(all, o); slices.Contains(selected, option) {
			chosen = append(chosen, o)
		}
	}
	if len(all) <= maxOptions {
		return all, nil, chosen
	}
	for from := 0; from < len(all); from += maxOptions {
		to := min(from+maxOptions, len(all))
		groups = append(groups, slack.NewOptionGroupBlockElement(plainText(fmt.Sprintf("%d to %d", from+1, to)), all[from:to]...))
	}
	return nil, groups, chosen
}

// nameSlackUsers replaces the people in the fields of a form by their accounts in
// Slack. People without an account are not selected.
func nameSlackUsers(f command.Form, d incident.Directory) {
	for n := range f.Fields {
		field := &f.Fields[n]
		if field.Kind != command.KindPerson && field.Kind != command.KindPeople {
			continue
		}
		var users []string
		for _, id := range strings.Fields(field.Value) {
			if person, ok := d.Person(incident.PersonID(id)); ok && person.IDAt(incident.ProviderSlack) != "" {
				users = append(users, person.IDAt(incident.ProviderSlack))
			}
		}
		field.Value = strings.Join(users, " ")
	}
}

// fingerprint returns a short hash that shows whether a field changed. It ignores
// differences in line endings and surrounding space, which Slack may change.
func fingerprint(value string) string {
	return text.SHA256(strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n")))[:16]
}
