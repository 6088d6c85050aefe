package slack

import (
	"context"
	"errors"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// OpenChannel creates the channel of the incident, such as inc-42. If the
// response to an earlier attempt was lost, OpenChannel finds the channel by its
// name and creator.
func (s *Slack) OpenChannel(ctx context.Context, inc incident.Incident, private bool) (string, error) {
	var taken map[string]slack.Channel // visible channels by name
	names := channelNames(inc)
	for _, name := range names {
		if _, known := taken[name]; !known {
			c, err := s.client.CreateConversationContext(ctx, slack.CreateConversationParams{ChannelName: name, IsPrivate: private})
			if err == nil {
				return c.ID, nil
			}
			if errorCode(err) != "name_taken" {
				return "", classify("create channels", fmt.Errorf("%s: %w", name, err))
			}
		}
		if taken == nil {
			var err error
			if taken, err = s.findByName(ctx, names); err != nil {
				return "", err
			}
		}
		ours, err := s.isOurChannel(ctx, inc, private, taken[name])
		if err != nil || ours {
			return taken[name].ID, err
		}
	}
	return "", &incident.Blocked{System: incident.SystemSlack, Cause: incident.Say("the channel names from %s to %s are taken", incident.Literal(names[0]), incident.Literal(names[len(names)-1])),
		Fix: incident.Say("Rename some of these channels"), Err: errNamesTaken}
}

var errNamesTaken = errors.New("no channel name is free")

// maxNames is the maximum number of names that are tried for one channel.
const maxNames = 26

// channelNames returns the names to try in order: inc-42, inc-42-b, …, inc-42-z,
// inc-42-27, … The name of an incident that is not live begins with its origin, as in
// drill-inc-42.
//
// The names begin after those of the channels that the incident had, because these names
// stay taken and each try counts towards the rate limit of Slack.
func channelNames(inc incident.Incident) []string {
	base := strings.ToLower(inc.ID.String())
	if inc.Origin != incident.OriginLive {
		base = string(inc.Origin) + "-" + base
	}
	used := len(inc.FormerChannels)
	if inc.Links[incident.LinkChannel] != "" {
		used++
	}
	names := make([]string, maxNames)
	for n := range names {
		names[n] = base + channelSuffix(used+n)
	}
	return names
}

// channelSuffix returns the end of the name of the nth channel of an incident, from 0.
func channelSuffix(n int) string {
	switch {
	case n == 0:
		return ""
	case n < 26:
		return "-" + string(rune('a'+n))
	}
	return "-" + strconv.Itoa(n+1)
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
// The channel must not be the current one, which a new one replaces, nor an earlier
// one, which may have people who are excluded since. It must not
// be archived and must be as private as the incident requires.
//
// The channel must not be older than the incident, because numbers start at 1
// again with a new database. Otherwise responders could join the channel of
// another incident.
func (s *Slack) isOurChannel(ctx context.Context, inc incident.Incident, private bool, c slack.Channel) (bool, error) {
	if c.ID == "" || c.ID == inc.Links[incident.LinkChannel] || inc.HasLeft(c.ID) || c.IsArchived || c.IsPrivate != private {
		return false, nil
	}
	self, err := s.Self(ctx)
	if err != nil {
		return false, classify("read channels", err)
	}
	created := c.Created.Time()
	return c.Creator == self && !created.Before(inc.OpenedAt.Add(-time.Minute).Truncate(time.Second)), nil
}

// SetTopic updates the topic of the channel. It changes the topic only if the
// text differs, because Slack posts a line about each change. Slack does not
// interpret mentions or markup in topics, and accepts 250 characters.
func (s *Slack) SetTopic(ctx context.Context, channel, topic string) error {
	now, err := s.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
	if err != nil {
		return s.lost(ctx, channel, err, classify("read channels", err))
	}
	next, _ := clip(oneLine(topic), 240)
	if html.UnescapeString(now.Topic.Value) == next {
		return nil
	}
	err = s.asMember(ctx, channel, func() error {
		_, err := s.client.SetTopicOfConversationContext(ctx, channel, next)
		return err
	})
	return s.lost(ctx, channel, err, classify("set the topic of channels", err))
}

// Invite adds people to the channel.
func (s *Slack) Invite(ctx context.Context, channel string, people []incident.Person) ([]incident.PersonID, map[incident.PersonID]string, error) {
	refused := map[incident.PersonID]string{}
	person := map[string]incident.PersonID{}
	var users []string
	for _, p := range people {
		switch user := userOf(p); {
		case user == "":
			refused[p.ID] = "no Slack user in the configuration"
		case person[user] == "":
			person[user] = p.ID
			users = append(users, user)
		}
	}
	for batch := range slices.Chunk(users, 100) {
		failed, err := s.invite(ctx, channel, batch)
		if err != nil {
			return nil, nil, err
		}
		for user, reason := range failed {
			refused[person[user]] = reason
		}
	}
	var members []incident.PersonID
	for _, user := range users {
		if _, failed := refused[person[user]]; !failed {
			members = append(members, person[user])
		}
	}
	return members, refused, nil
}

// invite adds users. It returns the rejected users with the reasons. Slack
// adds none of the users if it rejects one, so invite tries again without the
// rejected users.
func (s *Slack) invite(ctx context.Context, channel string, users []string) (map[string]string, error) {
	failed := map[string]string{}
	for len(users) > 0 {
		err := s.asMember(ctx, channel, func() error {
			_, err := s.client.InviteUsersToConversationContext(ctx, channel, users...)
			return err
		})
		if err == nil {
			return failed, nil
		}
		codes := inviteErrors(err, users)
		if len(codes) == 0 {
			return failed, s.lost(ctx, channel, err, classify("invite people to channels", err))
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

// Remove removes a person from the channel. Slack shows the removal to everybody
// in it.
func (s *Slack) Remove(ctx context.Context, channel string, p incident.Person) error {
	user := userOf(p)
	if user == "" {
		return nil
	}
	err := s.client.KickUserFromConversationContext(ctx, channel, user)
	if slices.Contains([]string{"not_in_channel", "user_not_found"}, errorCode(err)) {
		return nil // removed by an earlier attempt, or never a member
	}
	return s.lost(ctx, channel, err, classify("remove people from channels", err))
}
