package story

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// reader converts messages from Slack's wire form to Markdown. It replaces ids
// with names and shows times in a zone.
type reader struct {
	names map[string]string // names of people, groups and channels by id
	zone  *time.Location
}

func newReader(c *company.Company, zone *time.Location) reader {
	r := reader{names: map[string]string{}, zone: zone}
	for _, p := range c.Chat.People() {
		r.names[p.ID] = p.RealName
	}
	for _, g := range c.Chat.Groups() {
		r.names[g.ID] = "@" + g.Handle
	}
	for _, ch := range c.Chat.Channels("") {
		r.names[ch.ID] = "#" + ch.Name
	}
	bot := c.Chat.Config().Bot
	r.names[bot.UserID] = bot.Name
	return r
}

func (r reader) name(id string) string {
	if n := r.names[id]; n != "" {
		return n
	}
	return id
}

// message returns the text of a message.
func (r reader) message(m chat.Message) string {
	if text := r.blocks(m.Blocks); text != "" {
		return text
	}
	return r.mrkdwn(m.Text)
}

// block contains the fields of all kinds of blocks and elements with text.
type block struct {
	Type     string          `json:"type"`
	Text     json.RawMessage `json:"text"`
	Fields   []textObject    `json:"fields"`
	Elements []block         `json:"elements"`
	Label    textObject      `json:"label"`
	Style    any             `json:"style"`
	UserID   string          `json:"user_id"`
	URL      string          `json:"url"`
	Name     string          `json:"name"`
	// Placeholder and Initial are the placeholder and initial option of a menu.
	Placeholder textObject `json:"placeholder"`
	Initial     struct {
		Text textObject `json:"text"`
	} `json:"initial_option"`
}

type textObject struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// text returns the text of a block, which is an object, or of a rich text
// element, which is a string.
func (b block) text(r reader) string {
	var w textObject
	if json.Unmarshal(b.Text, &w) == nil && w.Type != "" {
		return r.textObject(w)
	}
	var s string
	if json.Unmarshal(b.Text, &s) == nil {
		return s
	}
	return ""
}

func (r reader) textObject(w textObject) string {
	if w.Type == "mrkdwn" {
		return r.mrkdwn(w.Text)
	}
	return w.Text
}

func (r reader) blocks(raw json.RawMessage) string {
	var list []block
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	var out []string
	for _, b := range list {
		if text := strings.TrimRight(r.block(b), "\n "); text != "" {
			out = append(out, text)
		}
	}
	return strings.Join(out, "\n\n")
}

func (r reader) block(b block) string {
	switch b.Type {
	case "header":
		return "**" + b.text(r) + "**"
	case "section":
		lines := []string{}
		if text := b.text(r); text != "" {
			lines = append(lines, text)
		}
		for _, f := range b.Fields {
			label, value, _ := strings.Cut(r.textObject(f), "\n")
			lines = append(lines, "- "+label+": "+value)
		}
		return strings.Join(lines, "\n")
	case "context":
		var parts []string
		for _, e := range b.Elements {
			parts = append(parts, r.contextElement(e))
		}
		return strings.Join(parts, " · ")
	case "rich_text":
		var parts []string
		for _, e := range b.Elements {
			parts = append(parts, r.richTextElement(e))
		}
		return strings.Join(parts, "\n")
	case "actions":
		var parts []string
		for _, e := range b.Elements {
			parts = append(parts, "`["+r.controlLabel(e)+"]`")
		}
		return strings.Join(parts, " ")
	case "input":
		return "- " + b.Label.Text
	}
	return ""
}

// contextElement returns the text of an element of a context block, which is a
// string.
func (r reader) contextElement(e block) string {
	text := e.text(r)
	if e.Type == "mrkdwn" {
		return r.mrkdwn(text)
	}
	return text
}

func (r reader) controlLabel(e block) string {
	if label := e.text(r); label != "" {
		return label
	}
	if e.Type == "overflow" {
		return "⋯"
	}
	return strings.TrimSpace(e.Placeholder.Text + " ▾ " + e.Initial.Text.Text)
}

