package slack

import (
	"context"
	"slices"

	"tocsin/bot/incident"
)

// Remove removes a person from the channel. Slack shows the removal to everybody
// in it.
func (s *Slack) Remove(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	user := slackID(b.Directory, incident.PersonID(e.Args["person"]))
	if user == "" {
		return noCommand, nil
	}
	err = s.client.KickUserFromConversationContext(ctx, channel, user)
	if slices.Contains([]string{"not_in_channel", "user_not_found"}, errorCode(err)) {
		return noCommand, nil // removed by an earlier attempt, or never a member
	}
	return noCommand, classify("remove a person from the channel", err)
}

// ReplaceChannel continues the incident in a new channel, without the people who
// are excluded from it. The card and the bookmark of the old channel stay there.
func (s *Slack) ReplaceChannel(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	old := e.Args["channel"]
	if b.Incident.Links[incident.LinkChannel] != old {
		return noCommand, nil // replaced by an earlier attempt
	}
	id, err := s.createChannel(ctx, b.Incident)
	if err != nil {
		return noCommand, err
	}
	links := map[string]string{incident.LinkChannel: id, incident.LinkCard: "", incident.LinkBookmark: ""}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: links}), nil
}
