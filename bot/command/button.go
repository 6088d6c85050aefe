package command

import "tocsin/bot/incident"

// ButtonArgs returns the arguments that a button with a command carries, besides the
// verb and the incident.
func ButtonArgs(c incident.Command) []string {
	var out []string
	if y, ok := syntaxOf(c.Verb); ok {
		for _, p := range y.button {
			out = append(out, *p(&c))
		}
	}
	return out
}

// AsksForm reports whether a pressed button opens the form of its verb first.
func AsksForm(c incident.Command) bool {
	y, ok := syntaxOf(c.Verb)
	return ok && y.Form != nil && (y.atOnce == nil || *y.atOnce(&c) == "")
}

// Press returns the command of a pressed button. Missing arguments are empty. The
// desk checks the command like a typed one, because the sender can change a button.
func Press(verb incident.Verb, id incident.ID, args []string) incident.Command {
	c := incident.Command{Verb: verb, For: id}
	if y, ok := syntaxOf(verb); ok {
		for n, p := range y.button[:min(len(args), len(y.button))] {
			*p(&c) = args[n]
		}
	}
	return c
}
