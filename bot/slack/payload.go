package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tocsin/bot/incident"
)

// The shapes below hold what this bot reads and nothing else. slack-go's own
// decode every block of the message that a button stands in, and fail on a
// kind of block they do not know; a button must work all the same.

// slashCommand is a slash command.
type slashCommand struct {
	Command     string `json:"command"`
	Text        string `json:"text"`
	User        string `json:"user_id"`
	Channel     string `json:"channel_id"`
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
}

// decodeForm reads a slash command as HTTP brings it.
func decodeForm(form url.Values) slashCommand {
	return slashCommand{Command: form.Get("command"), Text: form.Get("text"), User: form.Get("user_id"), Channel: form.Get("channel_id"),
		TriggerID: form.Get("trigger_id"), ResponseURL: form.Get("response_url")}
}

// interaction is a button, a menu, a submitted form or a shortcut.
type interaction struct {
	Type        string   `json:"type"`
	CallbackID  string   `json:"callback_id"`
	TriggerID   string   `json:"trigger_id"`
	ResponseURL string   `json:"response_url"`
	User        idObject `json:"user"`
	Channel     idObject `json:"channel"`
	Container   struct {
		Type        string `json:"type"`
		ChannelID   string `json:"channel_id"`
		IsEphemeral bool   `json:"is_ephemeral"`
	} `json:"container"`
	Message struct {
		Text  string `json:"text"`
		TS    string `json:"ts"`
		User  string `json:"user"`
		Files []struct {
			Name      string `json:"name"`
			Permalink string `json:"permalink"`
		} `json:"files"`
	} `json:"message"`
	View    viewPayload   `json:"view"`
	Actions []formElement `json:"actions"`
}

type idObject struct {
	ID string `json:"id"`
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

// formElement is one element with what was chosen or typed in it.
type formElement struct {
	Type     string         `json:"type"`
	ActionID string         `json:"action_id"`
	BlockID  string         `json:"block_id"`
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

// decodeInteraction reads an interaction. An unknown type is no error: it is
// acknowledged and passed over.
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

// channel is where the interaction happened, or "" in a form or on the home tab.
func (in interaction) channel() string {
	if in.Channel.ID != "" {
		return in.Channel.ID
	}
	return in.Container.ChannelID
}

// eventPayload is a delivery of the Events API.
type eventPayload struct {
	Type      string `json:"type"`
	Challenge string `json:"challenge"`
	EventID   string `json:"event_id"`
	Event     struct {
		Type    string `json:"type"`
		User    flexID `json:"user"`
		Channel flexID `json:"channel"`
		Tab     string `json:"tab"`
		BotID   string `json:"bot_id"`
	} `json:"event"`
}

// flexID is an id that Slack writes now as a string and now as an object.
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

// identity is how the Desk knows whoever is behind a Slack user id.
func identity(user string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSlack, ID: user}
}

// idempotency makes a command's key: the parts that Slack repeats when it
// brings the same thing twice.
func idempotency(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "slack/" + kind + "/" + hex.EncodeToString(sum[:16])
}

// unescape undoes Slack's escaping. Mentions, in angle brackets, are what is
// left of it.
var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace
