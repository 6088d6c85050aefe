package slack

import (
	"context"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
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
			s.runInBackground(func(ctx context.Context) { s.publishHome(ctx, person) })
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

// maxHomeIncidents is the maximum number of incidents on the home tab.
const maxHomeIncidents = 40

// publishHome publishes the home tab of a person. It lists the open incidents
// that the person may see.
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
		s.log.WarnContext(ctx, "publish home tab failed", "err", err)
	}
}

func homeBlocks(found []incident.Summary) []slack.Block {
	heading := "No open incidents"
	if len(found) > 0 {
		heading = chat.CountIncidents(len(found), "open ")
	}
	blocks := []slack.Block{slack.NewHeaderBlock(plainText(heading))}
	for _, i := range found[:min(len(found), maxHomeIncidents)] {
		line, _ := clip(clean(chat.SummaryLine(i)), 1000)
		show := slack.NewAccessory(button(ActStatus, "Show", buttonValue(i.ID)))
		blocks = append(blocks, slack.NewSectionBlock(plainText(line), nil, show))
	}
	return blocks
}
