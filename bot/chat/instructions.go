package chat

import (
	"strings"
	"unicode/utf8"
)

// fullLine is the minimum length of a line that counts as wrapped.
const fullLine = 100

// Passage is a block of prose or of commands in the instructions of a step.
type Passage struct {
	Text    string
	Command bool // its layout is preserved
}

// splitInstructions splits the instructions of a playbook step into prose and
// commands. Indented lines are commands. A line of at least fullLine characters
// continues in the next line.
func splitInstructions(text string) []Passage {
	var out []Passage
	before := "" // the previous line
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t")
		words := strings.TrimLeft(line, " \t")
		last := len(out) - 1
		indented := len(line) > len(words)
		full := last >= 0 && !out[last].Command && utf8.RuneCountInString(before) >= fullLine && !strings.HasSuffix(before, ":")
		command := last >= 0 && out[last].Command
		switch {
		case words == "" && last >= 0:
			out[last].Text += "\n"
		case full && !isListItem(words) && (!indented || isListItem(before) || strings.HasPrefix(before, " ")):
			out[last].Text += " " + words
		case indented && command:
			out[last].Text += "\n" + line
		case indented:
			out = append(out, Passage{line, true})
		case last >= 0 && !command:
			out[last].Text += "\n" + line
		case line != "":
			out = append(out, Passage{line, false})
		}
		before = line
	}
	var blocks []Passage
	for _, p := range out {
		if p.Text = strings.Trim(p.Text, "\n"); p.Command {
			p.Text = dedent(p.Text)
		}
		if p.Text != "" {
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
