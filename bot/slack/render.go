package slack

import (
	"strings"

	"github.com/slack-go/slack"

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

// message is the content of a Slack message. Notifications and screen readers
// use text instead of blocks.
type message struct {
	text   string
	blocks []slack.Block
}

// messageBuilder collects the blocks of a message within the limits of Slack.
// It cuts or leaves out content beyond the limits, and the message then
// contains a note.
type messageBuilder struct {
	id        incident.ID
	blocks    []slack.Block
	text      string // fallback: the first line and the beginning of the first quotation
	used      int
	truncated bool
}

// reserve reports whether n more units of text fit into a block with a limit,
// and counts them if they fit.
func (p *messageBuilder) reserve(n, limit int) bool {
	if n > limit || p.used+n > maxMessageText || len(p.blocks) >= maxBlocks {
		p.truncated = true
		return false
	}
	p.used += n
	return true
}

// title adds a heading in plain text.
func (p *messageBuilder) title(text string) {
	text, _ = clip(strings.Join(strings.Fields(clean(text)), " "), 140)
	if text != "" && p.reserve(units(text), 150) {
		p.blocks = append(p.blocks, slack.NewHeaderBlock(plainText(text)))
	}
}

// line adds a paragraph.
func (p *messageBuilder) line(m markup) {
	if p.text == "" {
		p.text = string(m)
	}
	if m != "" && p.reserve(units(string(m)), maxBlockText) {
		p.blocks = append(p.blocks, slack.NewSectionBlock(mrkdwn(m), nil, nil))
	}
}

// quote adds the text of a person or a source. Markup, mentions and links in
// it have no effect.
func (p *messageBuilder) quote(text string) {
	text = strings.TrimSpace(clean(text))
	if text == "" {
		return
	}
	if !strings.Contains(p.text, "\n") {
		p.text += "\n" + string(escape(text, 300))
	}
	short, cut := clip(text, min(maxBlockText, maxMessageText-p.used))
	p.truncated = p.truncated || cut
	if len(short) <= len("…") && cut || !p.reserve(units(short), maxBlockText) {
		p.truncated = true
		return
	}
	p.blocks = append(p.blocks, slack.NewRichTextBlock("", &slack.RichTextQuote{Type: slack.RTEQuote,
		Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(short, nil)}}))
}

// quoteLimit returns the maximum length of each of n quotations.
func (p *messageBuilder) quoteLimit(n int) int {
	return max(100, (maxMessageText-p.used)*9/10/max(1, n))
}

// items adds a bulleted list of plain texts.
func (p *messageBuilder) items(texts []string) {
	var lines []slack.RichTextElement
	total := 0
	for _, t := range texts {
		t, _ = clip(strings.Join(strings.Fields(clean(t)), " "), 200)
		if t == "" {
			continue
		}
		if total+units(t) > maxBlockText || p.used+total+units(t) > maxMessageText {
			p.truncated = true
			break
		}
		total += units(t)
		lines = append(lines, slack.NewRichTextSection(slack.NewRichTextSectionTextElement(t, nil)))
	}
	if len(lines) > 0 && p.reserve(total, maxBlockText) {
		p.blocks = append(p.blocks, slack.NewRichTextBlock("", slack.NewRichTextList(slack.RTEListBullet, 0, lines...)))
	}
}

// small adds a grey line. Empty parts are left out.
func (p *messageBuilder) small(parts ...markup) {
	var nonEmpty []string
	for _, m := range parts {
		if m != "" {
			nonEmpty = append(nonEmpty, string(m))
		}
	}
	m := strings.Join(nonEmpty, " · ")
	if m != "" && p.reserve(units(m), maxBlockText) {
		p.blocks = append(p.blocks, slack.NewContextBlock("", mrkdwn(markup(m))))
	}
}

// pairs adds labels and values in two columns. Pairs without a value are left
// out.
func (p *messageBuilder) pairs(pairs ...[2]markup) {
	var fields []*slack.TextBlockObject
	flush := func() {
		if len(fields) > 0 {
			p.blocks = append(p.blocks, slack.NewSectionBlock(nil, fields, nil))
		}
		fields = nil
	}
	for _, f := range pairs {
		m := markupf("*%s*\n%s", f[0], f[1])
		if f[1] == "" || !p.reserve(units(string(m)), maxFieldText) {
			continue
		}
		if fields = append(fields, mrkdwn(m)); len(fields) == 10 {
			flush()
		}
	}
	flush()
}

// buttons adds a row of buttons and menus. It never leaves them out, because
// maxBlocks is below the limit of Slack.
func (p *messageBuilder) buttons(elements ...slack.BlockElement) {
	if len(elements) > 0 {
		p.blocks = append(p.blocks, slack.NewActionBlock("", elements...))
	}
}

// build returns the message.
func (p *messageBuilder) build() message {
	if p.truncated {
		note := markupf("Shortened to fit into one message. Type `/incident status %s` to see more.", markup(p.id.String()))
		p.blocks = append(p.blocks, slack.NewContextBlock("", mrkdwn(note)))
	}
	text := p.text
	if text == "" || units(text) > maxFallbackText { // not clipped, because a clip could split a mention
		text = "Update about " + p.id.String()
	}
	return message{text: text, blocks: p.blocks}
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

// severities returns the menu of severities. The current severity is
// selected.
func severities(inc incident.Incident) slack.BlockElement {
	var options []*slack.OptionBlockObject
	var current *slack.OptionBlockObject
	for _, s := range incident.Severities() {
		o := slack.NewOptionBlockObject(buttonValue(inc.ID, string(s)), plainText(string(s)), nil)
		if options = append(options, o); s == inc.Severity {
			current = o
		}
	}
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Severity"), ActSeverity, options...)
	if current != nil {
		e = e.WithInitialOption(current)
	}
	return e
}
