package slack

import (
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// What one message may hold. Slack takes 50 blocks of 3,000 characters each and
// about 13,200 in all; how it counts is not documented, so there is a margin.
const (
	maxBlocks       = 46
	maxBlockText    = 2_900
	maxFieldText    = 1_900
	maxMessageText  = 11_000
	maxFallbackText = 2_000
)

// message is what goes to Slack: blocks, and the text that notifications and
// screen readers use instead.
type message struct {
	text   string
	blocks []slack.Block
}

// messageBuilder collects the blocks of one message and keeps it within what Slack
// takes. What does not fit is left out or cut, and the message says so.
type messageBuilder struct {
	id        incident.ID
	blocks    []slack.Block
	text      string // the fallback: the first line and the beginning of the first quotation
	used      int
	truncated bool
}

// reserve reports whether n more units of text fit into a block of at most limit.
func (p *messageBuilder) reserve(n, limit int) bool {
	if n > limit || p.used+n > maxMessageText || len(p.blocks) >= maxBlocks {
		p.truncated = true
		return false
	}
	p.used += n
	return true
}

// title is the heading, in plain text.
func (p *messageBuilder) title(text string) {
	text, _ = clip(strings.Join(strings.Fields(clean(text)), " "), 140)
	if text != "" && p.reserve(units(text), 150) {
		p.blocks = append(p.blocks, slack.NewHeaderBlock(plainText(text)))
	}
}

// line says a sentence.
func (p *messageBuilder) line(m markup) {
	if p.text == "" {
		p.text = string(m)
	}
	if m != "" && p.reserve(units(string(m)), maxBlockText) {
		p.blocks = append(p.blocks, slack.NewSectionBlock(mrkdwn(m), nil, nil))
	}
}

// quote says what a person or a source wrote, as they wrote it: no mark-up,
// mention or link in it works.
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

// quoteLimit is how long each of n quotations may be so that all of them fit.
func (p *messageBuilder) quoteLimit(n int) int {
	return max(100, (maxMessageText-p.used)*9/10/max(1, n))
}

// items is a bulleted list of plain texts.
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

// small is the grey line under a message. Empty parts are left out.
func (p *messageBuilder) small(parts ...markup) {
	var kept []string
	for _, m := range parts {
		if m != "" {
			kept = append(kept, string(m))
		}
	}
	m := strings.Join(kept, " · ")
	if m != "" && p.reserve(units(m), maxBlockText) {
		p.blocks = append(p.blocks, slack.NewContextBlock("", mrkdwn(markup(m))))
	}
}

// pairs are label and value in two columns; those without a value are left out.
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

// buttons is a row of things to press. It is never left out: there is always
// room for a row beyond what the texts may take.
func (p *messageBuilder) buttons(elements ...slack.BlockElement) {
	if len(elements) > 0 {
		p.blocks = append(p.blocks, slack.NewActionBlock("", elements...))
	}
}

// build ends the page.
func (p *messageBuilder) build() message {
	if p.truncated {
		note := markupf("Shortened to fit into a message. `/incident status %s` shows more.", markup(p.id.String()))
		p.blocks = append(p.blocks, slack.NewContextBlock("", mrkdwn(note)))
	}
	text := p.text
	if text == "" || units(text) > maxFallbackText { // it cannot be cut: there may be a mention at the seam
		text = "News of " + p.id.String()
	}
	return message{text: text, blocks: p.blocks}
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

// mrkdwn is verbatim: Slack then makes no link or mention out of plain words.
func mrkdwn(m markup) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, string(m), false, true)
}

func button(action, label, value string) *slack.ButtonBlockElement {
	return slack.NewButtonBlockElement(action, value, plainText(label))
}

// severities lets people say how grave it is; the present one is chosen.
func severities(inc incident.Incident) slack.BlockElement {
	var options []*slack.OptionBlockObject
	var chosen *slack.OptionBlockObject
	for _, s := range incident.Severities() {
		o := slack.NewOptionBlockObject(buttonValue(inc.ID, string(s)), plainText(string(s)), nil)
		if options = append(options, o); s == inc.Severity {
			chosen = o
		}
	}
	e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Severity"), ActSeverity, options...)
	if chosen != nil {
		e = e.WithInitialOption(chosen)
	}
	return e
}
