package slack

import (
	"encoding/json"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/command"
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
	if f.Sparse {
		m.Shown[f.Name] = fingerprint(value)
	}
	b := slack.NewInputBlock(f.Name, plainText(f.Label), nil, inputElement(f, value))
	b.Optional = f.Optional
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
		for _, option := range f.Options {
			shown, _ := clip(strings.ReplaceAll(option, "_", " "), 70)
			o := slack.NewOptionBlockObject(option, plainText(shown), nil)
			if e.Options = append(e.Options, o); option == value {
				e.InitialOption = o
			}
		}
		return e
	case command.KindCheck:
		return slack.NewCheckboxGroupsBlockElement(f.Name, slack.NewOptionBlockObject("yes", plainText(f.Options[0]), nil))
	case command.KindPerson:
		return slack.NewOptionsSelectBlockElement(slack.OptTypeUser, plainText("Select a person"), f.Name)
	case command.KindPeople:
		return slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, plainText("Select people"), f.Name)
	case command.KindDay:
		return slack.NewDatePickerBlockElement(f.Name)
	case command.KindMoment:
		return slack.NewDateTimePickerBlockElement(f.Name)
	}
	e := slack.NewPlainTextInputBlockElement(nil, f.Name)
	e.Multiline, e.MaxLength = f.Kind == command.KindProse, maxInputText
	e.InitialValue, _ = clip(value, maxInputText)
	return e
}

// fingerprint returns a short hash that shows whether a field changed. It ignores
// differences in line endings and surrounding space, which Slack may change.
func fingerprint(value string) string {
	return text.SHA256(strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n")))[:16]
}
