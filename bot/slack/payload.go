package slack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The types below contain only the fields that Tocsin reads. The types of
// slack-go also decode the blocks of the message around a button. They fail on
// unknown kinds of blocks, and the button would not work.

// slashCommand is a slash command.
type slashCommand struct {
	Command     string `json:"command"`
	Text        string `json:"text"`
	User        string `json:"user_id"`
	UserName    string `json:"user_name"`
	Team        string `json:"team_id"`
	Enterprise  string `json:"enterprise_id"`
	Channel     string `json:"channel_id"`
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
}

// decodeForm reads a slash command from an HTTP form.
func decodeForm(form url.Values) slashCommand {
	return slashCommand{Command: form.Get("command"), Text: form.Get("text"), User: form.Get("user_id"), UserName: form.Get("user_name"),
		Team: form.Get("team_id"), Enterprise: form.Get("enterprise_id"), Channel: form.Get("channel_id"),
		TriggerID: form.Get("trigger_id"), ResponseURL: form.Get("response_url")}
}

// interaction is a click on a button or menu, a submitted form or a shortcut.
type interaction struct {
	Type        string     `json:"type"`
	CallbackID  string     `json:"callback_id"`
	TriggerID   string     `json:"trigger_id"`
	ResponseURL string     `json:"response_url"`
	User        userObject `json:"user"`
	Team        idObject   `json:"team"`
	Enterprise  idObject   `json:"enterprise"`
	Channel     idObject   `json:"channel"`
	Container   struct {
		Type        string `json:"type"`
		ChannelID   string `json:"channel_id"`
		IsEphemeral bool   `json:"is_ephemeral"`
	} `json:"container"`
	Message messageObject `json:"message"`
	View    viewPayload   `json:"view"`
	Actions []formElement `json:"actions"`
}

// messageObject is a message in an interaction.
type messageObject struct {
	Text     string       `json:"text"`
	TS       string       `json:"ts"`
	Thread   string       `json:"thread_ts"`
	User     string       `json:"user"`
	Team     string       `json:"team"`
	UserName string       `json:"username"`
	BotID    string       `json:"bot_id"`
	Files    []fileObject `json:"files"`
	Edited   lastEdit     `json:"edited"`
}

// lastEdit is the last change of a message.
type lastEdit struct {
	User string `json:"user"`
	TS   string `json:"ts"`
}

// fileObject is a file of a message.
type fileObject struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Permalink string `json:"permalink"`
}

type idObject struct {
	ID string `json:"id"`
}

// userObject is the person behind an interaction. Slack sends the name in one of
// two fields.
type userObject struct {
	ID       string `json:"id"`
	Team     string `json:"team_id"`
	UserName string `json:"username"`
	Name     string `json:"name"`
}

// account is the author of a request, as Slack describes it.
type account struct{ user, name, team, enterprise string }

func (c slashCommand) account() account {
	return account{user: c.User, name: c.UserName, team: c.Team, enterprise: c.Enterprise}
}

// account returns the author of an interaction. In a shared channel, the workspace
// of the user differs from the workspace of the interaction.
func (in interaction) account() account {
	return account{user: in.User.ID, name: cmp.Or(in.User.UserName, in.User.Name), team: cmp.Or(in.User.Team, in.Team.ID), enterprise: in.Enterprise.ID}
}

// identityOf returns the identity of the author of a request. The ID of a user of
// another workspace contains the workspace: it never belongs to a person of the
// configuration. Workspaces of the same organization count as one. If the workspace
// of Tocsin or of the user is not known, the ID of the user decides, which is unique
// in Slack.
func (s *Slack) identityOf(a account) incident.Identity {
	s.mu.Lock()
	own, organization := s.self.TeamID, s.self.EnterpriseID
	s.mu.Unlock()
	if own == "" || a.team == "" || a.team == own || organization != "" && a.enterprise == organization {
		return identity(a.user)
	}
	return identity(a.team + "/" + a.user)
}

type viewPayload struct {
	ID              string `json:"id"`
	Hash            string `json:"hash"`
	CallbackID      string `json:"callback_id"`
	PrivateMetadata string `json:"private_metadata"`
	Blocks          []struct {
		Type    string `json:"type"`
		BlockID string `json:"block_id"`
	} `json:"blocks"`
	State struct {
		Values map[string]map[string]formElement `json:"values"`
	} `json:"state"`
}

