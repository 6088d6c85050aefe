package incident

import (
	"slices"
	"strings"
	"time"
)

// ParsedCommand is what somebody typed, understood: a question (Query), a command, or
// a command whose rest is better asked for in a form (Form).
type ParsedCommand struct {
	Query        string        // QueryList, QueryStatus, ...; "" where it is a command
	Form         Verb          // the form to open; Command holds what was already said
	Topic        string        // of QueryHelp
	Filter       Filter        // of QueryList
	AlertRequest *AlertRequest // of the questions about alerts and maintenance windows
	Command      Command       // For is also set for queries about one incident; the door fills in Key, By, Auth and Via
}

// The questions that words can be.
const (
	QueryHelp   = "help"
	QueryList   = "list"
	QueryStatus = "status"
	QueryRecord = "record"
)

// ParseContext is what the words are read in.
type ParseContext struct {
	Incident  ID // of the channel they were typed in; 0 for none
	Who       PersonID
	Directory Directory
	Now       time.Time
	Zone      *time.Location // in which "02:31" is read; nil means UTC
}

// ParseCommandLine reads a command as people type it behind every door: the text
// after the slash command, or the arguments of the command line. It is pure.
// What it cannot understand it answers with an *Error that names the nearest
// word it knows; Field says which argument is meant.
func ParseCommandLine(text string, c ParseContext) (ParsedCommand, error) {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	p := &argParser{scanner: scanner{text: text}, ParseContext: c}
	first, ok := p.next()
	if !ok {
		return ParsedCommand{Query: QueryHelp}, nil
	}
	name := strings.ToLower(strings.TrimPrefix(first.text, "/"))
	verb, ok := findVerb(name)
	if !ok {
		return ParsedCommand{}, Invalid("verb", "%s", unknownWord("a command", name, verbNames(), "help shows them all"))
	}
	p.verb = verb
	w := ParsedCommand{Command: Command{For: c.Incident}}
	if verb.NeedsIncident {
		if id, ok := p.incident(); ok {
			w.Command.For = id
		}
	}
	if err := verb.read(p, &w); err != nil {
		return ParsedCommand{}, err
	}
	if verb.NeedsIncident && w.Command.For == 0 && w.Query != QueryHelp {
		return ParsedCommand{}, Invalid("incident", "say which incident: %s INC-42 …, or write it in the incident's channel", verb.Name)
	}
	return w, nil
}

// JoinArgs makes one text of arguments that a shell has already split, such
// that ParseWords reads each as it was given. A single argument is taken as it is.
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

// VerbSpec is one verb of the grammar, with what people are told about it.
type VerbSpec struct {
	Name          string
	Aliases       []string
	Usage         string   // after the verb
	Help          string   // one line
	Examples      []string // whole, beginning with the verb
	Next          []string // what may come next, for completion
	NeedsIncident bool     // an incident, named or the channel's
	read          func(*argParser, *ParsedCommand) error
}

// findVerb finds a verb by name or alias.
func findVerb(name string) (VerbSpec, bool) {
	for _, v := range VerbSpecs() {
		if v.Name == name || slices.Contains(v.Aliases, name) {
			return v, true
		}
	}
	return VerbSpec{}, false
}

func verbNames() []string {
	var out []string
	for _, v := range VerbSpecs() {
		out = append(append(out, v.Name), v.Aliases...)
	}
	return out
}

// names turns typed words into plain ones, for messages and completion.
func names[T ~string](of []T) []string {
	out := make([]string, len(of))
	for n, s := range of {
		out[n] = string(s)
	}
	return out
}

