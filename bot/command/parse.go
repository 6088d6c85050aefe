package command

import (
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// Parsed is the result of parsing a command line: a query, a command, or an
// incomplete command that a form completes.
type Parsed struct {
	Query        string                 // QueryList, QueryStatus, ..., empty for a command
	Form         incident.Verb          // the form to open, prefilled from Command
	Topic        string                 // of QueryHelp
	Filter       incident.Filter        // of QueryList
	AlertRequest *incident.AlertRequest // of queries about alerts and maintenance windows
	// Command is complete except for Key, By, Auth and Via, which the adapter sets.
	// For is also set for queries about one incident.
	Command incident.Command
}

// The values of Parsed.Query, with those about alerts below.
const (
	QueryHelp   = "help"
	QueryList   = "list"
	QueryStatus = "status"
	QueryRecord = "record"
)

// Context is the context of a command line.
type Context struct {
	Incident incident.ID       // of the channel, 0 outside of one
	Who      incident.PersonID // the author, for "me"
	// By is the account of the author. If it is set and Who is empty, only help and
	// open are parsed, because errors about other commands may name people. For an
	// administrator, replacement is parsed, too.
	By            incident.Identity
	Administrator bool
	Directory     incident.Directory
	Now           time.Time
	Zone          *time.Location // of times such as "02:31", nil means UTC
}

// Parse parses a command as people type it in Slack or on the command
// line, without the leading program name or slash command. An empty text is a query
// for help. The function is pure.
//
// It returns an [*Error] if the text cannot be parsed. The error names the argument
// in Field and suggests the nearest known word.
func Parse(text string, c Context) (Parsed, error) {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	p := &argParser{scanner: scanner{text: text}, Context: c}
	first, ok := p.next()
	if !ok {
		return Parsed{Query: QueryHelp}, nil
	}
	name := strings.ToLower(strings.TrimPrefix(first.text, "/"))
	verb, ok := findVerb(name)
	if !ok {
		return Parsed{}, unknownCommand(name)
	}
	forAll := verb.Name == "open" || verb.Name == "help" || c.Administrator && verb.Name == "replacement"
	if c.By != (incident.Identity{}) && c.Who == "" && !forAll {
		return Parsed{}, incident.NotLinked(c.By)
	}
	p.verb = verb
	w := Parsed{Command: incident.Command{For: c.Incident}}
	if verb.NeedsIncident {
		if id, ok := p.incident(); ok {
			w.Command.For = id
		}
	}
	if err := verb.read(p, &w); err != nil {
		return Parsed{}, err
	}
	if verb.NeedsIncident && w.Command.For == 0 && w.Query != QueryHelp {
		return Parsed{}, incident.Invalid("incident", "no incident given. Type its ID after the command, as in %s INC-42, or use the channel of the incident. Type list for the open incidents", verb.Name)
	}
	return w, nil
}

// JoinArgs joins arguments that a shell has split into a text that
// [Parse] splits in the same places. It returns a single argument
// unchanged.
func JoinArgs(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	out := make([]string, len(args))
	for n, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, isSpace) && !strings.ContainsFunc(arg, isQuote) {
			arg = `"` + arg + `"`
		}
		out[n] = arg
	}
	return strings.Join(out, " ")
}

// Spec is the grammar and the help of one verb that people can type.
type Spec struct {
	Name          string
	Aliases       []string
	Usage         string   // arguments after the verb
	Help          string   // one line
	Examples      []string // complete commands, starting with the verb
	Next          []string // possible next words, for completion
	NeedsIncident bool     // takes an incident, by default the one linked to the channel
	read          func(*argParser, *Parsed) error
}

// findVerb returns the verb with a name or alias.
func findVerb(name string) (Spec, bool) {
	for _, v := range Specs() {
		if v.Name == name || slices.Contains(v.Aliases, name) {
			return v, true
		}
	}
	return Spec{}, false
}

