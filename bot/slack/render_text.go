package slack

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"tocsin/bot/incident"
)

// markup is text in Slack's mrkdwn that is safe to send: whatever a person or a
// source wrote went through esc on its way in. Only the functions of this file
// and string constants make one.
type markup string

// markupf fills a constant format with safe parts.
func markupf(format string, parts ...markup) markup {
	args := make([]any, len(parts))
	for n, p := range parts {
		args[n] = string(p)
	}
	return markup(fmt.Sprintf(format, args...))
}

// formatNum writes a number.
func formatNum[N ~int | ~int64](n N) markup { return markup(fmt.Sprint(int64(n))) }

// units is the length of a text as Slack may count it. Whether it counts code
// points or UTF-16 units is not documented; this is the larger of the two.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// clean removes what no text of a person needs and what could deceive a
// reader: control characters and switches of the writing direction.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case r == '\u2028', r == '\u2029':
			return '\n'
		case unicode.Is(unicode.Cc, r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// clip cuts a text to at most limit units and says with an ellipsis that it did.
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

// escape makes one line of foreign text harmless inside mrkdwn: no mention, no
// link, no code fence that would swallow what follows. The result is at most
// limit units long.
func escape(s string, limit int) markup {
	s = strings.Join(strings.Fields(clean(s)), " ")
	for room := limit; ; room = room * 3 / 4 {
		short, _ := clip(s, room)
		if out := escaper.Replace(short); units(out) <= limit {
			return markup(out)
		}
	}
}

// humanize makes an id, an enum or a name from our own tables readable: "in_review"
// becomes "in review".
func humanize[S ~string](s S) markup { return escape(strings.ReplaceAll(string(s), "_", " "), 80) }

// joinLimited joins parts with commas within limit units and says how many were left out.
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

// joinMarkup joins parts that are few.
func joinMarkup(parts []markup, by string) markup {
	var b strings.Builder
	for n, p := range parts {
		if n > 0 {
			b.WriteString(by)
		}
		b.WriteString(string(p))
	}
	return markup(b.String())
}

var (
	userID  = regexp.MustCompile(`^[UW][A-Z0-9]{1,30}$`)
	groupID = regexp.MustCompile(`^S[A-Z0-9]{1,30}$`)
)

// slackID is the person's Slack user id, or "".
func slackID(d incident.Directory, id incident.PersonID) string {
	p, _ := d.Person(id)
	if h := p.IDAt(incident.ProviderSlack); userID.MatchString(h) {
		return h
	}
	return ""
}

// mention names a person: a mention where Slack knows them, their name elsewhere.
func mention(d incident.Directory, id incident.PersonID) markup {
	if h := slackID(d, id); h != "" {
		return markup("<@" + h + ">")
	}
	return escape(d.Name(id), 80)
}

func mentionAll(d incident.Directory, ids []incident.PersonID, limit int) markup {
	parts := make([]markup, len(ids))
	for n, id := range ids {
		parts[n] = mention(d, id)
	}
	return joinLimited(parts, limit)
}

// mentionTeam names a department: its user group where it has one.
func mentionTeam(d incident.Directory, name incident.Department) markup {
	t, _ := d.Team(name)
	if m := mentionGroup(t.Group); m != "" {
		return m
	}
	return humanize(name)
}

// mentionGroup mentions a user group, or is "" for what is no group's id.
func mentionGroup(id string) markup {
	if !groupID.MatchString(id) {
		return ""
	}
	return markup("<!subteam^" + id + ">")
}

// dateMarkup shows an instant in each reader's own time zone, in UTC where that fails.
func dateMarkup(t time.Time) markup {
	return markup(fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 UTC")))
}

// linkMarkup is a link to somewhere else, or only its label where the address is none.
func linkMarkup(url, label string) markup {
	text := escape(label, 80)
	if !goodURL(url) {
		return text
	}
	return markupf("<%s|%s>", markup(url), text)
}

var plainURL = regexp.MustCompile(`^https?://[A-Za-z0-9][^\s<>|"]*$`)

// goodURL reports whether an address may stand in a link: http or https, and
// nothing in it that would end the link early.
func goodURL(url string) bool {
	return len(url) <= 1000 && plainURL.MatchString(clean(url)) && clean(url) == url
}
