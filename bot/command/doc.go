// Package command describes the commands of people: the words that they type in
// chat and on the command line, and the forms that they fill in.
//
// A [Spec] describes one command. Its [Syntax] values describe each verb that the
// command gives: the arguments, the form and the result. [Parse] reads a line. It
// returns a [Parsed] line with an [incident.Command] for the desk, a query, or the
// form that asks for what is missing:
//
//	parsed, err := command.Parse("contain at 02:31 disabled the key", c)
//
// [FormSpec.Open] returns the fields of a form, and [FormSpec.Command] builds the
// command of a submitted one. One function of an [Arg] reads the argument from
// typed words and from a field.
//
// The package knows no chat. Providers put a [Mention] in place of their own syntax
// before they parse, and lay out the fields of forms. Parsing is pure: the [Context]
// supplies the author, the channel, the people and the time.
package command
