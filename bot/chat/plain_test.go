package chat_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// plainChat is a chat in memory that lays messages out as plain text. It has the
// accounts "@ID" of the people in the tests.
type plainChat struct {
	mu       sync.Mutex
	changed  chan struct{} // closed by the next change
	channels map[string]*plainChannel
	next     int
}

type plainChannel struct {
	topic     string
	private   bool
	members   []incident.PersonID
	messages  []*plainMessage
	bookmarks []chat.Bookmark
}

type plainMessage struct {
	chat.Message
	id     string
	mark   chat.Mark
	text   string
	pinned bool
	edits  int
}

const plainProvider incident.Provider = "plain"

func newPlainChat() *plainChat {
	return &plainChat{changed: make(chan struct{}), channels: map[string]*plainChannel{"#announcements": {}}}
}

// change runs f and ends the waits of waitFor.
func (p *plainChat) change(f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { close(p.changed); p.changed = make(chan struct{}) }()
	return f()
}

// waitFor returns when ready returns true, or the error of ctx.
func (p *plainChat) waitFor(ctx context.Context, ready func() bool) error {
	for {
		p.mu.Lock()
		done, changed := ready(), p.changed
		p.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// find returns the newest message of a channel that contains all texts, or nil.
func (p *plainChat) find(channel string, texts ...string) *plainMessage {
	c := p.channels[channel]
	if c == nil {
		return nil
	}
	for _, m := range slices.Backward(c.messages) {
		if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(m.text, s) }) {
			return m
		}
	}
	return nil
}

func (*plainChat) Name() string { return string(plainProvider) }

func (p *plainChat) OpenChannel(_ context.Context, inc incident.Incident, private bool) (name string, err error) {
	name = "#" + strings.ToLower(inc.ID.String())
	return name, p.change(func() error {
		p.channels[name] = cmp.Or(p.channels[name], &plainChannel{private: private})
		return nil
	})
}

func (*plainChat) AnnounceChannel(context.Context) (string, error) { return "#announcements", nil }

func (*plainChat) HashFile(context.Context, string) (string, int64, string, error) {
	return "", 0, "the chat has no files", nil
}
func (*plainChat) NamedChannel(_ context.Context, name string) (string, error) { return name, nil }

func (p *plainChat) DirectChannel(_ context.Context, person incident.Person) (name string, err error) {
	name = person.IDAt(plainProvider)
	return name, p.change(func() error {
		p.channels[name] = cmp.Or(p.channels[name], &plainChannel{private: true})
		return nil
	})
}

func (p *plainChat) Post(_ context.Context, channel string, m chat.Message, mark chat.Mark) (posted chat.Posted, err error) {
	return posted, p.change(func() error {
		c := p.channels[channel]
		if c == nil {
			return &incident.Permanent{Err: fmt.Errorf("channel %s does not exist", channel)}
		}
		p.next++
		posted = chat.Posted{ID: fmt.Sprint(p.next)}
		if len(m.Files) > 0 {
			posted.File, posted.URL = m.Files[0].Name, "https://plain.test/"+m.Files[0].Name
		}
		c.messages = append(c.messages, &plainMessage{Message: m, id: posted.ID, mark: mark, text: plainText(m)})
		return nil
	})
}

func (p *plainChat) Find(_ context.Context, channel, thread, key string, _ time.Time) (chat.Posted, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range slices.Backward(p.channels[channel].messages) {
		if m.mark.Key == key && (m.Thread == thread || thread == "" && m.Broadcast) {
			return chat.Posted{ID: m.id, Seq: m.mark.Seq}, true, nil
		}
	}
	return chat.Posted{}, false, nil
}

func (p *plainChat) message(channel, id string, f func(*plainChannel, *plainMessage)) error {
	return p.change(func() error {
		c := p.channels[channel]
		n := slices.IndexFunc(c.messages, func(m *plainMessage) bool { return m.id == id })
		if n < 0 {
			return chat.ErrNoMessage
		}
		f(c, c.messages[n])
		return nil
	})
}

func (p *plainChat) Update(_ context.Context, channel, id string, m chat.Message, _ chat.Mark) error {
	return p.message(channel, id, func(_ *plainChannel, old *plainMessage) {
		old.Message, old.text, old.edits = m, plainText(m), old.edits+1
	})
}

