package slack

import (
	"context"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// handleEvent works on a delivery of the Events API. Slack waits for no answer, and
// brings it again where it believes that it got lost. Messages, joins and
// whatever else an app may hear of are passed over.
func (s *Slack) handleEvent(e eventPayload) {
	if s.recent.seen(e.EventID, s.cfg.Clock()) {
		return
	}
	person, channel := string(e.Event.User), string(e.Event.Channel)
	switch e.Event.Type {
	case "app_home_opened":
		if e.Event.Tab == "home" || e.Event.Tab == "" {
			s.runInBackground(func(ctx context.Context) { s.publishHome(ctx, person) })
		}
	case "app_mention":
		if e.Event.BotID == "" && channel != "" {
			s.notify(interaction{User: idObject{person}, Channel: idObject{channel}}, s.help(""))
		}
	case "subteam_members_changed", "subteam_updated":
		if s.cfg.OnGroupsChanged != nil {
			s.runInBackground(s.cfg.OnGroupsChanged)
		}
	}
}

// maxHomeIncidents is how many incidents the home tab lists, with two blocks each.
const maxHomeIncidents = 40

// publishHome shows a person the incidents that are not over, as far as they
// may know of them.
func (s *Slack) publishHome(ctx context.Context, person string) {
	found, err := s.desk.List(ctx, identity(person), incident.Filter{Limit: maxHomeIncidents})
	var blocks []slack.Block
	switch {
	case err != nil:
		blocks = []slack.Block{slack.NewSectionBlock(plainText(s.errorText(ctx, err)), nil, nil)}
	default:
		blocks = homeBlocks(found)
	}
	_, err = s.client.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: person,
		View: slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: blocks}}})
	if err != nil {
		s.log.WarnContext(ctx, "could not publish a home tab", "error", err)
	}
}

func homeBlocks(found []incident.Summary) []slack.Block {
	heading := "No incident is open."
	if len(found) > 0 {
		heading = incidentCount(len(found), "is not over", "are not over")
	}
	blocks := []slack.Block{slack.NewHeaderBlock(plainText(heading))}
	for _, i := range found[:min(len(found), maxHomeIncidents)] {
		line, _ := clip(clean(summaryLine(i)), 1000)
		show := slack.NewAccessory(button(ActStatus, "Show", buttonValue(i.ID)))
		blocks = append(blocks, slack.NewSectionBlock(plainText(line), nil, show))
	}
	return blocks
}
