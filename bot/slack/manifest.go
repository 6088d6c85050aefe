package slack

import (
	"cmp"
	"fmt"
	"strings"
)

// Shortcut is an entry of the app in Slack's menu (Type global), or in the menu of
// every message (Type message).
type Shortcut struct{ Type, CallbackID, Name, Description string }

// Shortcuts returns the shortcuts that the manifest declares.
func Shortcuts() []Shortcut {
	return []Shortcut{
		{"global", ShortcutOpen, "Report an incident", "Report a security problem"},
		{"message", ShortcutAddNote, "Add to timeline", "Add this message to the timeline of the incident"},
		{"message", ShortcutAddAction, "Make an action item", "Make this message an action item with an owner and a due date"},
		{"message", ShortcutAddEvidence, "Keep as evidence", "Keep this message and its files as evidence with their SHA-256"},
	}
}

// Manifest returns the manifest of the app, ready to be pasted at
// https://api.slack.com/apps. Without publicURL the app uses Socket Mode. With one,
// Slack sends requests to it.
func Manifest(command, publicURL string) string {
	command = cmp.Or(command, defaultCommand)
	url := func(path string) string { return strings.TrimSuffix(publicURL, "/") + "/slack/" + path }
	commandURL, interactivity, events := "", "", ""
	if publicURL != "" {
		commandURL = fmt.Sprintf(", url: %q", url("commands"))
		interactivity = fmt.Sprintf(", request_url: %q", url("interactions"))
		events = fmt.Sprintf("    request_url: %q\n", url("events"))
	}
	shortcuts := ""
	for _, s := range Shortcuts() {
		shortcuts += fmt.Sprintf("    - {name: %s, type: %s, callback_id: %s, description: %s}\n", s.Name, s.Type, s.CallbackID, s.Description)
	}
	return fmt.Sprintf(`display_information: {name: Tocsin}
features:
  app_home: {home_tab_enabled: true, messages_tab_enabled: true, messages_tab_read_only_enabled: false}
  bot_user: {display_name: tocsin, always_online: true}
  slash_commands:
    - {command: %s, description: Security incidents, usage_hint: "help", should_escape: true%s}
  shortcuts:
%soauth_config:
  scopes:
    bot: [%s]
settings:
  interactivity: {is_enabled: true%s}
  event_subscriptions:
%s    bot_events: [%s]
  socket_mode_enabled: %t
`, command, commandURL, shortcuts, strings.Join(Scopes(), ", "), interactivity, events, strings.Join(Events(), ", "), publicURL == "")
}
