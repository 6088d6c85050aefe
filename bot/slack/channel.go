package slack

import (
	"context"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// OpenChannel creates the channel of the incident, such as inc-42. The
// channel is private if the incident is restricted or excludes a person. If the
// response to an earlier attempt was lost, OpenChannel finds the channel by its
// name and creator.
func (s *Slack) OpenChannel(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if b.Incident.Links[incident.LinkChannel] != "" {
		return noCommand, nil
	}
	id, err := s.createChannel(ctx, b.Incident)
	if err != nil {
		return noCommand, err
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: id}}), nil
}

// channelNames returns the names to try in order: inc-42, inc-42-b, …
func channelNames(id incident.ID) []string {
	base := strings.ToLower(id.String())
	names := []string{base}
	for c := 'b'; c <= 'z'; c++ {
		names = append(names, base+"-"+string(c))
	}
	return names
}

// needsPrivate reports whether a new channel of the incident must be private. Anyone
// can join a public channel, so one that shuts a person out is private too.
func needsPrivate(inc incident.Incident) bool {
	return inc.Restricted || len(inc.Exclusions) > 0
}

// createChannel creates the channel under the first free name, or returns the
// channel that an earlier attempt created.
func (s *Slack) createChannel(ctx context.Context, inc incident.Incident) (string, error) {
	var taken map[string]slack.Channel // visible channels by name
	names := channelNames(inc.ID)
	for _, name := range names {
		if _, known := taken[name]; !known {
			c, err := s.client.CreateConversationContext(ctx, slack.CreateConversationParams{ChannelName: name, IsPrivate: needsPrivate(inc)})
			if err == nil {
				return c.ID, nil
			}
			if errorCode(err) != "name_taken" {
				return "", classify("create the channel "+name, err)
			}
		}
		if taken == nil {
			var err error
			if taken, err = s.findByName(ctx, names); err != nil {
				return "", err
			}
		}
		ours, err := s.isOurChannel(ctx, inc, taken[name])
		if err != nil || ours {
			return taken[name].ID, err
		}
	}
	return "", &incident.Permanent{Err: fmt.Errorf("all channel names from %s to %s are taken: rename or archive some of the channels", names[0], names[len(names)-1])}
}

// findByName returns the channels with one of the names, by name. It cannot
// see private channels without the bot, although their names are taken.
func (s *Slack) findByName(ctx context.Context, names []string) (map[string]slack.Channel, error) {
	found := map[string]slack.Channel{}
	err := s.eachChannel(ctx, func(c slack.Channel) bool {
		if slices.Contains(names, c.Name) {
			found[c.Name] = c
		}
		return false
	})
	return found, err
}

// isOurChannel reports whether the bot created a channel for this incident.
// The channel must not be the current one, which a new one replaces. It must not
// be archived and must be as private as the incident requires.
//
// The channel must not be older than the incident, because numbers start at 1
// again with a new database. Otherwise responders could join the channel of
// another incident.
func (s *Slack) isOurChannel(ctx context.Context, inc incident.Incident, c slack.Channel) (bool, error) {
	if c.ID == "" || c.ID == inc.Links[incident.LinkChannel] || c.IsArchived || c.IsPrivate != needsPrivate(inc) {
		return false, nil
	}
	self, err := s.Self(ctx)
	if err != nil {
		return false, classify("find the channel", err)
	}
	created := c.Created.Time()
	return c.Creator == self && !created.Before(inc.OpenedAt.Add(-time.Minute).Truncate(time.Second)), nil
}

// Topic updates the topic of the channel. It changes the topic only if the
// text differs, because Slack posts a line about each change.
func (s *Slack) Topic(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	now, err := s.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
	if err != nil {
		return noCommand, classify("read the channel's topic", err)
	}
	next := topicText(b)
	if html.UnescapeString(now.Topic.Value) == next {
		return noCommand, nil
	}
	_, err = s.client.SetTopicOfConversationContext(ctx, channel, next)
	return noCommand, classify("set the channel's topic", err)
}

