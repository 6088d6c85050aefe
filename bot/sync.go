package bot

import (
	"context"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/incident"
)

// syncDirectory stores the people of the current configuration and of its Slack
// user groups.
func (b *Bot) syncDirectory(ctx context.Context) error {
	b.syncMu.Lock()
	defer b.syncMu.Unlock()
	g := b.current.Load()
	return b.putDirectory(ctx, g.config, g)
}

// putDirectory stores the people of a configuration and of its Slack user groups
// with the desk of a generation. It returns [config.Errors] if a department has
// fewer than two people, because its sign-off would be impossible. While Slack is
// unavailable, the last known members of the user groups stay in effect. The
// caller must hold syncMu.
func (b *Bot) putDirectory(ctx context.Context, c config.Config, g *generation) error {
	members := map[string][]string{}
	if names := c.SlackGroups(); len(names) > 0 {
		groupsCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		found, err := b.chat.Groups(groupsCtx, names)
		if err != nil {
			b.log.Warn("read user groups failed", "component", "bot", "err", err)
			known, readErr := g.desk.Directory(ctx)
			if readErr != nil {
				return readErr
			}
			addKnownMembers(members, known)
		}
		for name, users := range found {
			members[name] = append([]string{}, users...) // not nil: an empty group was read
		}
	}
	dir := c.Directory(members)
	var problems config.Errors
	for _, name := range incident.RequiredDepartments() {
		team, _ := dir.Team(name)
		if n := len(team.Members); n < 2 {
			problems.Add("departments."+string(name), "has %d people, including its Slack user group. It needs at least 2 to sign, so add members or fill the user group", n)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return g.desk.PutDirectory(ctx, dir)
}

// addKnownMembers adds the members of the user groups when they were last read. A
// directory that an older version stored does not list them, so all members of
// the team count.
func addKnownMembers(members map[string][]string, known incident.Directory) {
	for _, t := range known.Teams {
		if t.Group == "" {
			continue
		}
		members[t.Group] = t.GroupMembers
		if t.GroupMembers != nil {
			continue
		}
		for _, m := range t.Members {
			if p, _ := known.Person(m.Person); !m.Deputy && p.IDAt(incident.ProviderSlack) != "" {
				members[t.Group] = append(members[t.Group], p.IDAt(incident.ProviderSlack))
			}
		}
	}
}

// resyncDirectory reads the user groups again. Slack calls it when one changed.
func (b *Bot) resyncDirectory(ctx context.Context) {
	if err := b.syncDirectory(ctx); err != nil {
		b.log.Error("sync directory failed", "component", "bot", "err", err)
		return
	}
	b.endDepartures(ctx)
}

// endDepartures ends what people hold who left the configuration, and their sessions. After an
// error the next call continues: the hourly reminders call it too.
func (b *Bot) endDepartures(ctx context.Context) []incident.FormerPerson {
	b.syncMu.Lock()
	defer b.syncMu.Unlock()
	left, err := b.Desk().EndDepartures(ctx)
	if err != nil && ctx.Err() == nil {
		b.log.Error("end departures failed", "component", "bot", "retry_in", time.Hour, "err", err)
	}
	if err := b.endOrphanedSessions(ctx); err != nil && ctx.Err() == nil {
		b.log.Error("end sessions failed", "component", "bot", "retry_in", time.Hour, "err", err)
	}
	return left
}