func (r reader) richTextElement(e block) string {
	switch e.Type {
	case "rich_text_quote":
		return "> " + strings.ReplaceAll(r.richTextLine(e.Elements), "\n", "\n> ")
	case "rich_text_list":
		var lines []string
		for _, item := range e.Elements {
			lines = append(lines, "- "+r.richTextLine(item.Elements))
		}
		return strings.Join(lines, "\n")
	}
	return r.richTextLine(e.Elements)
}

func (r reader) richTextLine(parts []block) string {
	var b strings.Builder
	for _, e := range parts {
		switch e.Type {
		case "user":
			b.WriteString(r.name(e.UserID))
		case "link":
			b.WriteString(e.URL)
		case "emoji":
			b.WriteString(emoji(":" + e.Name + ":"))
		default:
			b.WriteString(e.text(r))
		}
	}
	return b.String()
}

var (
	anglePattern = regexp.MustCompile(`<([^<>|]*)(?:\|([^<>]*))?>`)
	boldPattern  = regexp.MustCompile(`\*([^*\n]+)\*`)
	emojiPattern = regexp.MustCompile(`:[a-z0-9_]+:`)
	datePattern  = regexp.MustCompile(`^!date\^(\d+)\^(\{time\}$)?`)
)

var unescaper = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// mrkdwn converts Slack's markup to Markdown.
func (r reader) mrkdwn(s string) string {
	s = boldPattern.ReplaceAllString(s, "**$1**")
	s = emojiPattern.ReplaceAllStringFunc(s, emoji)
	s = anglePattern.ReplaceAllStringFunc(s, func(found string) string {
		m := anglePattern.FindStringSubmatch(found)
		target, label := m[1], m[2]
		switch {
		case strings.HasPrefix(target, "@"):
			return r.name(target[1:])
		case strings.HasPrefix(target, "#"):
			return r.name(target[1:])
		case strings.HasPrefix(target, "!subteam^"):
			return r.name(strings.TrimPrefix(target, "!subteam^"))
		case datePattern.MatchString(target):
			date := datePattern.FindStringSubmatch(target)
			seconds, _ := strconv.ParseInt(date[1], 10, 64) // cannot fail: the pattern matches digits
			layout := "2 Jan 15:04"
			if date[2] != "" {
				layout = "15:04"
			}
			return time.Unix(seconds, 0).In(r.zone).Format(layout)
		case label != "":
			return fmt.Sprintf("[%s](%s)", label, target)
		}
		return target
	})
	return unescaper.Replace(s)
}

// emojis are the emoji that are shown as characters. Others are shown by name.
var emojis = map[string]string{":white_check_mark:": "✅", ":heavy_check_mark:": "✔", ":warning:": "⚠", ":rotating_light:": "🚨", ":pager:": "📟",
	":speech_balloon:": "💬", ":page_facing_up:": "📄", ":hourglass:": "⏳", ":no_entry:": "⛔", ":memo:": "📝", ":mega:": "📣",
	":lower_left_fountain_pen:": "🖋", ":calendar:": "📅", ":bell:": "🔔", ":x:": "❌", ":wave:": "👋", ":telephone_receiver:": "📞", ":tada:": "🎉",
	":shield:": "🛡", ":robot_face:": "🤖", ":repeat:": "🔁", ":raised_hand:": "✋", ":pushpin:": "📌", ":lock_with_ink_pen:": "🔏",
	":level_slider:": "🎚", ":hammer_and_wrench:": "🛠", ":file_folder:": "📁", ":fast_forward:": "⏩", ":checkered_flag:": "🏁", ":busts_in_silhouette:": "👥",
	":bust_in_silhouette:": "👤", ":book:": "📖", ":ballot_box_with_check:": "☑", ":white_large_square:": "⬜", ":heavy_minus_sign:": "➖", ":chart_with_upwards_trend:": "📈", ":pencil2:": "✏", ":alarm_clock:": "⏰", ":key:": "🔑", ":handshake:": "🤝"}

func emoji(name string) string {
	if e := emojis[name]; e != "" {
		return e
	}
	return name
}
