package command

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// Parsed is the result of parsing a command line: a query, a command, or an
// incomplete command that a form completes.
type Parsed struct {
	Query        string                  // QueryList, QueryStatus, ..., empty for a command
	Form         incident.Verb           // the form to open, prefilled from Command
	Topic        string                  // of QueryHelp, and the scope of QueryActions
	Filter       incident.Filter         // of QueryList
	Timeline     incident.TimelineFilter // of QueryTimeline
	AlertRequest *incident.AlertRequest  // of queries about alerts and maintenance windows
	// Command is complete except for Key, By, Auth and Via, which the adapter sets.
	// For is also set for queries about one incident.
	Command incident.Command
}

// The values of Parsed.Query, besides those of [incident.AlertRequest].
const (
	QueryHelp      = "help"
	QueryList      = "list"
	QueryStatus    = "status"
	QueryRecord    = "record"
	QueryMenu      = "menu" // the empty text: what the person can do here
	QueryMy        = "my"
	QueryTimeline  = "timeline"
	QueryPlaybooks = "playbooks"
	QueryWho       = "who"
	QueryUpdates   = "updates"
	QueryActions   = "actions"
)

// Context is the context of a command line or a form.
type Context struct {
	Incident incident.ID       // of the channel, 0 outside of one
	Who      incident.PersonID // the author, for "me"
	// By is the account of the author. If it is set and Who is empty, only help and
	// the commands of such accounts are parsed, because errors about other commands
	// may name people.
	By            incident.Identity
	Administrator bool
	Directory     incident.Directory
	Now           time.Time
	Zone          *time.Location // of times such as "02:31", nil means UTC
}

// Parse parses a command as people type it in chat or on the command line, without
// the leading program name or slash command. Providers translate their mentions
// before: see [Mention]. An empty text is a query for the menu. The function is pure.
//
// It returns an [*incident.Error] if the text cannot be parsed. The error names the
// argument in Field and suggests the nearest known word.
func Parse(text string, c Context) (Parsed, error) {
	p := newParser(text, c)
	first, ok := p.next()
	if !ok {
		return menu(c), nil
	}
	if name := strings.ToLower(first.text); name == "/incident" || name == "incident" && !p.atEnd() {
		if first, ok = p.next(); !ok { // typed twice
			return menu(c), nil
		}
	}
	name := strings.ToLower(strings.TrimRight(strings.TrimPrefix(first.text, "/"), ",.:;!"))
	if severityWord.MatchString(name) {
		name, p.pos = "severity", p.pos-len(first.raw) // the severity alone
	}
	spec, err := findSpec(name)
	if err != nil {
		return Parsed{}, err
	}
	if !spec.admits(c) {
		return Parsed{}, incident.NotLinked(c.By)
	}
	p.spec = spec
	w := Parsed{Command: incident.Command{For: c.Incident}}
	if spec.NeedsIncident {
		if err := p.takeIncident(&w); err != nil {
			return Parsed{}, err
		}
	}
	if err := spec.read(p, &w); err != nil {
		return Parsed{}, err
	}
	if p.typed != nil {
		w.Command.Zone = incident.ZoneName(p.typed)
	}
	if form, _ := FormOf(w.Form); spec.NeedsIncident && w.Command.For == 0 && w.AlertRequest == nil && !form.asksIncident() {
		return Parsed{}, incident.Invalid("incident", "no incident given. Type its ID after the command, as in %s INC-42, or use the channel of the incident. Type list for the open incidents", spec.Name)
	}
	return w, nil
}

// menu returns the query of an empty text.
func menu(c Context) Parsed {
	return Parsed{Query: QueryMenu, Command: incident.Command{For: c.Incident}}
}

// known reports whether the author is a person, or the caller itself.
func (c Context) known() bool { return c.Who != "" || c.By == (incident.Identity{}) }

// Admit returns an error if the author belongs to no person and the lifecycle allows
// such accounts no command with the verb.
func (c Context) Admit(verb incident.Verb) error {
	if c.known() {
		return nil
	}
	return incident.Admit(incident.Command{Verb: verb, By: c.By}, incident.Env{Administrator: c.Administrator})
}

// admits reports whether the author may know the grammar of the command. Everybody
// may read help.
func (s *Spec) admits(c Context) bool {
	return c.known() || slices.ContainsFunc(s.Syntaxes, func(y Syntax) bool {
		return y.Query == QueryHelp || y.Verb != "" && c.Admit(y.Verb) == nil
	})
}

// read reads the arguments of the command.
func (s *Spec) read(p *parser, w *Parsed) error {
	syntax, err := s.choose(p)
	if err != nil {
		return err
	}
	w.Query, w.Command.Verb = syntax.Query, syntax.Verb
	if syntax.Verb != "" && !s.NeedsIncident {
		w.Command.For = 0 // the command opens an incident or names one itself
	}
	for _, arg := range syntax.Args {
		given, err := arg.consume(p, w)
		if err != nil {
			return err
		}
		if !given && arg.asked {
			if w.Form = syntax.Verb; p.atEnd() {
				break
			}
		}
	}
	if !p.atEnd() {
		return p.unread()
	}
	return nil
}

// choose returns the syntax that the next word selects, and consumes the word.
func (s *Spec) choose(p *parser) (*Syntax, error) {
	bare := -1
	for n, y := range s.Syntaxes {
		switch {
		case len(y.Words) == 0:
			bare = n
		case p.take(y.Words...):
			return &s.Syntaxes[n], nil
		case y.Bare && p.atEnd():
			bare = n
		}
	}
	if bare >= 0 {
		return &s.Syntaxes[bare], nil
	}
	if p.atEnd() {
		return nil, incident.Invalid(s.Name, "%s needs %s. Type %s", s.Name, strings.Join(s.words(), " or "), s.Name+" "+s.Usage())
	}
	return nil, s.unknownWord(p)
}

// words returns the words that select a syntax.
func (s *Spec) words() []string {
	var out []string
	for _, y := range s.Syntaxes {
		out = append(out, y.Words[:min(1, len(y.Words))]...)
	}
	return out
}

// unknownWord returns the error for a next word that selects no syntax.
func (s *Spec) unknownWord(p *parser) error {
	word, _ := p.next()
	if near := incident.NearestAll(word.text, s.words(), maxSuggestions); len(near) > 0 {
		return incident.Invalid(s.Name, "unknown word %q after %s. Did you mean %s?", truncate(word.text), s.Name, suggest(near))
	}
	return incident.Invalid(s.Name, "unknown word %q after %s. Use one of: %s", truncate(word.text), s.Name, strings.Join(s.words(), ", "))
}

// JoinArgs joins arguments that a shell has split into a text that [Parse] splits
// in the same places. It returns a single argument unchanged.
func JoinArgs(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	out := make([]string, len(args))
	for n, arg := range args {
		if first, _ := utf8.DecodeRuneInString(arg); arg == "" || strings.ContainsFunc(arg, unicode.IsSpace) || isQuote(first) {
			arg = quoteText(arg)
		}
		out[n] = arg
	}
	return strings.Join(out, " ")
}
