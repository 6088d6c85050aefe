package incident

import "cmp"

// Offer returns the error of a command that a person is about to complete in a form, if no
// text in the form could make the command possible. unchanged is set if the incident has
// what the command asks for. inc is the present incident.
func Offer(cmd Command, inc Incident, env Env) (unchanged bool, err error) {
	if verbs[cmd.Verb].decide == nil { // it needs a second incident
		return false, nil
	}
	if d := newDecider(cmd, inc, env); cmd.Via == ViaSlack && transition(cmd.Verb, inc.Status) != nil && d.authorize() == nil {
		if err := d.checkLevel(); err != nil {
			return false, err // the page shows the record and takes the signature
		}
	}
	if cmd.Verb == VerbSign && transition(VerbSign, inc.Status) != nil { // the form shows the record to readers first
		return inc.Submission != nil && inc.Submission.Digest == cmd.Expect && inc.SignedBy(cmd.Department) != nil, nil
	}
	events, err := Decide(completed(cmd), inc, env)
	if MayBeLate(err) {
		return false, err
	}
	asksWhom := cmd.Verb == VerbPageAgain && cmd.Person == "" && cmd.Department == ""
	return err == nil && len(events) == 0 && !asksWhom, nil // the form asks for what is missing
}

// EarlierOffer is [Earlier] for a command that a form completes.
func EarlierOffer(cmd Command, timeline []Event, env Env) (Event, bool) {
	from, events := lastEvents(cmd.For, timeline)
	return earlier(cmd, from, events, env, true)
}

// completed returns a command with a text wherever a form asks for one.
func completed(cmd Command) Command {
	cmd.Text, cmd.Reason = cmp.Or(cmd.Text, "…"), cmp.Or(cmd.Reason, "…")
	return cmd
}

// youCanUse returns the sentence about the commands that make sense now.
func (d *decider) youCanUse() string { return "You can use " + d.suggestions() }

// Suggestions returns the sentence about the commands that make sense for the author of a
// command that changed nothing, or "" for people who may not read the incident.
func Suggestions(cmd Command, inc Incident, env Env) string {
	d := newDecider(cmd, inc, env)
	if env.System || d.suggestions() == "" {
		return ""
	}
	return d.youCanUse()
}
