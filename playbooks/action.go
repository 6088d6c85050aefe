package playbooks

import (
	"fmt"
	"regexp"
	"strings"

	"tocsin/bot/incident"
)

// ActionKind is the kind of an action that the bot performs in a step.
type ActionKind string

// Actions of the bot. The values are keys of the playbook format.
const (
	ActionInvolve ActionKind = "involve" // involve a department now
	ActionConsult ActionKind = "consult" // request an answer from an affected team before closing
	ActionPost    ActionKind = "post"    // post a text in the channel, which becomes the outcome of the step
	ActionNote    ActionKind = "note"    // add a note to the timeline
	ActionUpdate  ActionKind = "update"  // post a status update for stakeholders
)

// Actions returns all kinds of actions.
func Actions() []string {
	return []string{string(ActionInvolve), string(ActionConsult), string(ActionPost), string(ActionNote), string(ActionUpdate)}
}

// Action is an action of the bot. A pinned plan stores it as one string, for
// example "involve legal", "consult payments blocking" or "post TEXT".
type Action struct {
	Kind     ActionKind
	Team     incident.Department // for involve and consult
	Blocking bool                // for consult
	Text     string              // for post, note and update
}

// String returns the form that [ParseAction] reads.
func (a Action) String() string {
	switch {
	case a.Team == "":
		return string(a.Kind) + " " + a.Text
	case a.Blocking:
		return string(a.Kind) + " " + string(a.Team) + " blocking"
	}
	return string(a.Kind) + " " + string(a.Team)
}

// Command returns the command that performs the action. For a post the verb is
// empty, because its text is the outcome of the step and is posted with it.
func (a Action) Command(of incident.ID) incident.Command {
	cmd := incident.Command{For: of, By: incident.System, Via: incident.ViaSystem}
	switch a.Kind {
	case ActionInvolve:
		cmd.Verb, cmd.Department = incident.VerbInvolve, a.Team
	case ActionConsult:
		cmd.Verb, cmd.Department, cmd.Blocking = incident.VerbConsult, a.Team, a.Blocking
	case ActionNote:
		cmd.Verb, cmd.Text = incident.VerbNote, a.Text
	case ActionUpdate:
		cmd.Verb, cmd.Text = incident.VerbUpdate, a.Text
	}
	return cmd
}

// Outcome returns the text that is recorded as the step's outcome.
func (a Action) Outcome() string {
	switch a.Kind {
	case ActionInvolve:
		return "Involved " + string(a.Team) + "."
	case ActionConsult:
		return "Requested an answer from " + string(a.Team) + " before closing."
	case ActionPost:
		return a.Text
	case ActionNote:
		return "Added a note to the timeline."
	case ActionUpdate:
		return "Posted a status update."
	}
	return ""
}

var teamPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// ParseAction parses the string form of an action.
func ParseAction(s string) (Action, error) {
	kind, rest, _ := strings.Cut(s, " ")
	a := Action{Kind: ActionKind(kind)}
	switch a.Kind {
	case ActionInvolve, ActionConsult:
		team, blocking, hasBlocking := strings.Cut(rest, " ")
		if hasBlocking && (a.Kind != ActionConsult || blocking != "blocking") || !teamPattern.MatchString(team) {
			return Action{}, fmt.Errorf("parse action: %q has no valid team", s)
		}
		a.Team, a.Blocking = incident.Department(team), hasBlocking
	case ActionPost, ActionNote, ActionUpdate:
		if strings.TrimSpace(rest) == "" {
			return Action{}, fmt.Errorf("parse action: %q has no text", s)
		}
		a.Text = rest
	default:
		return Action{}, fmt.Errorf("parse action: unknown kind %q, use one of %s", kind, strings.Join(Actions(), ", "))
	}
	return a, nil
}
