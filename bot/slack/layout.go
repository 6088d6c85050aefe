package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// The limits of a message, with a margin. Slack accepts 50 blocks of 3,000
// characters each and about 13,200 characters in total. How Slack counts
// characters is not documented.
const (
	maxBlocks       = 46
	maxBlockText    = 2_900
	maxFieldText    = 1_900
	maxMessageText  = 11_000
	maxFallbackText = 2_000
)

// message is a message as Slack accepts it. Notifications and screen readers
// use text instead of blocks.
type message struct {
	text   string
	blocks []slack.Block
}

// layout lays a message out as blocks.
func (s *Slack) layout(m chat.Message) message {
	l := s.newLayouter(m)
	text := string(l.fill(m.Notification()))
	for _, b := range m.Blocks {
		l.block(b)
	}
	if l.truncated || m.Cut {
		l.blocks = append(l.blocks, slack.NewContextBlock("", mrkdwn(l.fill(m.Shortened()))))
	}
	if l.quoted != "" && !strings.Contains(text, "\n") {
		text += "\n" + l.quoted
	}
	if units(text) > maxFallbackText { // not clipped, because a clip could split a mention
		text = string(l.fill(m.ShortNotification()))
	}
	return message{text: text, blocks: l.blocks}
}

// layouter collects the blocks of a message within the limits of Slack. It cuts
// or leaves out content beyond the limits, and the message then contains a
// note.
type layouter struct {
	directory incident.Directory
	command   string       // the slash command
	files     []slack.File // uploaded for the message
	blocks    []slack.Block
	quoted    string // the beginning of the first quotation
	used      int
	truncated bool
}

func (s *Slack) newLayouter(m chat.Message) *layouter {
	return &layouter{directory: m.Directory, command: s.cfg.CommandName}
}

func (l *layouter) block(b chat.Block) {
	switch b := b.(type) {
	case chat.Headline:
		l.title(string(b))
	case chat.Paragraph:
		l.line(l.paragraph(b))
	case chat.Quote:
		l.quote(string(b))
	case chat.Bullets:
		l.items(b)
	case chat.Small:
		l.small(b)
	case chat.Fields:
		l.pairs(b)
	case chat.Sections:
		l.sections(b)
	case chat.Instructions:
		l.instructions(b)
	case chat.Actions:
		l.buttons(b)
	case chat.Choice:
		l.menu(b)
	}
}

// reserve reports whether n more units of text fit into a block with a limit,
// and counts them if they fit.
func (l *layouter) reserve(n, limit int) bool {
	if n > limit || l.used+n > maxMessageText || len(l.blocks) >= maxBlocks {
		l.truncated = true
		return false
	}
	l.used += n
	return true
}

// title adds a heading in plain text.
func (l *layouter) title(text string) {
	text, _ = clip(oneLine(text), 140)
	if text != "" && l.reserve(units(text), 150) {
		l.blocks = append(l.blocks, slack.NewHeaderBlock(plainText(text)))
	}
}

func (l *layouter) paragraph(p chat.Paragraph) markup {
	if p.Icon == "" {
		return l.fill(p.Text)
	}
	return markupf("%s %s", l.arg(p.Icon), l.fill(p.Text))
}

// line adds a paragraph.
func (l *layouter) line(m markup) {
	if m != "" && l.reserve(units(string(m)), maxBlockText) {
		l.blocks = append(l.blocks, slack.NewSectionBlock(mrkdwn(m), nil, nil))
	}
}

// quote adds the text of a person or a source. Markup, mentions and links in
// it have no effect.
func (l *layouter) quote(text string) {
	text = strings.TrimSpace(clean(text))
	if text == "" {
		return
	}
	if l.quoted == "" {
		l.quoted = string(escape(text, 300))
	}
	if short, ok := l.fit(text); ok {
		l.blocks = append(l.blocks, slack.NewRichTextBlock("", &slack.RichTextQuote{Type: slack.RTEQuote,
			Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(short, nil)}}))
	}
}

// fit cuts a text to the space that is left and counts it. It returns false if
// nothing of the text fits.
func (l *layouter) fit(text string) (string, bool) {
	short, cut := clip(text, min(maxBlockText, maxMessageText-l.used))
	l.truncated = l.truncated || cut
	if len(short) <= len("…") && cut || !l.reserve(units(short), maxBlockText) {
		l.truncated = true
		return "", false
	}
	return short, true
}

// sections adds headings with quotations. Long texts share the space of the
// message evenly.
func (l *layouter) sections(sections chat.Sections) {
	share := max(100, (maxMessageText-l.used)*9/10/(len(sections)+1))
	for _, s := range sections {
		text, cut := clip(strings.TrimSpace(clean(s.Text)), share)
		l.truncated = l.truncated || cut
		l.line(markupf("*%s*", escape(s.Heading, 60)))
		l.quote(text)
	}
}

