package bot

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/notary"
	"tocsin/bot/publication"
	"tocsin/bot/response"
	"tocsin/bot/syslog"
	"tocsin/store"
	"tocsin/templates"
)

// schedule is a job that runs regularly, in the configured time zone.
type schedule struct {
	name string
	cron string // empty for a job that is off
	run  func(ctx context.Context, at time.Time) error
}

// schedules returns all jobs that run regularly.
func (b *Bot) schedules() []schedule {
	all := []schedule{
		{response.ScheduleAgenda, b.start.Review.Agenda, func(ctx context.Context, at time.Time) error {
			return liveDesk{&b.current}.Sweep(ctx, response.ScheduleAgenda, at)
		}},
		{schedulePageTest, b.current.Load().config.Escalation.PageTest.Cron(), b.sendTestPage},
		// in working hours: on working days, one message for each person
		{"action_reminders", "0 9 * * MON-FRI", b.remindActions},
		{"card_age", "* * * * *", func(ctx context.Context, at time.Time) error { return b.Desk().RefreshCards(ctx, at) }},
		{"retention", "23 3 * * *", b.prune},
		{"reminders", "11 * * * *", b.remind},
		{"notary", "* * * * *", func(ctx context.Context, _ time.Time) error {
			_, err := b.store.RecordChanges(ctx)
			return err
		}},
		{"publication", "* * * * *", func(ctx context.Context, _ time.Time) error {
			return b.publisher.Run(ctx, b.publicationWays(b.current.Load()))
		}},
	}
	every, proof := "", "" // the functions exist without backups, because a reload can add them
	if r := b.current.Load().backup; r != nil {
		every, proof = "@every "+r.Every.String(), "*/10 * * * *"
	}
	all = append(all, schedule{scheduleBackup, every, b.runBackup}, schedule{scheduleBackupProof, proof, b.auditProof})
	if b.heartbeat != nil { // a job, because it runs only if the database writes and the queue moves
		all = append(all, schedule{"heartbeat", "@every " + b.start.Telemetry.HeartbeatInterval.String(), func(ctx context.Context, _ time.Time) error {
			b.heartbeat.Send(ctx)
			return nil
		}})
	}
	return all
}

// startJobs stores the schedules and starts the jobs.
func (b *Bot) startJobs(ctx context.Context) error {
	run := map[string]func(context.Context, time.Time) error{}
	for _, s := range b.schedules() {
		run[s.name] = s.run
	}
	if err := b.setSchedules(ctx); err != nil {
		return err
	}
	return b.store.Run(ctx, store.JobFuncs{Drain: b.edge.Drain, Perform: liveDesk{&b.current}.Perform, Scheduled: run, LongScheduled: []string{scheduleBackup}})
}

// setSchedules stores the schedules of the current configuration. A schedule that did not
// change keeps its next run.
func (b *Bot) setSchedules(ctx context.Context) error {
	var rows []store.Schedule
	for _, s := range b.schedules() {
		if s.cron != "" {
			rows = append(rows, store.Schedule{Name: s.name, Kind: s.name, Cron: s.cron, Zone: b.start.TimeZone})
		}
	}
	if err := b.store.SetSchedules(ctx, rows); err != nil {
		return fmt.Errorf("set schedules: %w", err)
	}
	return nil
}

const (
	// schedulePageTest is the name of the weekly test page.
	schedulePageTest = "page_test"
	// maxTestPageDelay is how late a weekly test page may start. A process that was down
	// must not wake people with a test.
	maxTestPageDelay = time.Hour
)

// sendTestPage starts the weekly test page, once for all replicas.
func (b *Bot) sendTestPage(ctx context.Context, at time.Time) error {
	if late := b.clock().Sub(at); late > maxTestPageDelay {
		b.log.WarnContext(ctx, "weekly test page skipped", "component", "bot", "late", late)
		return nil
	}
	return b.Desk().StartTestPage(ctx, "schedule/"+at.UTC().Format(time.RFC3339))
}