func (p *plainChat) Pin(_ context.Context, channel, id string) error {
	return p.message(channel, id, func(_ *plainChannel, m *plainMessage) { m.pinned = true })
}

func (p *plainChat) Bookmark(_ context.Context, channel string, b chat.Bookmark) (id string, err error) {
	return b.Title, p.change(func() error {
		p.channels[channel].bookmarks = append(p.channels[channel].bookmarks, b)
		return nil
	})
}

func (p *plainChat) SetTopic(_ context.Context, channel, topic string) error {
	return p.change(func() error { p.channels[channel].topic = topic; return nil })
}

func (p *plainChat) Invite(_ context.Context, channel string, people []incident.Person) (members []incident.PersonID, refused map[incident.PersonID]string, err error) {
	refused = map[incident.PersonID]string{}
	return members, refused, p.change(func() error {
		c := p.channels[channel]
		for _, person := range people {
			if person.IDAt(plainProvider) == "" {
				refused[person.ID] = "has no account"
				continue
			}
			if members = append(members, person.ID); !slices.Contains(c.members, person.ID) {
				c.members = append(c.members, person.ID)
			}
		}
		return nil
	})
}

func (p *plainChat) Remove(_ context.Context, channel string, person incident.Person) error {
	return p.change(func() error {
		c := p.channels[channel]
		c.members = slices.DeleteFunc(c.members, func(id incident.PersonID) bool { return id == person.ID })
		return nil
	})
}

// plainText lays a message out as plain text.
func plainText(m chat.Message) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	fill := func(t chat.Text) string { return plainFill(m, t) }
	for _, b := range m.Blocks {
		switch b := b.(type) {
		case chat.Headline:
			add("== %s ==", string(b))
		case chat.Paragraph:
			add("%s", fill(b.Text))
		case chat.Quote:
			add("> %s", string(b))
		case chat.Bullets:
			add("- %s", strings.Join(b, "\n- "))
		case chat.Small:
			for _, t := range b {
				add("(%s)", fill(t))
			}
		case chat.Fields:
			for _, f := range b {
				if f.Value.Format != "" {
					add("%s: %s", f.Label, fill(f.Value))
				}
			}
		case chat.Sections:
			for _, s := range b {
				add("%s:\n> %s", s.Heading, s.Text)
			}
		case chat.Instructions:
			for _, passage := range b {
				add("%s", passage.Text)
			}
		case chat.Actions:
			for _, a := range b {
				add("[%s]", a.Label)
			}
		case chat.Choice:
			for _, a := range b.Options {
				add("[%s %s]", b.Label, a.Label)
			}
		default:
			panic(fmt.Sprintf("unknown block %T", b))
		}
	}
	return strings.Join(lines, "\n")
}

func plainFill(m chat.Message, t chat.Text) string {
	return t.Show(func(arg any) string { return plainArg(m, arg) }).String()
}

func plainArg(m chat.Message, arg any) string {
	join := func(separator string, items []any) string {
		var out []string
		for _, item := range items {
			out = append(out, plainArg(m, item))
		}
		return strings.Join(out, separator)
	}
	switch v := arg.(type) {
	case chat.Text:
		return plainFill(m, v)
	case chat.Strong:
		return plainArg(m, v.Value)
	case chat.Icon:
		return ""
	case chat.Typed:
		return "tocsin " + string(v)
	case chat.Clock:
		return time.Time(v).UTC().Format("15:04")
	case chat.Link:
		return v.Label + " " + v.URL
	case chat.List:
		return join(", ", v)
	case chat.Joined:
		return join(v.Separator, v.Items)
	case chat.SharedFiles:
		var names []any
		for _, f := range m.Files {
			names = append(names, f.Name)
		}
		return join(" and ", names)
	case chat.Mention:
		return "@" + m.Directory.Name(incident.PersonID(v))
	case incident.PersonID:
		return m.Directory.Name(v)
	case incident.People:
		var names []any
		for _, id := range v {
			names = append(names, id)
		}
		return join(", ", names)
	case time.Time:
		return v.UTC().Format(time.DateTime)
	}
	return fmt.Sprint(arg)
}

func (p *plainChat) Fingerprint(m chat.Message) string { return plainText(m) }
