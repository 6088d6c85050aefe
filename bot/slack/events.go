package slack

import (
	"context"

	"tocsin/bot/chat"
)

// handleEvent handles a delivery of the Events API. Slack does not wait for a
// result and may repeat a delivery. Repeats and other types of events, such
// as messages and joins, are ignored.
func (s *Slack) handleEvent(e eventPayload) {
	if s.recent.seen(e.EventID, s.cfg.Clock()) {
		return
	}
	person, channel := string(e.Event.User), string(e.Event.Channel)
	switch e.Event.Type {
	case "app_home_opened":
		if e.Event.Tab == "home" || e.Event.Tab == "" {
			a := account{user: person, team: e.TeamID}
			s.homes.open(a, s.cfg.Clock())
			s.runInBackground(func(ctx context.Context) { s.publishHome(ctx, a) })
		}
	case "app_mention":
		if e.Event.BotID == "" && channel != "" {
			s.notify(interaction{User: userObject{ID: person}, Channel: idObject{channel}}, s.reply(chat.Help("")))
		}
	case "subteam_members_changed", "subteam_updated":
		if s.cfg.OnGroupsChanged != nil {
			s.runInBackground(s.cfg.OnGroupsChanged)
		}
	}
}