// formElement is an element of a form or message with its selected or typed
// value.
type formElement struct {
	Type     string         `json:"type"`
	ActionID string         `json:"action_id"`
	BlockID  string         `json:"block_id"`
	ActionTS string         `json:"action_ts"`
	Value    string         `json:"value"`
	User     string         `json:"selected_user"`
	Users    []string       `json:"selected_users"`
	Date     string         `json:"selected_date"`
	DateTime int64          `json:"selected_date_time"`
	Option   selectOption   `json:"selected_option"`
	Options  []selectOption `json:"selected_options"`
}

type selectOption struct {
	Value string `json:"value"`
}

var errMalformed = errors.New("expected a Slack interaction: a JSON object with type and user")

// decodeInteraction decodes an interaction. It accepts unknown types, which
// callers acknowledge and ignore.
func decodeInteraction(payload []byte) (interaction, error) {
	var in interaction
	if err := json.Unmarshal(payload, &in); err != nil {
		return interaction{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if in.Type == "" {
		return interaction{}, errMalformed
	}
	return in, nil
}

// channel returns the channel of the interaction, or "" in a form and on the
// home tab.
func (in interaction) channel() string {
	if in.Channel.ID != "" {
		return in.Channel.ID
	}
	return in.Container.ChannelID
}

// eventPayload is a delivery of the Events API.
type eventPayload struct {
	Type      string     `json:"type"`
	TeamID    string     `json:"team_id"`
	Challenge string     `json:"challenge"`
	EventID   string     `json:"event_id"`
	Event     slackEvent `json:"event"`
}

// slackEvent is the inner event of a delivery, with the fields of every type that Tocsin
// handles.
type slackEvent struct {
	Type     string `json:"type"`
	Subtype  string `json:"subtype"`
	User     flexID `json:"user"`
	Team     string `json:"team"`      // of the author, in a shared channel another one
	UserTeam string `json:"user_team"` // like Team
	Channel  flexID `json:"channel"`
	Kind     string `json:"channel_type"` // "im" for direct messages
	Text     string `json:"text"`
	TS       string `json:"ts"`
	Thread   string `json:"thread_ts"`
	Tab      string `json:"tab"`
	BotID    string `json:"bot_id"`
	EventTS  string `json:"event_ts"`

	// Of a message that was edited or deleted.
	Message   editedMessage `json:"message"`
	Previous  editedMessage `json:"previous_message"`
	DeletedTS string        `json:"deleted_ts"`

	// Of a reaction.
	Reaction string `json:"reaction"`
	Item     struct {
		Type    string `json:"type"`
		Channel string `json:"channel"`
		TS      string `json:"ts"`
	} `json:"item"`

	// Of a file.
	FileID string   `json:"file_id"`
	File   idObject `json:"file"`
}

// editedMessage is a message before or after it was edited.
type editedMessage struct {
	Subtype string   `json:"subtype"`
	Text    string   `json:"text"`
	TS      string   `json:"ts"`
	Edited  lastEdit `json:"edited"`
}

// account returns the author of a message. Slack reports the workspace of the author.
func (e slackEvent) account() account {
	return account{user: string(e.User), team: cmp.Or(e.UserTeam, e.Team)}
}

// flexID is an ID that Slack sends as a string or as an object, depending on
// the event.
type flexID string

func (r *flexID) UnmarshalJSON(data []byte) error {
	var id string
	if json.Unmarshal(data, &id) == nil {
		*r = flexID(id)
		return nil
	}
	var object idObject
	if json.Unmarshal(data, &object) == nil {
		*r = flexID(object.ID)
	}
	return nil
}

// identity returns the identity of a Slack user.
func identity(user string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSlack, ID: user}
}

// idempotency returns the key of a command. The parts must be equal in every
// repeat that Slack sends of a request.
func idempotency(kind string, parts ...string) string {
	return "slack/" + kind + "/" + text.SHA256(strings.Join(parts, "\x00"))[:32]
}

// unescape reverses Slack's escaping.
var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace
