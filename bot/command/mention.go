package command

import (
	"regexp"
	"strings"

	"tocsin/bot/incident"
)

// Mention returns the text that names a person in a command. Providers put it in
// place of a mention in their own syntax. An account that belongs to no person has
// the empty id. name is what prose shows of the mention.
func Mention(person incident.PersonID, name string) string {
	return newMention("person", string(person), name)
}

// MentionTeam is [Mention] for a department or team.
func MentionTeam(team incident.Department, name string) string {
	return newMention("team", string(team), name)
}

// mention matches the result of Mention and MentionTeam: "@{person p-ada|Ada}".
var (
	mention       = regexp.MustCompile(mentionPattern)
	mentionPrefix = regexp.MustCompile("^" + mentionPattern)
)

const mentionPattern = `@\{(person|team) ([^{}|\n]*)\|([^{}|\n]*)\}`

// mentionSyntax removes the characters of the syntax from its parts.
var mentionSyntax = strings.NewReplacer("{", "", "}", "", "|", "", "\n", " ")

func newMention(kind, id, name string) string {
	return "@{" + kind + " " + mentionSyntax.Replace(id) + "|" + mentionSyntax.Replace(name) + "}"
}

// mentioned returns the id and the name in a word with a mention of a kind.
func mentioned(kind, word string) (id, name string, ok bool) {
	m := mention.FindStringSubmatch(word)
	if m == nil || m[1] != kind {
		return "", "", false
	}
	return m[2], m[3], true
}

// masked returns a text of the same length in which a search finds nothing inside a
// mention.
func masked(text string) string {
	return mention.ReplaceAllStringFunc(text, func(m string) string { return strings.Repeat("x", len(m)) })
}

// Readable replaces every mention in a text by its name, such as "@Ada".
func Readable(text string) string {
	for mention.MatchString(text) { // a replacement may form another mention
		text = mention.ReplaceAllString(text, "@$3")
	}
	return text
}
