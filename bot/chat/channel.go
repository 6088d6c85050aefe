package chat

import (
	"context"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// OpenChannel creates the channel of the incident and posts the card, which is therefore
// the first message. The channel is private if the incident is restricted or excludes a
// person.
func (c *Effects) OpenChannel(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if b.Incident.Links[incident.LinkChannel] != "" {
		return noCommand, nil
	}
	return c.openChannel(ctx, b, e)
}

func (c *Effects) openChannel(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	id, err := c.platform.OpenChannel(ctx, b.Incident, needsPrivate(b.Incident))
	if err != nil {
		return noCommand, err
	}
	card, err := c.postOnce(ctx, b, id, b.Incident.CardKey(), Card(b), b.Attempt > 1)
	if err != nil {
		return noCommand, err
	}
	links := map[string]string{}
	for _, name := range incident.ChannelContents() {
		links[name] = ""
	}
	links[incident.LinkChannel], links[incident.LinkCard] = id, card.ID
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: links}), nil
}

// needsPrivate reports whether a new channel of the incident must be private. Anyone
// can join a public channel, so one that shuts a person out is private too.
func needsPrivate(inc incident.Incident) bool {
	return inc.Restricted || len(inc.Exclusions) > 0
}

// ReplaceChannel continues the incident in a new channel, without the people who
// are excluded from it. The card and the bookmark of the old channel stay there.
func (c *Effects) ReplaceChannel(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if b.Incident.Links[incident.LinkChannel] != e.Args["channel"] {
		return noCommand, nil // replaced by an earlier attempt
	}
	return c.openChannel(ctx, b, e)
}

// Remove removes a person from the channel, which may show the removal to
// everybody in it.
func (c *Effects) Remove(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	p, _ := b.Directory.Person(incident.PersonID(e.Args["person"]))
	return noCommand, c.platform.Remove(ctx, channel, p)
}

// Topic sets the topic of a new channel. It holds only the ID of the incident and a link,
// because the chat posts a line about each change.
func (c *Effects) Topic(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	return noCommand, c.platform.SetTopic(ctx, channel, topic(b))
}

func topic(b incident.Brief) string {
	id := b.Incident.Origin.Marked(b.Incident.ID.String())
	if link := b.Page.Links.Status; IsPage(link) {
		return id + " · " + link
	}
	return id
}

// timeLayout is the format of times in plain texts, in UTC.
const timeLayout = "2006-01-02 15:04 UTC"

// humanize replaces underscores with spaces, as in "in review".
func humanize[S ~string](s S) string { return strings.ReplaceAll(string(s), "_", " ") }

// Invite adds people to the channel. The returned command lists new and
// existing members, and the people who could not be invited, with the reason.
func (c *Effects) Invite(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	var people []incident.Person
	for _, id := range strings.FieldsFunc(e.Args["people"], func(r rune) bool { return r == ',' }) {
		id := incident.PersonID(strings.TrimSpace(id))
		if !b.Incident.MayInvite(b.Directory, id, b.Now) { // since the effect was queued
			continue
		}
		p, _ := b.Directory.Person(id)
		p.ID = id
		people = append(people, p)
	}
	members, refused, err := c.platform.Invite(ctx, channel, people)
	if err != nil {
		return noCommand, err
	}
	if len(members)+len(refused) == 0 {
		return noCommand, nil
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbInvited, People: members, Refused: refused}), nil
}

// notInvited lists the reasons why people could not be invited.
func (m *builder) notInvited() {
	m.line("Invite them by hand, or contact a workspace admin:")
	var lines []string
	for id := range strings.SplitSeq(m.event.Field("people"), ",") {
		lines = append(lines, m.Directory.Name(incident.PersonID(id))+": "+m.event.Text("reason"))
	}
	slices.Sort(lines)
	m.bullets(lines)
}
