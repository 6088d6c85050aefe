package slack

import (
	"context"
)

// handleEvent handles a delivery of the Events API. Slack does not wait for a
// result and may repeat a delivery. Repeats and other types of events are ignored.
func (s *Slack) handleEvent(e eventPayload) {
	if s.recent.seen(e.EventID, s.cfg.Clock()) {
		return
	}
	person := string(e.Event.User)
	switch e.Event.Type {
	case "app_home_opened":
		if e.Event.Tab == "home" || e.Event.Tab == "" {
			a := account{user: person, team: e.TeamID}
			s.homes.open(a, s.cfg.Clock())
			s.runInBackground(func(ctx context.Context) {
				if !s.publishHome(ctx, a) {
					s.RefreshHomes()
				}
			})
		}
	case "app_mention":
		if e.Event.BotID == "" && e.Event.Channel != "" {
			s.handleSpoken(e.Event)
		}
	case "message":
		s.handleMessage(e.Event)
	case "reaction_added", "reaction_removed":
		s.handleReaction(e.Event)
	case "file_change", "file_deleted":
		s.handleFileEvent(e.Event)
	case "subteam_members_changed", "subteam_updated":
		if s.cfg.OnGroupsChanged != nil {
			s.runInBackground(s.cfg.OnGroupsChanged)
		}
	}
}