// instructions adds the instructions of a playbook step. Markup in them has no
// effect.
func (l *layouter) instructions(passages chat.Instructions) {
	var parts []slack.RichTextElement
	for _, p := range passages {
		text, ok := l.fit(clean(p.Text))
		if !ok {
			break
		}
		if strings.TrimSpace(text) == "" {
			continue // only characters that Slack does not show, and Slack rejects an empty text
		}
		words := []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(text, nil)}
		if p.Command {
			parts = append(parts, &slack.RichTextPreformatted{Type: slack.RTEPreformatted, Elements: words})
		} else {
			parts = append(parts, &slack.RichTextSection{Type: slack.RTESection, Elements: words})
		}
	}
	if len(parts) > 0 {
		l.blocks = append(l.blocks, slack.NewRichTextBlock("", parts...))
	}
}

// items adds a bulleted list of plain texts.
func (l *layouter) items(texts []string) {
	var lines []slack.RichTextElement
	total := 0
	for _, t := range texts {
		t, _ = clip(oneLine(t), 200)
		if t == "" {
			continue
		}
		if total+units(t) > maxBlockText || l.used+total+units(t) > maxMessageText {
			l.truncated = true
			break
		}
		total += units(t)
		lines = append(lines, slack.NewRichTextSection(slack.NewRichTextSectionTextElement(t, nil)))
	}
	if len(lines) > 0 && l.reserve(total, maxBlockText) {
		l.blocks = append(l.blocks, slack.NewRichTextBlock("", slack.NewRichTextList(slack.RTEListBullet, 0, lines...)))
	}
}

// small adds a grey line. Empty texts are left out.
func (l *layouter) small(texts chat.Small) {
	var parts []string
	for _, t := range texts {
		if m := l.fill(t); m != "" {
			parts = append(parts, string(m))
		}
	}
	m := strings.Join(parts, " · ")
	if m != "" && l.reserve(units(m), maxBlockText) {
		l.blocks = append(l.blocks, slack.NewContextBlock("", mrkdwn(markup(m))))
	}
}

// pairs adds labels and values in two columns.
func (l *layouter) pairs(pairs chat.Fields) {
	var fields []*slack.TextBlockObject
	flush := func() {
		if len(fields) > 0 {
			l.blocks = append(l.blocks, slack.NewSectionBlock(nil, fields, nil))
		}
		fields = nil
	}
	for _, f := range pairs {
		value := l.fill(f.Value)
		m := markupf("*%s*\n%s", escape(f.Label, 80), value)
		if value == "" || !l.reserve(units(string(m)), maxFieldText) {
			continue
		}
		if fields = append(fields, mrkdwn(m)); len(fields) == 10 {
			flush()
		}
	}
	flush()
}

// maxButtonValue is the maximum length of a button's value in Slack.
const maxButtonValue = 2000

// buttons adds a row of buttons and their menu. It never leaves the row out, because
// maxBlocks is below the limit of Slack.
func (l *layouter) buttons(actions chat.Actions) {
	var row []slack.BlockElement
	var more []*slack.OptionBlockObject
	for n, a := range actions {
		id, value := actionOf(n, a)
		switch option := id + "|" + value; {
		case a.More && units(option) <= maxOptionValue && len(more) < chat.MaxMore:
			o := slack.NewOptionBlockObject(option, plainText(a.Label), nil)
			o.URL = a.URL
			more = append(more, o)
		case a.More, units(value) > maxButtonValue:
		default:
			b := button(id, a.Label, value)
			b.Style, b.URL = slack.Style(a.Style), a.URL
			row = append(row, b)
		}
	}
	if len(more) > 0 {
		row = append(row, slack.NewOverflowBlockElement(ActMore, more...))
	}
	if len(row) > 0 {
		l.blocks = append(l.blocks, slack.NewActionBlock("", row...))
	}
}

// actionOf returns the action ID and the value of a button.
func actionOf(n int, a chat.Action) (id, value string) {
	switch {
	case a.URL != "":
		return ActLink, buttonValue(a.Command.For)
	case a.Ask != "":
		return askID(n), a.Ask
	}
	return ActionID(a.Command.Verb), buttonValue(a.Command.For, command.ButtonArgs(a.Command)...)
}

// menu adds a menu of actions, which all have the same verb.
func (l *layouter) menu(c chat.Choice) {
	var options []*slack.OptionBlockObject
	for _, a := range c.Options {
		options = append(options, slack.NewOptionBlockObject(buttonValue(a.Command.For, command.ButtonArgs(a.Command)...), plainText(a.Label), nil))
	}
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText(c.Label), ActionID(c.Options[0].Command.Verb), options...)
	if c.Selected >= 0 {
		e = e.WithInitialOption(options[c.Selected])
	}
	l.blocks = append(l.blocks, slack.NewActionBlock("", e))
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

// mrkdwn returns a verbatim text object: Slack does not turn plain words into
// links or mentions.
func mrkdwn(m markup) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, string(m), false, true)
}

func button(action, label, value string) *slack.ButtonBlockElement {
	return slack.NewButtonBlockElement(action, value, plainText(label))
}
