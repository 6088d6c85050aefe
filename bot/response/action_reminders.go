package response

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// reminderMemory is how long the last reminder of an action item stays stored. It is longer
// than any stage takes.
const reminderMemory = 90 * 24 * time.Hour

// storedReminder is the last reminder of an action item. Another due date starts at the first stage.
type storedReminder struct {
	Due   time.Time `json:"due"`
	Stage int       `json:"stage"`
}

// RemindActions reminds the owners of open action items, and later the heads of their
// departments, at the day of now in its zone. Every person gets one message with all items
// that are due. The stored stage of each item commits together with the messages, so a
// repeat or a restart neither repeats nor forgets one.
func (d *Desk) RemindActions(ctx context.Context, now time.Time) error {
	var ids []incident.ID
	err := d.Store.View(ctx, func(r Reader) error {
		all, err := r.Summaries(incident.Filter{All: true, Limit: math.MaxInt32})
		if err != nil {
			return err
		}
		for _, s := range all {
			inc, err := r.Incident(s.ID)
			if err != nil {
				return fmt.Errorf("read %s: %w", s.ID, err)
			}
			if slices.ContainsFunc(inc.Actions, func(a incident.Action) bool { return a.ReminderStage(now) > 0 }) {
				ids = append(ids, s.ID)
			}
		}
		return nil
	})
	if err == nil && len(ids) > 0 {
		err = d.Store.Tx(ctx, func(tx Tx) error {
			dir, err := tx.Directory()
			if err != nil {
				return err
			}
			people, err := dueReminders(tx, ids, dir, now)
			if err != nil {
				return err
			}
			return tx.Enqueue(reminderEffects(people, dir, now)...)
		})
	}
	if err != nil {
		return fmt.Errorf("remind owners of action items: %w", err)
	}
	return nil
}

// dueReminders returns the reminders of each person whose stage began since the last ones,
// and stores the stages.
func dueReminders(tx Tx, ids []incident.ID, dir incident.Directory, now time.Time) (map[incident.PersonID][]incident.ActionReminder, error) {
	people := map[incident.PersonID][]incident.ActionReminder{}
	for _, id := range ids {
		inc, err := tx.Incident(id)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", id, err)
		}
		for _, a := range inc.Actions {
			r := incident.ActionReminder{Incident: id, Action: a, Stage: a.ReminderStage(now)}
			recipients := inc.ReminderRecipients(r, dir)
			if r.Stage == 0 || len(recipients) == 0 {
				continue
			}
			key, last := id.String()+"/"+a.ID, storedReminder{}
			if err := getValue(tx, NamespaceActionReminder, key, &last); err != nil {
				return nil, fmt.Errorf("read reminder: %w", err)
			}
			if last.Due.Equal(a.Due) && last.Stage >= r.Stage {
				continue
			}
			if err := putValue(tx, NamespaceActionReminder, key, storedReminder{Due: a.Due, Stage: r.Stage}, now.Add(reminderMemory)); err != nil {
				return nil, fmt.Errorf("store reminder: %w", err)
			}
			for _, p := range recipients {
				people[p] = append(people[p], r)
			}
		}
	}
	return people, nil
}

// reminderEffects builds one message for each person: a direct message, or a mail if the
// person has no account in the chat.
func reminderEffects(people map[incident.PersonID][]incident.ActionReminder, dir incident.Directory, now time.Time) []incident.Effect {
	var out []incident.Effect
	for _, id := range slices.Sorted(maps.Keys(people)) {
		e := incident.Effect{Key: "remind_actions/" + string(id) + "/" + strconv.FormatInt(now.UnixMicro(), 10), Kind: incident.EffectRemindActions, After: now,
			Args: map[string]string{"person": string(id), "items": incident.EncodeReminders(people[id], now)}}
		if p, _ := dir.Person(id); p.IDAt(incident.ProviderSlack) == "" {
			e.Kind = incident.EffectMailRemindActions
		}
		out = append(out, e)
	}
	return out
}
