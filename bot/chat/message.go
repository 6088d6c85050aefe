package chat

import (
	"time"

	"tocsin/bot/incident"
)

// Message is the content of a message, in no format of a platform.
type Message struct {
	Incident  incident.ID        // 0 outside of an incident
	Directory incident.Directory // the people and teams whom the texts mention
	Thread    string             // ID of the message that this one replies to, or ""
	Broadcast bool               // the channel shows the reply too
	Blocks    []Block            // from top to bottom
	Files     []incident.File    // shared by the message, which then has only paragraphs
	Cut       bool               // the message leaves out a part of a text

	// Notice is the text of a notification. Without it, the first paragraph and
	// the beginning of the first quotation are.
	Notice Text
}

// Text is text of Tocsin. Its format contains no markup. Its arguments are
// those of an event's sentence, and the types in this package.
type Text = incident.Sentence

// Block is one part of a message.
type Block interface{ block() }

type (
	// Headline is the title of the message.
	Headline string
	// Paragraph is a text after an icon. The icon may be missing.
	Paragraph struct {
		Icon Icon
		Text Text
	}
	// Quote is text of a person or a source. Markup in it has no effect.
	Quote string
	// Bullets is a list of plain texts.
	Bullets []string
	// Small holds texts in small print, on one line.
	Small []Text
	// Fields are labels with values. A field with an empty value is not shown.
	Fields []Field
	// Sections are quotations with headings. Long ones share the space of the
	// message.
	Sections []Section
	// Instructions are the instructions of a step.
	Instructions []Passage
	// Actions is a row of buttons. A menu at its end holds the actions with More.
	Actions []Action
	// Choice is a menu of actions.
	Choice struct {
		Label    string
		Options  []Action
		Selected int // index of the option that is shown as chosen
	}
)

func (Headline) block()     {}
func (Paragraph) block()    {}
func (Quote) block()        {}
func (Bullets) block()      {}
func (Small) block()        {}
func (Fields) block()       {}
func (Sections) block()     {}
func (Instructions) block() {}
func (Actions) block()      {}
func (Choice) block()       {}

// Field is a label with a value.
type Field struct {
	Label string
	Value Text
}

// Section is a heading with a text of people.
type Section struct{ Heading, Text string }

// Icon is the short name of an emoji, such as "bell". Slack, Mattermost, GitHub
// and Discord use the same names. As an argument of a [Text] it shows the icon
// inside the text.
type Icon string

// The arguments of a [Text], besides those of an event's sentence.
type (
	// Strong emphasises an argument.
	Strong struct{ Value any }
	// Code is text that readers copy: it is shown unchanged.
	Code string
	// Typed is a command without the name of the program: "severity sev1".
	Typed string
	// Plain is text of a person or a source that a sentence names in passing. It
	// is shown without markup.
	Plain string
	// Clock is a time whose day is obvious. It is shown without the day.
	Clock time.Time
	// Link is a link to a page.
	Link struct{ URL, Label string }
	// Channel is a link to a channel.
	Channel string
	// Mention notifies a person about a new message. Every other person in a text is only
	// named.
	Mention incident.PersonID
	// Group mentions the group with an ID of the platform, or the responders.
	Group string
	// List joins its items with commas.
	List []any
	// Joined joins its items with a separator.
	Joined struct {
		Separator string
		Items     []any
	}
	// SharedFiles stands for the links to the files of the message.
	SharedFiles struct{}
)

// textf returns the text with a format and its arguments.
func textf(format string, args ...any) Text { return incident.Say(format, args...) }

// isEmpty reports whether a text has no content.
func isEmpty(t Text) bool { return t.Format == "" }

// word returns a word of Tocsin, such as a status, or an empty text.
func word[S ~string](s S) Text {
	if s == "" {
		return Text{}
	}
	return textf("%s", string(s))
}

// Notification returns the text of a notification about the message, without
// the beginning of a quotation.
func (m Message) Notification() Text {
	if !isEmpty(m.Notice) {
		return m.Notice
	}
	for _, b := range m.Blocks {
		if p, ok := b.(Paragraph); ok {
			if p.Icon == "" {
				return p.Text
			}
			return textf("%s %s", p.Icon, p.Text)
		}
	}
	return m.ShortNotification()
}

// ShortNotification returns the text of a notification if [Message.Notification]
// is too long for the platform.
func (m Message) ShortNotification() Text { return textf("Update about %s", m.Incident) }

// Shortened returns the note at the end of a message that the platform cut.
func (m Message) Shortened() Text {
	return textf("Shortened to fit into one message. Type %s to see more.", Typed("status "+m.Incident.String()))
}

// builder collects the blocks of a message about an incident.
type builder struct {
	Message
	brief incident.Brief
	event incident.Event // zero without an event
	via   incident.Via   // of the chat
	inc   incident.Incident
}

func newBuilder(b incident.Brief) *builder {
	return &builder{Message: Message{Incident: b.Incident.ID, Directory: b.Directory}, brief: b, inc: b.Incident}
}

func newEventBuilder(b incident.Brief) *builder {
	m := newBuilder(b)
	m.event = b.Event
	return m
}

// message returns the message. Its first line, and its notification, begin with the
// mark of an incident that is not live.
func (m *builder) message() Message {
	if m.inc.Origin == incident.OriginLive || len(m.Blocks) == 0 {
		return m.Message
	}
	mark := func(t Text) Text { return textf("%s %s", Plain(m.inc.Origin.Mark()), t) }
	if !isEmpty(m.Notice) {
		m.Notice = mark(m.Notice)
	}
	switch first := m.Blocks[0].(type) {
	case Headline:
		m.Blocks[0] = Headline(m.inc.Origin.Marked(string(first)))
	case Paragraph:
		m.Blocks[0] = Paragraph{first.Icon, mark(first.Text)}
	case Small:
		m.Blocks[0] = append(Small{mark(first[0])}, first[1:]...)
	}
	return m.Message
}

func (m *builder) add(b Block) { m.Blocks = append(m.Blocks, b) }

// line adds a paragraph.
func (m *builder) line(format string, args ...any) { m.iconLine("", format, args...) }

// iconLine adds a paragraph after an icon.
func (m *builder) iconLine(icon Icon, format string, args ...any) {
	m.add(Paragraph{Icon: icon, Text: incident.Say(format, args...)})
}

// heading adds an emphasised line.
func (m *builder) heading(label string) { m.line("%s", Strong{label}) }

// small adds a line of small print. Empty texts are left out.
func (m *builder) small(texts ...Text) {
	var full Small
	for _, t := range texts {
		if !isEmpty(t) {
			full = append(full, t)
		}
	}
	if len(full) > 0 {
		m.add(full)
	}
}

// note adds one text of small print.
func (m *builder) note(format string, args ...any) { m.small(incident.Say(format, args...)) }

// quote adds the text of a person or a source.
func (m *builder) quote(text string) {
	if text != "" {
		m.add(Quote(text))
	}
}

// bullets adds a list of plain texts.
func (m *builder) bullets(lines []string) {
	if len(lines) > 0 {
		m.add(Bullets(lines))
	}
}

// buttons adds a row of buttons.
func (m *builder) buttons(row ...Action) {
	if len(row) > 0 {
		m.add(Actions(row))
	}
}