// VerbSpecs is the whole grammar. Help, completion and the command line are
// made from it.
func VerbSpecs() []VerbSpec {
	departments := names(RequiredDepartments())
	return append([]VerbSpec{
		{Name: "open", Aliases: []string{"new", "declare"}, Usage: "[sev1…sev4] [--public] TITLE", Help: "open an incident; restricted unless --public",
			Examples: []string{"open sev2 Leaked AWS key in a public repository"}, Next: append(names(Severities()), "--public"), read: readOpen},
		{Name: "list", Aliases: []string{"ls"}, Usage: "[all | STATUS …]", Help: "list the incidents that are not over, or all",
			Examples: []string{"list", "list approved"}, Next: append([]string{"all"}, names(Statuses())...), read: readList},
		{Name: "status", Aliases: []string{"show"}, Usage: "[INC-42]", Help: "show how an incident stands",
			Examples: []string{"status INC-42"}, NeedsIncident: true, read: readStatus},
		{Name: "ack", Aliases: []string{"acknowledge"}, Usage: "[INC-42] [sev1…sev4]", Help: "say that you have it; ends the paging and makes you commander if there is none",
			Examples: []string{"ack", "ack INC-42 sev2"}, Next: names(Severities()), NeedsIncident: true, read: readAck},
		{Name: "severity", Aliases: []string{"sev"}, Usage: "sev1…sev4 [because REASON]", Help: "grade it anew; raised, it pages anew",
			Examples: []string{"severity sev1 because customers are locked out"}, Next: names(Severities()), NeedsIncident: true, read: readSeverity},
		{Name: "role", Aliases: []string{"assign"}, Usage: "ROLE PERSON", Help: "give somebody a role; me is you",
			Examples: []string{"role scribe @ada", "role commander me"}, Next: roleNames(), NeedsIncident: true, read: readRole},
		{Name: "fact", Usage: "NAME VALUE [because REASON]", Help: "set a fact: occurred, detected, aware REGIME, classified, personal_data, affected, time_zone, language",
			Examples: []string{"fact occurred yesterday 23:10 because the log shows the first call", "fact personal_data suspected because the dump held addresses",
				"fact affected \"Example SA\" processor 1200 notified 2026-11-24 10:00", "fact aware gdpr 02:31"}, Next: names(FactNames()), NeedsIncident: true, read: readFact},
		{Name: "step", Usage: "done | skip STEP [OUTCOME or REASON]", Help: "settle a step of a playbook",
			Examples: []string{"step done rotate-key the old key is gone", "step skip leaked-aws-credentials/ask-aws because there is no support contract"}, Next: []string{"done", "skip"}, NeedsIncident: true, read: readStep},
		{Name: "note", Usage: "[at TIME] [--audience all|responders|legal_and_security] TEXT", Help: "write into the timeline",
			Examples: []string{"note at 02:31 disabled the key"}, Next: []string{"at", "--audience"}, NeedsIncident: true, read: readNote},
		{Name: "evidence", Usage: "NAME [in PLACE] [sha256:HEX]", Help: "name a piece of evidence, where it is kept and its hash",
			Examples: []string{`evidence "disk image of web-1" in s3://evidence/web-1.img sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`}, NeedsIncident: true, read: readEvidence},
		{Name: "update", Usage: "TEXT", Help: "tell the stakeholders how it stands",
			Examples: []string{"update logins work again, the cause is being looked for"}, NeedsIncident: true, read: readText(VerbUpdate)},
		{Name: "contain", Aliases: []string{"contained"}, Usage: "[at TIME] HOW", Help: "say that the harm no longer spreads",
			Examples: []string{"contain at 02:31 disabled the key"}, Next: []string{"at"}, NeedsIncident: true, read: readText(VerbContain)},
		{Name: "resolve", Aliases: []string{"resolved"}, Usage: "[at TIME] HOW", Help: "say that service and security are restored; the closing record is due",
			Examples: []string{"resolve all keys rotated, logins work"}, Next: []string{"at"}, NeedsIncident: true, read: readText(VerbResolve)},
		{Name: "record", Usage: "[show | set FIELD TEXT | submit]", Help: "write the closing record; submitted, it is frozen and four departments sign it",
			Examples: []string{"record", "record set root_cause the key stood in a log line", "record submit"}, Next: []string{"show", "set", "submit"}, NeedsIncident: true, read: readRecord},
		{Name: "submit", Help: "submit the closing record for signing", Examples: []string{"submit"}, NeedsIncident: true,
			read: func(_ *argParser, w *ParsedCommand) error { w.Command.Verb = VerbSubmit; return nil }},
		{Name: "sign", Usage: "[DEPARTMENT] [DIGEST]", Help: "sign the record for your department; the digest is the one you saw",
			Examples: []string{"sign", "sign legal sha256:…"}, Next: departments, NeedsIncident: true, read: readSign(VerbSign)},
		{Name: "object", Usage: "[DEPARTMENT] [DIGEST] [REASON]", Help: "object to the record; nothing is approved until you withdraw or it is amended",
			Examples: []string{"object legal", "object legal sha256:… the impact leaves out the contractors"}, Next: departments, NeedsIncident: true, read: readSign(VerbObject)},
		{Name: "amend", Usage: "WHY", Help: "take the record back to change it; its signatures are void",
			Examples: []string{"amend the impact left out the contractors"}, NeedsIncident: true, read: readText(VerbAmend)},
		{Name: "withdraw", Usage: "[O1 | DEPARTMENT] [because REASON]", Help: "withdraw an objection, or your signature",
			Examples: []string{"withdraw", "withdraw O1", "withdraw legal"}, Next: departments, NeedsIncident: true, read: readWithdraw},
		{Name: "delegate", Usage: "DEPARTMENT PERSON until DATE", Help: "let somebody sign for your department in this incident",
			Examples: []string{"delegate legal @ada until 2026-12-01"}, Next: departments, NeedsIncident: true, read: readDelegate},
		{Name: "consult", Usage: "TEAM [blocking]", Help: "ask a team before closing; blocking: nothing is approved without its answer",
			Examples: []string{"consult payroll blocking"}, NeedsIncident: true, read: readConsult},
		{Name: "involve", Usage: "DEPARTMENT [because REASON]", Help: "bring a department in now, not at sign-off",
			Examples: []string{"involve legal because a regulator must be notified"}, Next: departments, NeedsIncident: true, read: readCall},
		{Name: "answer", Usage: "TEAM TEXT", Help: "answer for a team that was asked",
			Examples: []string{"answer payroll no run was affected"}, NeedsIncident: true, read: readAnswer},
		{Name: "revise", Usage: "[set FIELD TEXT …] because WHY", Help: "sign a new revision of an approved record; the old one is kept, superseded",
			Examples: []string{"revise the forensics report changes the root cause", `revise set root_cause "the key was guessed" because the forensics report says so`}, Next: []string{"set"}, NeedsIncident: true, read: readRevise},
		{Name: "reopen", Usage: "WHY", Help: "say that it is not over; pages anew",
			Examples: []string{"reopen the key was used again"}, NeedsIncident: true, read: readText(VerbReopen)},
		{Name: "dismiss", Usage: "WHY", Help: "call it a false alarm; where it is grave, somebody from security has to say so too",
			Examples: []string{"dismiss a planned penetration test"}, NeedsIncident: true, read: readText(VerbDismiss)},
		{Name: "merge", Usage: "[INC-42] into INC-41 [WHY]", Help: "let it go on inside another incident",
			Examples: []string{"merge into INC-41 same key", "merge INC-42 into INC-41"}, Next: []string{"into"}, NeedsIncident: true, read: readMerge},
		{Name: "review", Usage: "TIME | conclude [with PERSON, … : DECISIONS] | waive REASON", Help: "set the review meeting, or conclude it",
			Examples: []string{"review 2026-11-24 10:00", "review conclude", "review waive there is nothing to detect"}, Next: []string{"conclude", "waive", "tomorrow"}, NeedsIncident: true, read: readReview},
		{Name: "action", Usage: "add KIND TITLE owner PERSON due DATE | done A1 [HOW]", Help: "add an action item (detection, prevention, mitigation, process), or finish it",
			Examples: []string{"action add detection alert on unused keys owner @ada due 2026-12-24", "action done A1 the rule is live"}, Next: []string{"add", "done"}, NeedsIncident: true, read: readAction},
		{Name: "grant", Usage: "PERSON because REASON", Help: "let somebody read along",
			Examples: []string{"grant @ada because she runs the cluster"}, NeedsIncident: true, read: readGrant},
		{Name: "restrict", Help: "only those involved may read it", NeedsIncident: true, Examples: []string{"restrict"},
			read: func(_ *argParser, w *ParsedCommand) error { w.Command.Verb = VerbRestrict; return nil }},
		{Name: "public", Help: "the whole company may read it", NeedsIncident: true, Examples: []string{"public"},
			read: func(_ *argParser, w *ParsedCommand) error {
				w.Command.Verb, w.Command.Public = VerbRestrict, true
				return nil
			}},
		{Name: "erase", Usage: "EVENT/TEXT [EVENT/TEXT …] because REASON", Help: "erase texts for good; legal and security together",
			Examples: []string{"erase 17/text because it holds a card number"}, NeedsIncident: true, read: readErase},
		{Name: "help", Aliases: []string{"?"}, Usage: "[VERB]", Help: "show what you can type", Examples: []string{"help sign"}, Next: nil, read: readHelp},
	}, alertVerbs()...)
}

func roleNames() []string {
	return names([]Role{Commander, Scribe, Communicator, OperationLead, SecurityLead, LegalLead, DPO})
}