const (
	// pruneTimeout bounds one run. It is shorter than the minute that a job may
	// take.
	pruneTimeout = 40 * time.Second
	// pruneRetryDelay is the delay before the next run if records remain.
	pruneRetryDelay = 5 * time.Second
)

// prune deletes expired records. If some remain, it returns an
// [*incident.RetryAfter], and the job runs again.
func (b *Bot) prune(ctx context.Context, _ time.Time) error {
	if err := b.store.PruneSessions(ctx); err != nil {
		return err
	}
	done, err := b.store.Prune(ctx, b.current.Load().config.Retention, pruneTimeout)
	for table, n := range done.Deleted {
		b.log.Info("pruned expired rows", "component", "retention", "table", table, "rows", n)
	}
	if err != nil {
		return fmt.Errorf("prune expired rows: %w", err)
	}
	if done.More {
		return &incident.RetryAfter{After: pruneRetryDelay}
	}
	return nil
}

// remindActions reminds people of action items, by the calendar of the configured zone.
func (b *Bot) remindActions(ctx context.Context, _ time.Time) error {
	zone, err := time.LoadLocation(b.start.TimeZone)
	if err != nil {
		return fmt.Errorf("time_zone: %w", err)
	}
	return b.Desk().RemindActions(ctx, b.clock().In(zone))
}

// remind notifies people 30, 7 and 1 days before security.txt expires, and when
// it has expired. It sends each reminder once per expiry date.
func (b *Bot) remind(ctx context.Context, _ time.Time) error {
	b.resyncDirectory(ctx) // a change of a user group can be missed, or arrive while Slack does not work
	if b.securityTxt == nil {
		return nil
	}
	left, day := b.securityTxt.Reminder(b.clock()), b.securityTxt.Expires().UTC().Format(time.DateOnly)
	if left == "" {
		return nil
	}
	return b.Desk().Notify(ctx, "security.txt/"+day+"/"+left, map[string]string{"about": templates.AboutSecurityTxt, "left": left, "expires": day})
}

// publicationWays returns the ways out for checkpoints.
func (b *Bot) publicationWays(g *generation) (ways []publication.Way) {
	c := g.config.Notary
	failure := func(system string) func(error) *health.Problem {
		return func(err error) *health.Problem {
			return withoutAddress(health.Explain(systemNames[system], explain(system, err)))
		}
	}
	if c.Channel {
		ways = append(ways, publication.Way{Name: "chat", Explain: failure(incident.SystemSlack), Publish: func(ctx context.Context, p notary.Checkpoint) error {
			found, err := b.chatEffects.PublishCheckpoint(ctx, chat.Checkpoint{Size: p.Size, At: p.At, Note: p.Note})
			if err == nil && !found {
				err = &health.Problem{Cause: "There is no announce channel", Fix: "Set slack.announce_channel, or set notary.channel to false, and restart Tocsin"}
			}
			return err
		}})
	}
	if len(c.Mail) > 0 && g.mail != nil {
		ways = append(ways, publication.Way{Name: "mail", Explain: failure(incident.SystemMail), Publish: func(ctx context.Context, p notary.Checkpoint) error {
			key, err := b.store.NotaryVerifier()
			if err != nil {
				return err
			}
			return g.mail.Checkpoint(ctx, c.Mail, p.At, p.Size, p.Note, key)
		}})
	}
	if server, err := syslog.Open(c.Syslog); err == nil {
		ways = append(ways, publication.Way{Name: "syslog", Explain: func(err error) *health.Problem { return health.Explain("The syslog server", err) },
			Publish: func(ctx context.Context, p notary.Checkpoint) error { return server.Send(ctx, publication.Message(p)) }})
	}
	if g.backup != nil {
		ways = append(ways, publication.Way{Name: "backup destinations", Explain: func(err error) *health.Problem { return health.Explain("A backup destination", err) },
			Publish: func(ctx context.Context, p notary.Checkpoint) error {
				if err := g.backup.RefuseReplaced(ctx); err != nil {
					return err
				}
				return g.backup.PutCheckpoint(ctx, p)
			}})
	}
	return ways
}
