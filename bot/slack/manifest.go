package slack

import (
	"cmp"
	"fmt"
	"strings"
)

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
	return fmt.Sprintf(`display_information: {name: Tocsin}
features:
  app_home: {home_tab_enabled: true, messages_tab_enabled: true, messages_tab_read_only_enabled: false}
  bot_user: {display_name: tocsin, always_online: true}
  slash_commands:
    - {command: %s, description: Security incidents, usage_hint: "help", should_escape: true%s}
  shortcuts:
    - {name: Add as note, type: message, callback_id: %s, description: Add this message to the timeline}
    - {name: Add as evidence, type: message, callback_id: %s, description: Add this message as evidence}
oauth_config:
  scopes:
    bot: [%s]
settings:
  interactivity: {is_enabled: true%s}
  event_subscriptions:
%s    bot_events: [%s]
  socket_mode_enabled: %t
`, command, commandURL, ShortcutAddNote, ShortcutAddEvidence, strings.Join(Scopes(), ", "), interactivity, events, strings.Join(Events(), ", "), publicURL == "")
}
