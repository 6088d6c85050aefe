package slack

import (
	"strings"

	"github.com/slack-go/slack"
)

// fullLine is how long a line of instructions is that was broken because it was full.
const fullLine = 100

// instructions lays out instructions as their authors wrote them in a plain file:
// indented lines are commands, to be copied, and keep their shape; a line that
// was broken because it was full runs on into the next. Nothing in them is
// mark-up.
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

// instructionBlock is a stretch of instructions that is drawn in one way.
type instructionBlock struct {
	text    string
	command bool
}

// splitInstructions tells the prose of instructions from the commands between.
func splitInstructions(text string) []instructionBlock {
	var out []instructionBlock
	before := "" // the line before, as it was written
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
	var kept []instructionBlock
	for _, p := range out {
		if p.text = strings.Trim(p.text, "\n"); p.command {
			p.text = dedent(p.text)
		}
		if p.text != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

// isListItem reports whether a line begins an item of a list: "- " or "1. ".
func isListItem(line string) bool {
	rest := strings.TrimLeft(line, "0123456789")
	return strings.HasPrefix(line, "- ") || len(rest) < len(line) && strings.HasPrefix(rest, ". ")
}

// dedent moves lines to the left margin together.
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
