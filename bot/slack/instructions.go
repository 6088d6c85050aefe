package slack

import (
	"strings"

	"github.com/slack-go/slack"
)

// fullLine is the minimum length of a line that counts as wrapped.
const fullLine = 100

// instructions adds the instructions of a playbook step. Indented lines are
// commands and preserve their layout. A line of at least fullLine characters
// continues in the next line. Markup in the text has no effect.
func (p *messageBuilder) instructions(text string) {
	text = strings.Trim(clean(text), "\n ")
	if text == "" {
		return
	}
	short, cut := clip(text, min(maxBlockText, maxMessageText-p.used))
	p.truncated = p.truncated || cut
	if len(short) <= len("…") && cut || !p.reserve(units(short), maxBlockText) {
		p.truncated = true
		return
	}
	var parts []slack.RichTextElement
	for _, piece := range splitInstructions(short) {
		words := []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(piece.text, nil)}
		if piece.command {
			parts = append(parts, &slack.RichTextPreformatted{Type: slack.RTEPreformatted, Elements: words})
		} else {
			parts = append(parts, &slack.RichTextSection{Type: slack.RTESection, Elements: words})
		}
	}
	p.blocks = append(p.blocks, slack.NewRichTextBlock("", parts...))
}

// instructionBlock is a block of prose or of commands.
type instructionBlock struct {
	text    string
	command bool
}

// splitInstructions splits instructions into prose and commands.
func splitInstructions(text string) []instructionBlock {
	var out []instructionBlock
	before := "" // the previous line
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t")
		words := strings.TrimLeft(line, " \t")
		last := len(out) - 1
		indented := len(line) > len(words)
		full := last >= 0 && !out[last].command && units(before) >= fullLine && !strings.HasSuffix(before, ":")
		command := last >= 0 && out[last].command
		switch {
		case words == "" && last >= 0:
			out[last].text += "\n"
		case full && !isListItem(words) && (!indented || isListItem(before) || strings.HasPrefix(before, " ")):
			out[last].text += " " + words
		case indented && command:
			out[last].text += "\n" + line
		case indented:
			out = append(out, instructionBlock{line, true})
		case last >= 0 && !command:
			out[last].text += "\n" + line
		case line != "":
			out = append(out, instructionBlock{line, false})
		}
		before = line
	}
	var blocks []instructionBlock
	for _, p := range out {
		if p.text = strings.Trim(p.text, "\n"); p.command {
			p.text = dedent(p.text)
		}
		if p.text != "" {
			blocks = append(blocks, p)
		}
	}
	return blocks
}

// isListItem reports whether a line begins with "- " or a number such as "1.
// ".
func isListItem(line string) bool {
	rest := strings.TrimLeft(line, "0123456789")
	return strings.HasPrefix(line, "- ") || len(rest) < len(line) && strings.HasPrefix(rest, ". ")
}

// dedent removes the common indentation of the lines.
func dedent(text string) string {
	lines := strings.Split(text, "\n")
	margin := len(text)
	for _, l := range lines {
		if rest := strings.TrimLeft(l, " \t"); rest != "" {
			margin = min(margin, len(l)-len(rest))
		}
	}
	for n, l := range lines {
		lines[n] = l[min(margin, len(l)):]
	}
	return strings.Join(lines, "\n")
}
