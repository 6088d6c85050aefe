package command

import (
	"cmp"
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// accessSpecs are the commands about the people who may read an incident, and about
// its texts.
var accessSpecs = []Spec{
	{Name: "grant", Help: "grant a person read access to the incident", NeedsIncident: true,
		Examples: []string{"grant @ada because she runs the cluster"},
		Syntaxes: []Syntax{{Verb: incident.VerbGrant, Args: []Arg{personArg.ask(), becauseArg.ask()},
			Form:   personForm("Grant read access", "Grant", "Who may read the incident?", "Why does this person need access?"),
			result: granted}}},

	{Name: "revoke", Help: "end the read access that a person was granted or has as the opener", NeedsIncident: true,
		Examples: []string{"revoke @ada because she changed teams"},
		Syntaxes: []Syntax{{Verb: incident.VerbRevoke, Args: []Arg{personArg.ask(), becauseArg.ask()},
			Form:   personForm("Revoke read access", "Revoke", "Who must no longer read the incident?", "Why does the access end?"),
			result: revoked}}},

	{Name: "exclude", Help: "shut a suspected insider out: no reading, signing or acting (legal or security, seen by them only)", NeedsIncident: true,
		Examples: []string{"exclude @ada because the key was used from her laptop", "exclude @ada --new-channel because she reads along"},
		Syntaxes: []Syntax{{Verb: incident.VerbExclude, Args: []Arg{channelArg.quiet().writes(nothing), personArg.ask(), channelArg.writes(writeChannel), becauseArg.ask()},
			Form: &FormSpec{Title: "Exclude a person", Submit: "Exclude", Fields: []Field{
				personArg.input(KindPerson, "Who is shut out?").hint("Only legal and security see this."),
				excludeChannelArg.radio("What happens in the Slack channel?", keepChannel, incident.ChannelRemove, incident.ChannelNew).titled(map[string]string{
					keepChannel:            "Nothing: the person stays in the channel and notices nothing",
					incident.ChannelRemove: "Remove the person, which everybody in it sees",
					incident.ChannelNew:    "Continue in a new channel without the person"}),
				textArg.input(KindProse, "Why is this person shut out?"),
			}},
			result: done("Recorded for %s. Only legal and security see this"), kind: ResultPrivate}}},

	{Name: "readmit", Help: "end an exclusion (legal or security)", NeedsIncident: true,
		Examples: []string{"readmit @ada because the laptop was stolen"},
		Syntaxes: []Syntax{{Verb: incident.VerbReadmit, Args: []Arg{personArg.ask(), becauseArg.ask()},
			Form:   personForm("Readmit a person", "Readmit", "Whose exclusion ends?", "Why does the exclusion end?"),
			result: done("Recorded for %s. Only legal and security see this"), kind: ResultPrivate}}},

	{Name: "replacement", Help: "let a person act for a department that has at most one person left (administrators, on the command line)", NeedsIncident: true,
		Examples: []string{"replacement INC-42 legal ada because the only signer is a suspect"},
		Syntaxes: []Syntax{{Verb: incident.VerbReplacement, result: replaced, Args: []Arg{departmentArg.named("INC-42 DEPARTMENT"), personArg, becauseArg}}}},

	{Name: "restrict", Help: "restrict the incident to participants", NeedsIncident: true,
		Examples: []string{"restrict"},
		Syntaxes: []Syntax{{Verb: incident.VerbRestrict, result: restricted, canonical: func(w *Parsed) bool { return !w.Command.Public }}}},

	{Name: "public", Help: "make the incident readable by the whole company", NeedsIncident: true,
		Examples: []string{"public"},
		Syntaxes: []Syntax{{Verb: incident.VerbRestrict, Args: []Arg{publicArg}, result: restricted}}},

	{Name: "erase", Help: "erase texts permanently (legal and security together)", NeedsIncident: true,
		Examples: []string{"erase 17/text because it holds a card number"},
		Syntaxes: []Syntax{{Verb: incident.VerbErase, result: erased, Args: []Arg{Arg{Name: "erase", Usage: "EVENT/TEXT [EVENT/TEXT …]", read: readErase, write: writeErase}.ask(), becauseArg.ask()},
			Form: &FormSpec{Title: "Erase texts", Submit: "Erase", NeedsState: true, fill: inOrder(listTexts, explainIfEmpty("erase", "%s has no text to erase.")), Fields: []Field{
				erasedTextArg.many("Which texts must be erased permanently?").hint("Legal and security each give the command once."),
				textArg.input(KindProse, "Why must they be erased?"),
			}}}}},
}

// personForm returns the form of a verb that takes a person and a reason.
func personForm(title, submit, who, why string) *FormSpec {
	return &FormSpec{Title: title, Submit: submit, Fields: []Field{personArg.input(KindPerson, who), textArg.input(KindProse, why)}}
}

// keepChannel is the option of the form that leaves an excluded person in the channel.
const keepChannel = "keep"

// excludeChannelArg is channelArg as a field of the form.
var excludeChannelArg = Arg{Name: "channel", read: func(p *parser, w *Parsed) (bool, error) {
	switch channel := p.rest(); channel {
	case keepChannel:
	case incident.ChannelRemove, incident.ChannelNew:
		w.Command.Channel = channel
	default:
		return false, incident.Invalid("channel", "unknown choice %q. Select one of the options", truncate(channel))
	}
	return true, nil
}, value: func(c FormContext) string { return cmp.Or(c.Given.Channel, keepChannel) }}

// erasedTextArg is one text to erase, in a form.
var erasedTextArg = Arg{Name: "erase", read: func(p *parser, w *Parsed) (bool, error) {
	one := Parsed{}
	given, err := readErase(p, &one)
	w.Command.Erase = append(w.Command.Erase, one.Command.Erase...)
	return given, err
}, value: func(c FormContext) string { return writeErase(&Parsed{Command: c.Given}) }}

// channelArg moves an excluded person out of the channel. The command line passes it
// before the person.
var channelArg = Arg{Name: "channel", Usage: "[--remove | --new-channel]", Next: []string{"--remove", "--new-channel"},
	Flags: []Flag{
		{Name: "remove", Help: "remove the person from the Slack channel, which shows it to everybody in it"},
		{Name: "new-channel", Help: "continue in a new Slack channel without the person"},
	},
	read: func(p *parser, w *Parsed) (bool, error) {
		for {
			channel := incident.ChannelRemove
			if !p.takeFlag("remove") {
				if !p.takeFlag("new-channel") {
					break
				}
				channel = incident.ChannelNew
			}
			if have := w.Command.Channel; have != "" && have != channel {
				return false, incident.Invalid("channel", "--remove and --new-channel exclude each other. Type one of them")
			}
			w.Command.Channel = channel
		}
		for _, flag := range []string{"remove", "new-channel"} {
			if err := p.noFlag(flag); err != nil {
				return false, err
			}
		}
		return true, nil
	}}

// publicArg makes the incident public without a word.
var publicArg = Arg{read: func(_ *parser, w *Parsed) (bool, error) {
	w.Command.Public = true
	return true, nil
}}

func writeErase(w *Parsed) string {
	refs := make([]string, len(w.Command.Erase))
	for n, ref := range w.Command.Erase {
		refs[n] = strconv.Itoa(ref.Seq) + "/" + ref.Name
	}
	return strings.Join(refs, " ")
}

func writeChannel(w *Parsed) string {
	return map[string]string{incident.ChannelRemove: "--remove", incident.ChannelNew: "--new-channel"}[w.Command.Channel]
}

// readErase reads "17/text, 18/text".
func readErase(p *parser, w *Parsed) (bool, error) {
	for {
		word, ok := p.peek()
		if !ok || word.quoted || strings.EqualFold(word.text, "because") {
			break
		}
		if len(w.Command.Erase) > 0 && p.take("and") {
			continue
		}
		seq, name, ok := strings.Cut(strings.Trim(word.text, ",;"), "/")
		n, err := strconv.Atoi(seq)
		if !ok || err != nil || n < 1 || name == "" {
			return false, incident.Invalid("erase", "%q is not a text. Type the number of its event and its field, as in 17/text", truncate(word.text))
		}
		p.next()
		w.Command.Erase = append(w.Command.Erase, incident.TextRef{Seq: n, Name: name})
	}
	if len(w.Command.Erase) == 0 {
		return false, p.missing("erase", "%s needs the texts to erase. Type %s")
	}
	return true, nil
}
