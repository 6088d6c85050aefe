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

// OpenChannel creates the incident's channel: inc-42, private if the incident
// is restricted. Where the answer to an earlier attempt was lost, the channel
// is found again by its name and its creator, which is us.
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

// channelNames are the names tried one after the other: inc-42, inc-42-b, …
func channelNames(id incident.ID) []string {
	base := strings.ToLower(id.String())
	names := []string{base}
	for c := 'b'; c <= 'z'; c++ {
		names = append(names, base+"-"+string(c))
	}
	return names
}

func (s *Slack) createChannel(ctx context.Context, inc incident.Incident) (string, error) {
	var taken map[string]slack.Channel // of the names above, those in use
	names := channelNames(inc.ID)
	for _, name := range names {
		if _, known := taken[name]; !known {
			c, err := s.client.CreateConversationContext(ctx, slack.CreateConversationParams{ChannelName: name, IsPrivate: inc.Restricted})
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
	return "", &incident.Permanent{Err: fmt.Errorf("the channel names %s to %s are all taken: rename or archive some of them", names[0], names[len(names)-1])}
}

// findByName finds those channels the bot can see that have one of these names. A
// private channel of others stays unseen; its name is taken all the same.
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

// isOurChannel reports whether a channel was created by us for this incident: not
// before the incident was opened (a number begins anew with a new database, and
// nobody may find themselves in the channel of another incident), still open,
// and as private as it has to be.
func (s *Slack) isOurChannel(ctx context.Context, inc incident.Incident, c slack.Channel) (bool, error) {
	if c.ID == "" || c.IsArchived || c.IsPrivate != inc.Restricted {
		return false, nil
	}
	self, err := s.Self(ctx)
	if err != nil {
		return false, classify("find the channel", err)
	}
	born := c.Created.Time()
	return c.Creator == self && !born.Before(inc.OpenedAt.Add(-time.Minute).Truncate(time.Second)), nil
}

// Topic keeps the channel's topic current. Setting one leaves a line in the
// channel, so it is set only where it changes.
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

// topicText says at a glance how it stands, in at most 250 characters. Slack
// shows it as it is: no mention or mark-up works in it.
func topicText(b incident.Brief) string {
	inc := b.Incident
	parts := []string{string(inc.Severity), strings.ReplaceAll(string(inc.Status), "_", " ")}
	switch {
	case inc.Commander != "":
		parts = append(parts, "commander "+strings.Join(strings.Fields(clean(b.Directory.Name(inc.Commander))), " "))
	case inc.NeedsPage():
		parts = append(parts, "nobody has it")
	}
	if inc.MergedInto != 0 {
		parts = append(parts, "goes on in "+inc.MergedInto.String())
	}
	if !inc.Review.At.IsZero() && inc.Review.Concluded.IsZero() {
		parts = append(parts, "review "+inc.Review.At.UTC().Format("2006-01-02 15:04 UTC"))
	}
	text, _ := clip(strings.Join(parts, " · "), 240)
	return text
}

// Invite brings people into the channel. Who is there already counts as
// brought; who cannot be brought is named in the channel, with the reason.
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
		for user, why := range failed {
			refused[person[user]] = why
		}
	}
	var brought []incident.PersonID
	for _, user := range users {
		if _, failed := refused[person[user]]; !failed {
			brought = append(brought, person[user])
		}
	}
	if len(refused) > 0 {
		if _, err := s.postOnce(ctx, b, channel, b.Mark, notInvitedMessage(b, refused), b.Attempt > 1); err != nil {
			return noCommand, err
		}
	}
	if len(brought) == 0 {
		return noCommand, nil
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbInvited, People: brought}), nil
}

// invite adds users and returns those that Slack does not take, with its
// reason in words. Slack adds nobody where it refuses one, so the rest is
// asked for again without them.
func (s *Slack) invite(ctx context.Context, channel string, users []string) (map[string]string, error) {
	failed := map[string]string{}
	for len(users) > 0 {
		_, err := s.client.InviteUsersToConversationContext(ctx, channel, users...)
		if err == nil {
			return failed, nil
		}
		verdicts := inviteErrors(err, users)
		if len(verdicts) == 0 {
			return failed, classify("invite people into the channel", err)
		}
		for user, code := range verdicts {
			if code != "already_in_channel" && code != "cant_invite_self" {
				failed[user] = inviteErrorTexts[code]
				if failed[user] == "" {
					failed[user] = "Slack says " + code
				}
			}
		}
		users = slices.DeleteFunc(slices.Clone(users), func(u string) bool { return verdicts[u] != "" })
	}
	return failed, nil
}

// inviteErrors are the users an invitation was refused for, with the code of each.
// It is empty where the refusal is not about one of them.
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

// inviteErrorTexts are the reasons why one person cannot be added, in words.
var inviteErrorTexts = map[string]string{
	"already_in_channel":            "is in the channel already",
	"cant_invite_self":              "is the bot",
	"user_not_found":                "Slack does not know the user id in the configuration",
	"cant_invite":                   "is deactivated in Slack, or may not be invited",
	"ura_max_channels":              "is a guest of one other channel only",
	"user_is_restricted":            "is a guest and may not join",
	"invitee_cant_see_channel":      "may not see this channel",
	"org_user_not_in_team":          "does not belong to this workspace",
	"no_external_invite_permission": "belongs to another company, and invitations to it are not allowed",
}

// notInvitedMessage names who could not be brought in.
func notInvitedMessage(b incident.Brief, refused map[incident.PersonID]string) message {
	p := messageBuilder{id: b.Incident.ID}
	p.line(":warning: Not everybody could be brought into this channel.")
	var lines []string
	for id, why := range refused {
		lines = append(lines, b.Directory.Name(id)+": "+why)
	}
	slices.Sort(lines)
	p.items(lines)
	return p.build()
}

// Archive says the last word in the channel of an incident that ended. The
// channel itself stays: what was said in it is part of the history.
func (s *Slack) Archive(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	_, err := s.postToChannel(ctx, b, archiveMessage(b))
	return noCommand, err
}

// archiveMessage tells how it ended and where it goes on.
func archiveMessage(b incident.Brief) message {
	p := &messageBuilder{id: b.Incident.ID}
	renderer{messageBuilder: p, b: b, e: b.Event, inc: b.Incident}.event()
	where := markupf("nothing more is expected here; `/incident reopen %s` goes on if it was not over after all", markup(b.Incident.ID.String()))
	if b.Incident.MergedInto != 0 {
		where = markupf("everything goes on in %s", markup(b.Incident.MergedInto.String()))
	}
	p.small(where, "what was said in this channel stays readable")
	return p.build()
}
