package command

import (
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// accessSpecs are the commands about the people who may read an incident, and about
// its texts.
var accessSpecs = []Spec{
	{Name: "grant", Help: "grant a person read access to the incident", NeedsIncident: true,
		Examples: []string{"grant @ada because she runs the cluster"},
		Syntaxes: []Syntax{{Verb: incident.VerbGrant, Args: []Arg{personArg, becauseArg},
			result: done("The person can now read %s")}}},

	{Name: "revoke", Help: "end the read access that a person was granted or has as the opener", NeedsIncident: true,
		Examples: []string{"revoke @ada because she changed teams"},
		Syntaxes: []Syntax{{Verb: incident.VerbRevoke, Args: []Arg{personArg, becauseArg},
			result: done("The person can no longer read %s")}}},

	{Name: "exclude", Help: "shut a suspected insider out: no reading, signing or acting (legal or security, seen by them only)", NeedsIncident: true,
		Examples: []string{"exclude @ada because the key was used from her laptop", "exclude @ada --new-channel because she reads along"},
		Syntaxes: []Syntax{{Verb: incident.VerbExclude, Args: []Arg{channelArg.quiet().writes(nothing), personArg, channelArg.writes(writeChannel), becauseArg},
			result: done("Recorded for %s. Only legal and security see this"), kind: ResultPrivate}}},

	{Name: "readmit", Help: "end an exclusion (legal or security)", NeedsIncident: true,
		Examples: []string{"readmit @ada because the laptop was stolen"},
		Syntaxes: []Syntax{{Verb: incident.VerbReadmit, Args: []Arg{personArg, becauseArg},
			result: done("Recorded for %s. Only legal and security see this"), kind: ResultPrivate}}},

	{Name: "replacement", Help: "let a person act for a department that has at most one person left (administrators, on the command line)", NeedsIncident: true,
		Examples: []string{"replacement INC-42 legal ada because the only signer is a suspect"},
		Syntaxes: []Syntax{{Verb: incident.VerbReplacement, Args: []Arg{departmentArg.named("INC-42 DEPARTMENT"), personArg, becauseArg}}}},

	{Name: "restrict", Help: "restrict the incident to participants", NeedsIncident: true,
		Examples: []string{"restrict"},
		Syntaxes: []Syntax{{Verb: incident.VerbRestrict, result: restricted, canonical: func(w *Parsed) bool { return !w.Command.Public }}}},

	{Name: "public", Help: "make the incident readable by the whole company", NeedsIncident: true,
		Examples: []string{"public"},
		Syntaxes: []Syntax{{Verb: incident.VerbRestrict, Args: []Arg{publicArg}, result: restricted}}},

	{Name: "erase", Help: "erase texts permanently (legal and security together)", NeedsIncident: true,
		Examples: []string{"erase 17/text because it holds a card number"},
		Syntaxes: []Syntax{{Verb: incident.VerbErase, Args: []Arg{{Name: "erase", Usage: "EVENT/TEXT [EVENT/TEXT …]", read: readErase, write: writeErase}, becauseArg}}}},
}

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

func restricted(i incident.Incident) incident.Sentence {
	if i.Restricted {
		return incident.Say("Only participants can now read %s", i.ID)
	}
	return incident.Say("The whole company can now read %s", i.ID)
}

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