// unknownCommand returns the error for a verb that does not exist.
func unknownCommand(name string) *incident.Error {
	if near := incident.Nearest(name, verbNames()); near != "" {
		return incident.Invalid("verb", "unknown command %q. Did you mean %q?", truncate(name), near)
	}
	return incident.Invalid("verb", "unknown command %q. Type help for all commands", truncate(name))
}

func verbNames() []string {
	var out []string
	for _, v := range Specs() {
		out = append(append(out, v.Name), v.Aliases...)
	}
	return out
}

// names converts a slice of a string type, for messages and completion.
func names[T ~string](of []T) []string {
	out := make([]string, len(of))
	for n, s := range of {
		out[n] = string(s)
	}
	return out
}

// Specs returns the complete grammar, which help, completion and the command
// line use.
func Specs() []Spec {
	departments := names(incident.RequiredDepartments())
	return append([]Spec{
		{Name: "open", Aliases: []string{"new", "declare"}, Usage: "[sev1…sev4] [--public] TITLE", Help: "open an incident, restricted unless --public",
			Examples: []string{"open sev2 Leaked AWS key in a public repository"}, Next: append(names(incident.Severities()), "--public"), read: readOpen},
		{Name: "list", Aliases: []string{"ls"}, Usage: "[all | STATUS …]", Help: "list live incidents, all incidents, or the incidents with a status",
			Examples: []string{"list", "list approved"}, Next: append([]string{"all"}, names(incident.Statuses())...), read: readList},
		{Name: "status", Aliases: []string{"show"}, Usage: "[INC-42]", Help: "show the state of an incident",
			Examples: []string{"status INC-42"}, NeedsIncident: true, read: readStatus},
		{Name: "ack", Aliases: []string{"acknowledge"}, Usage: "[INC-42] [sev1…sev4]", Help: "acknowledge: stop paging and become commander if there is none",
			Examples: []string{"ack", "ack INC-42 sev2"}, Next: names(incident.Severities()), NeedsIncident: true, read: readAck},
		{Name: "page", Usage: "[because REASON]", Help: "page again because more help is needed: starts a new paging round until somebody acknowledges",
			Examples: []string{"page", "page because the database needs a second pair of hands"}, NeedsIncident: true, read: readPage},
		{Name: "severity", Aliases: []string{"sev"}, Usage: "sev1…sev4 [because REASON] | keep [because REASON]", Help: "change the severity, or keep it although an alert proposes another (raising it pages again, unless it was acknowledged at that severity)",
			Examples: []string{"severity sev1 because customers are locked out", "severity keep because it is the same test"}, Next: append(names(incident.Severities()), "keep"), NeedsIncident: true, read: readSeverity},
		{Name: "role", Aliases: []string{"assign"}, Usage: "ROLE PERSON", Help: "assign a role to a person, or to yourself with me",
			Examples: []string{"role scribe @ada", "role commander me"}, Next: names(incident.Roles()), NeedsIncident: true, read: readRole},
		{Name: "fact", Usage: "NAME VALUE because REASON", Help: "set a fact: occurred, detected, aware REGIME, classified, personal_data, affected, time_zone, language",
			Examples: []string{"fact occurred yesterday 23:10 because the log shows the first call", "fact personal_data suspected because the dump held addresses",
				"fact affected \"Example SA\" processor 1200 notified 2026-11-24 10:00", "fact aware gdpr 02:31"}, Next: names(incident.FactNames()), NeedsIncident: true, read: readFact},
		{Name: "step", Usage: "done | skip STEP [OUTCOME or REASON]", Help: "mark a playbook step as done, or skip it",
			Examples: []string{"step done rotate-key the old key is gone", "step skip leaked-aws-credentials/ask-aws because there is no support contract"}, Next: []string{"done", "skip"}, NeedsIncident: true, read: readStep},
		{Name: "note", Usage: "[at TIME] [--audience all|responders|legal_and_security] TEXT", Help: "add a note to the timeline",
			Examples: []string{"note at 02:31 disabled the key"}, Next: []string{"at", "--audience"}, NeedsIncident: true, read: readNote},
		{Name: "evidence", Usage: "NAME [in PLACE] [sha256:HEX]", Help: "record a piece of evidence with its location and hash",
			Examples: []string{`evidence "disk image of web-1" in s3://evidence/web-1.img sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`}, NeedsIncident: true, read: readEvidence},
		{Name: "update", Usage: "TEXT", Help: "post a status update for stakeholders",
			Examples: []string{"update logins work again, we are looking for the cause"}, NeedsIncident: true, read: readText(incident.VerbUpdate)},
		{Name: "contain", Aliases: []string{"contained"}, Usage: "[at TIME] HOW", Help: "mark the incident as contained: the harm no longer spreads",
			Examples: []string{"contain at 02:31 disabled the key"}, Next: []string{"at"}, NeedsIncident: true, read: readText(incident.VerbContain)},
		{Name: "resolve", Aliases: []string{"resolved"}, Usage: "[at TIME] HOW [because WHY]", Help: "mark the incident as resolved: service and security are restored (WHY is for required steps that stay open)",
			Examples: []string{"resolve all keys rotated, logins work", "resolve the key was never valid because there is nothing to rotate"}, Next: []string{"at"}, NeedsIncident: true, read: readText(incident.VerbResolve)},
		{Name: "record", Usage: "[show | set FIELD TEXT | submit]", Help: "show, edit or submit the closing record that four departments sign",
			Examples: []string{"record", "record set root_cause the key was in a log line", "record submit"}, Next: []string{"show", "set", "submit"}, NeedsIncident: true, read: readRecord},
		{Name: "submit", Help: "submit the closing record for signing", Examples: []string{"submit"}, NeedsIncident: true,
			read: func(_ *argParser, w *Parsed) error { w.Command.Verb = incident.VerbSubmit; return nil }},
		{Name: "sign", Usage: "[DEPARTMENT] [DIGEST]", Help: "sign the closing record for your department, under the digest you read",
			Examples: []string{"sign", "sign legal sha256:…"}, Next: departments, NeedsIncident: true, read: readSign(incident.VerbSign)},
		{Name: "object", Usage: "[DEPARTMENT] [DIGEST] [REASON]", Help: "object to the closing record and block approval",
			Examples: []string{"object legal", "object legal sha256:… the impact leaves out the contractors"}, Next: departments, NeedsIncident: true, read: readSign(incident.VerbObject)},
		{Name: "amend", Usage: "WHY", Help: "reopen the closing record for changes and void its signatures",
			Examples: []string{"amend the impact left out the contractors"}, NeedsIncident: true, read: readText(incident.VerbAmend)},
		{Name: "withdraw", Usage: "[O1 | DEPARTMENT] [because REASON]", Help: "withdraw an objection or your signature",
			Examples: []string{"withdraw", "withdraw O1", "withdraw legal"}, Next: departments, NeedsIncident: true, read: readWithdraw},
		{Name: "delegate", Usage: "DEPARTMENT PERSON until DATE", Help: "let another person act for your department in this incident",
			Examples: []string{"delegate legal @ada until 2026-12-01"}, Next: departments, NeedsIncident: true, read: readDelegate},
		{Name: "consult", Usage: "TEAM [blocking]", Help: "consult a team before closing (blocking: approval needs its answer)",
			Examples: []string{"consult payroll blocking"}, NeedsIncident: true, read: readConsult},
		{Name: "involve", Usage: "DEPARTMENT [because REASON]", Help: "involve a department now, before sign-off",
			Examples: []string{"involve legal because a regulator must be notified"}, Next: departments, NeedsIncident: true, read: readInvolve},
		{Name: "answer", Usage: "TEAM TEXT", Help: "answer for a consulted team",
			Examples: []string{"answer payroll no run was affected"}, NeedsIncident: true, read: readAnswer},
		{Name: "revise", Usage: "[set FIELD TEXT …] because WHY", Help: "submit a new revision of an approved record for signing",
			Examples: []string{"revise the forensics report changes the root cause", `revise set root_cause "the key was guessed" because the forensics report says so`}, Next: []string{"set"}, NeedsIncident: true, read: readRevise},
		{Name: "reopen", Usage: "WHY", Help: "reopen the incident and page again",
			Examples: []string{"reopen the key was used again"}, NeedsIncident: true, read: readText(incident.VerbReopen)},
		{Name: "dismiss", Usage: "[no-personal-data] because WHY", Help: "dismiss the incident as a false alarm (two people, one from security, if it ever was sev1 or sev2, contained or suspected of personal data)",
			Examples: []string{"dismiss no-personal-data because it was a planned test", "dismiss because the scan was ours"}, Next: []string{"no-personal-data"}, NeedsIncident: true, read: readDismiss},
		{Name: "merge", Usage: "[INC-42] into INC-41 [WHY]", Help: "merge this incident into another",
			Examples: []string{"merge into INC-41 same key", "merge INC-42 into INC-41"}, Next: []string{"into"}, NeedsIncident: true, read: readMerge},
		{Name: "review", Usage: "TIME | conclude [with PERSON, … : DECISIONS] | waive REASON", Help: "schedule the review meeting, conclude it, or waive action items",
			Examples: []string{"review 2026-11-24 10:00", "review conclude", "review waive there is nothing to detect"}, Next: []string{"conclude", "waive", "tomorrow"}, NeedsIncident: true, read: readReview},
		{Name: "action", Usage: "add KIND TITLE owner PERSON due DATE | done A1 [HOW]", Help: "add an action item (detection, prevention, mitigation, process) or finish one",
			Examples: []string{"action add detection alert on unused keys owner @ada due 2026-12-24", "action done A1 the rule is live"}, Next: []string{"add", "done"}, NeedsIncident: true, read: readAction},
		{Name: "grant", Usage: "PERSON because REASON", Help: "grant a person read access to the incident",
			Examples: []string{"grant @ada because she runs the cluster"}, NeedsIncident: true, read: readPersonVerb(incident.VerbGrant)},
		{Name: "revoke", Usage: "PERSON because REASON", Help: "end the read access that a person was granted or has as the opener",
			Examples: []string{"revoke @ada because she changed teams"}, NeedsIncident: true, read: readPersonVerb(incident.VerbRevoke)},
		{Name: "exclude", Usage: "PERSON [--remove | --new-channel] because REASON", Help: "shut a suspected insider out: no reading, signing or acting (legal or security, seen by them only)",
			Examples: []string{"exclude @ada because the key was used from her laptop", "exclude @ada --new-channel because she reads along"}, Next: []string{"--remove", "--new-channel"}, NeedsIncident: true, read: readPersonVerb(incident.VerbExclude)},
		{Name: "readmit", Usage: "PERSON because REASON", Help: "end an exclusion (legal or security)",
			Examples: []string{"readmit @ada because the laptop was stolen"}, NeedsIncident: true, read: readPersonVerb(incident.VerbReadmit)},
		{Name: "replacement", Usage: "INC-42 DEPARTMENT PERSON because REASON", Help: "let a person act for a department that has at most one person left (administrators, on the command line)",
			Examples: []string{"replacement INC-42 legal ada because the only signer is a suspect"}, Next: departments, NeedsIncident: true, read: readReplacement},
		{Name: "restrict", Help: "restrict the incident to participants", NeedsIncident: true, Examples: []string{"restrict"},
			read: func(_ *argParser, w *Parsed) error { w.Command.Verb = incident.VerbRestrict; return nil }},
		{Name: "public", Help: "make the incident readable by the whole company", NeedsIncident: true, Examples: []string{"public"},
			read: func(_ *argParser, w *Parsed) error {
				w.Command.Verb, w.Command.Public = incident.VerbRestrict, true
				return nil
			}},
		{Name: "erase", Usage: "EVENT/TEXT [EVENT/TEXT …] because REASON", Help: "erase texts permanently (legal and security together)",
			Examples: []string{"erase 17/text because it holds a card number"}, NeedsIncident: true, read: readErase},
		{Name: "help", Aliases: []string{"?"}, Usage: "[VERB]", Help: "show all commands, or the help of one", Examples: []string{"help sign"}, Next: nil, read: readHelp},
	}, alertVerbs()...)
}
