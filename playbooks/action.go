package playbooks

import (
	"fmt"
	"regexp"
	"strings"

	"tocsin/bot/incident"
)

// ActionKind is what the bot can do by itself in a step.
type ActionKind string

// The actions of the bot.
const (
	ActionInvolve ActionKind = "involve" // bring a department's people in now
	ActionConsult ActionKind = "consult" // ask an affected team for an answer before closing
	ActionPost    ActionKind = "post"    // say a text in the channel; it stands as the step's outcome
	ActionNote    ActionKind = "note"    // write a note into the timeline
	ActionUpdate  ActionKind = "update"  // post a status update for stakeholders
)

// Actions lists them.
func Actions() []string {
	return []string{string(ActionInvolve), string(ActionConsult), string(ActionPost), string(ActionNote), string(ActionUpdate)}
}

// Action is what a step has the bot do. In a pinned plan it stands as one
// string: "involve legal", "consult payments blocking", "post TEXT".
type Action struct {
	Kind     ActionKind
	Team     incident.Department // call and consult
	Blocking bool                // consult
	Text     string              // post, note and update
}

// String is the form that ParseAction reads.
func (a Action) String() string {
	switch {
	case a.Team == "":
		return string(a.Kind) + " " + a.Text
	case a.Blocking:
		return string(a.Kind) + " " + string(a.Team) + " blocking"
	}
	return string(a.Kind) + " " + string(a.Team)
}

// Command is what the bot says to the incident to do the action. A post has
// none: its text is the outcome of the step, which is said in the channel
// anyway, so the returned Verb is empty.
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

// Outcome is what to write down when the action is done.
func (a Action) Outcome() string {
	switch a.Kind {
	case ActionInvolve:
		return "Called " + string(a.Team) + "."
	case ActionConsult:
		return "Asked " + string(a.Team) + " for an answer before closing."
	case ActionPost:
		return a.Text
	case ActionNote:
		return "Noted in the timeline."
	case ActionUpdate:
		return "Posted a status update."
	}
	return ""
}

var teamName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// ParseAction reads the string of a pinned step.
func ParseAction(s string) (Action, error) {
	kind, rest, _ := strings.Cut(s, " ")
	a := Action{Kind: ActionKind(kind)}
	switch a.Kind {
	case ActionInvolve, ActionConsult:
		team, blocking, marked := strings.Cut(rest, " ")
		if marked && (a.Kind != ActionConsult || blocking != "blocking") || !teamName.MatchString(team) {
			return Action{}, fmt.Errorf("parse action: %q names no team", s)
		}
		a.Team, a.Blocking = incident.Department(team), marked
	case ActionPost, ActionNote, ActionUpdate:
		if strings.TrimSpace(rest) == "" {
			return Action{}, fmt.Errorf("parse action: %q says nothing", s)
		}
		a.Text = rest
	default:
		return Action{}, fmt.Errorf("parse action: %q is none of %s", kind, strings.Join(Actions(), ", "))
	}
	return a, nil
}
