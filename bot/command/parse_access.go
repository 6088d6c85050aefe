package command

import (
	"tocsin/bot/incident"
)

// readPersonVerb returns the parser of a verb with a person and a reason.
func readPersonVerb(verb incident.Verb) func(*argParser, *Parsed) error {
	return func(p *argParser, w *Parsed) error {
		w.Command.Verb = verb
		if err := p.exclusionFlag(w); err != nil { // the command line passes it first
			return err
		}
		person, err := p.person("person")
		if err != nil {
			return err
		}
		if err := p.exclusionFlag(w); err != nil {
			return err
		}
		w.Command.Person, w.Command.Text = person, p.reason()
		return nil
	}
}

// exclusionFlag consumes --remove or --new-channel, if the command is exclude.
func (p *argParser) exclusionFlag(w *Parsed) error {
	if w.Command.Verb != incident.VerbExclude {
		return nil
	}
	switch {
	case p.take("--remove", "-remove", "—remove", "–remove"):
		w.Command.Channel = incident.ChannelRemove
	case p.take("--new-channel", "-new-channel", "—new-channel", "–new-channel"):
		w.Command.Channel = incident.ChannelNew
	}
	for _, flag := range []string{"--remove", "--new-channel"} {
		if err := p.noFlag(flag); err != nil {
			return err
		}
	}
	return nil
}

// readReplacement parses "DEPARTMENT PERSON because REASON" after the incident.
func readReplacement(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbReplacement
	team, err := p.department()
	if err != nil {
		return err
	}
	person, err := p.person("person")
	if err != nil {
		return err
	}
	w.Command.Department, w.Command.Person, w.Command.Text = team, person, p.reason()
	return nil
}