// topicText returns the status of the incident in at most 250 characters of
// plain text. Slack does not interpret mentions or markup in topics.
func topicText(b incident.Brief) string {
	inc := b.Incident
	parts := []string{string(inc.Severity), strings.ReplaceAll(string(inc.Status), "_", " ")}
	switch {
	case inc.Commander != "":
		parts = append(parts, "commander "+strings.Join(strings.Fields(clean(b.Directory.Name(inc.Commander))), " "))
	case inc.NeedsPage():
		parts = append(parts, "unacknowledged")
	}
	if inc.MergedInto != 0 {
		parts = append(parts, "continues in "+inc.MergedInto.String())
	}
	if !inc.Review.At.IsZero() && inc.Review.Concluded.IsZero() {
		parts = append(parts, "review "+inc.Review.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	text, _ := clip(strings.Join(parts, " · "), 240)
	return text
}

// Invite adds people to the channel. The returned command lists new and
// existing members. A message in the channel lists the people who could not
// be invited, with the reason.
func (s *Slack) Invite(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	refused := map[incident.PersonID]string{}
	person := map[string]incident.PersonID{}
	var users []string
	for _, id := range strings.FieldsFunc(e.Args["people"], func(r rune) bool { return r == ',' }) {
		id := incident.PersonID(strings.TrimSpace(id))
		switch user := slackID(b.Directory, id); {
		case !b.Incident.MayInvite(b.Directory, id, b.Now): // since the effect was queued
		case user == "":
			refused[id] = "no Slack user in the configuration"
		case person[user] == "":
			person[user] = id
			users = append(users, user)
		}
	}
	for batch := range slices.Chunk(users, 100) {
		failed, err := s.invite(ctx, channel, batch)
		if err != nil {
			return noCommand, err
		}
		for user, reason := range failed {
			refused[person[user]] = reason
		}
	}
	var invited []incident.PersonID
	for _, user := range users {
		if _, failed := refused[person[user]]; !failed {
			invited = append(invited, person[user])
		}
	}
	if len(refused) > 0 {
		if _, err := s.postOnce(ctx, b, channel, b.Mark, notInvitedMessage(b, refused), b.Attempt > 1); err != nil {
			return noCommand, err
		}
	}
	if len(invited) == 0 {
		return noCommand, nil
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbInvited, People: invited}), nil
}

// invite adds users. It returns the rejected users with the reasons. Slack
// adds none of the users if it rejects one, so invite tries again without the
// rejected users.
func (s *Slack) invite(ctx context.Context, channel string, users []string) (map[string]string, error) {
	failed := map[string]string{}
	for len(users) > 0 {
		_, err := s.client.InviteUsersToConversationContext(ctx, channel, users...)
		if err == nil {
			return failed, nil
		}
		codes := inviteErrors(err, users)
		if len(codes) == 0 {
			return failed, classify("invite people to the channel", err)
		}
		for user, code := range codes {
			if code != "already_in_channel" && code != "cant_invite_self" {
				failed[user] = inviteErrorTexts[code]
				if failed[user] == "" {
					failed[user] = "Slack returned the error " + code
				}
			}
		}
		users = slices.DeleteFunc(slices.Clone(users), func(u string) bool { return codes[u] != "" })
	}
	return failed, nil
}

// inviteErrors returns the error code for each user in a failed invitation.
// The result is empty if the error is not about a user.
func inviteErrors(err error, users []string) map[string]string {
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) {
		return nil
	}
	out := map[string]string{}
	for _, e := range refused.Errors {
		if r := e.ConversationsInviteResponseError; r != nil && slices.Contains(users, r.User) && r.Error != "" {
			out[r.User] = r.Error
		}
	}
	_, personal := inviteErrorTexts[refused.Err]
	if len(out) == 0 && len(users) == 1 && personal {
		out[users[0]] = refused.Err
	}
	return out
}

// inviteErrorTexts explains the error codes about one user.
var inviteErrorTexts = map[string]string{
	"already_in_channel":            "is already in the channel",
	"cant_invite_self":              "is the bot",
	"user_not_found":                "the Slack user ID in the configuration does not exist",
	"cant_invite":                   "is deactivated in Slack or cannot be invited",
	"ura_max_channels":              "is a guest of a single other channel",
	"user_is_restricted":            "is a guest and cannot join",
	"invitee_cant_see_channel":      "cannot see this channel",
	"org_user_not_in_team":          "is not a member of this workspace",
	"no_external_invite_permission": "belongs to another company, and the workspace does not allow external invitations",
}

// notInvitedMessage lists the people who could not be invited, with the
// reasons.
func notInvitedMessage(b incident.Brief, refused map[incident.PersonID]string) message {
	p := messageBuilder{id: b.Incident.ID}
	p.line(":warning: Tocsin could not invite these people. Invite them by hand, or contact a workspace admin:")
	var lines []string
	for id, reason := range refused {
		lines = append(lines, b.Directory.Name(id)+": "+reason)
	}
	slices.Sort(lines)
	p.items(lines)
	return p.build()
}

// Archive posts the final message in the channel of an ended incident. It
// does not archive the channel, because the messages are part of the history.
func (s *Slack) Archive(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	_, err := s.postToChannel(ctx, b, archiveMessage(b))
	return noCommand, err
}

// archiveMessage returns the final message of an incident. It contains the
// event that ended the incident and where to continue.
func archiveMessage(b incident.Brief) message {
	p := &messageBuilder{id: b.Incident.ID}
	renderer{messageBuilder: p, b: b, e: b.Event, inc: b.Incident}.event()
	next := markupf("no further action is needed · if the incident continues, type `/incident reopen %s WHY`", markup(b.Incident.ID.String()))
	if b.Incident.MergedInto != 0 {
		next = markupf("all further work belongs in %s", markup(b.Incident.MergedInto.String()))
	}
	p.small(next, "this channel stays readable")
	return p.build()
}
