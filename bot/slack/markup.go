package slack

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// markup is text in the mrkdwn format of Slack that is safe to send: texts
// from people and sources have passed [escape]. Only the functions in this
// file and string constants produce markup.
type markup string

// markupf formats markup. The format is a constant.
func markupf(format string, parts ...markup) markup {
	args := make([]any, len(parts))
	for n, p := range parts {
		args[n] = string(p)
	}
	return markup(fmt.Sprintf(format, args...))
}

// units returns the length of a text in UTF-16 units. Slack does not document
// whether it counts code points or UTF-16 units. The number of UTF-16 units
// is the larger one.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// Short names of functions of package text.
func clean(s string) string   { return text.Clean(s) }
func oneLine(s string) string { return text.Line(s) }

// clip shortens a text to limit units, as [text.Truncate] does to runes. A shortened text ends with an
// ellipsis. The second result reports whether the text was shortened.
func clip(s string, limit int) (string, bool) {
	if units(s) <= limit {
		return s, false
	}
	left, end := limit-1, 0
	for n, r := range s {
		end = n
		if left -= max(1, utf16.RuneLen(r)); left < 0 {
			break
		}
	}
	return s[:end] + "…", true
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'")

// escape returns s as one line without effective mentions, links and code
// fences. The result is at most limit units long.
func escape(s string, limit int) markup {
	s = oneLine(s)
	for room := limit; ; room = room * 3 / 4 {
		short, _ := clip(s, room)
		if out := escaper.Replace(short); units(out) <= limit {
			return markup(out)
		}
	}
}

// humanize returns an ID, a constant or a configured name as markup, with
// spaces instead of underscores.
func humanize[S ~string](s S) markup { return escape(strings.ReplaceAll(string(s), "_", " "), 80) }

// joinLimited joins parts with commas within limit units. It replaces parts
// beyond the limit with their number.
func joinLimited(parts []markup, limit int) markup {
	var b strings.Builder
	for n, p := range parts {
		if n > 0 && units(b.String())+units(string(p))+20 > limit {
			return markup(fmt.Sprintf("%s and %d more", b.String(), len(parts)-n))
		}
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(p))
	}
	return markup(b.String())
}

// joinMarkup joins parts with a separator.
func joinMarkup(parts []markup, sep string) markup {
	var b strings.Builder
	for n, p := range parts {
		if n > 0 {
			b.WriteString(sep)
		}
		b.WriteString(string(p))
	}
	return markup(b.String())
}

var (
	userID  = regexp.MustCompile(`^[UW][A-Z0-9]{1,30}$`)
	groupID = regexp.MustCompile(`^S[A-Z0-9]{1,30}$`)
)

// slackID returns the Slack user ID of a person, or "".
func slackID(d incident.Directory, id incident.PersonID) string {
	p, _ := d.Person(id)
	return userOf(p)
}

// userOf returns the Slack user ID of a person, or "".
func userOf(p incident.Person) string {
	if h := p.IDAt(incident.ProviderSlack); userID.MatchString(h) {
		return h
	}
	return ""
}

// mention returns a mention of a person, or the name if the person has no
// Slack user ID.
func mention(d incident.Directory, id incident.PersonID) markup {
	if h := slackID(d, id); h != "" {
		return markup("<@" + h + ">")
	}
	return escape(d.Name(id), 80)
}

// mentionGroup returns a mention of a user group, or "" for an invalid ID.
func mentionGroup(id string) markup {
	if !groupID.MatchString(id) {
		return ""
	}
	return markup("<!subteam^" + id + ">")
}

// mentionChannel returns a link to a channel, or the ID if it is not one of
// Slack.
func mentionChannel(id string) markup {
	if !channelID.MatchString(id) {
		return escape(id, 80)
	}
	return markup("<#" + id + ">")
}

// dateMarkup returns a time that Slack shows in the time zone of each reader.
// The fallback is in UTC.
func dateMarkup(t time.Time) markup {
	return markup(fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 UTC")))
}

// clockMarkup returns a time without its day that Slack shows in the time zone of each
// reader. The fallback is in UTC.
func clockMarkup(t time.Time) markup {
	return markup(fmt.Sprintf("<!date^%d^{time}|%s>", t.Unix(), t.UTC().Format("15:04 UTC")))
}

// linkMarkup returns a link, or only the label if the URL is not valid for a
// link.
func linkMarkup(url, label string) markup {
	text := escape(label, 80)
	if !chat.IsPage(url) {
		return text
	}
	return markupf("<%s|%s>", markup(url), text)
}
