package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// The card of an incident shows how long the incident lasts, and what is late. An event
// refreshes the card at once. Without events, the card is refreshed regularly, the more
// rarely the longer nothing happened.
const (
	cardIntervalFirstHour = time.Minute
	cardIntervalFirstDay  = 5 * time.Minute
	cardIntervalLater     = time.Hour
	// maxCardsPerMinute leaves half of the edits of a chat to what people do. If more cards
	// are in their first hour, they take turns.
	maxCardsPerMinute = 20
	// maxAgingCards is the maximum number of incidents whose cards are refreshed.
	maxAgingCards = 1000
)

// RefreshCards requests a refresh of the cards of live incidents that are due in the minutes
// from a time to now. A schedule calls it once a minute for all replicas. A card that would not
// change is not edited.
func (d *Desk) RefreshCards(ctx context.Context, from time.Time) error {
	var live []incident.Summary
	err := d.Store.View(ctx, func(r Reader) (err error) {
		live, err = r.Summaries(incident.Filter{Statuses: incident.LiveStatuses(), Limit: maxAgingCards})
		return err
	})
	if err != nil {
		return fmt.Errorf("list live incidents: %w", err)
	}
	for _, id := range dueCards(live, from, d.Now()) {
		err := d.Store.Tx(ctx, func(tx Tx) error {
			inc, err := tx.Incident(id)
			if err != nil || !inc.Status.Live() || inc.Links[incident.LinkCard] == "" {
				return err
			}
			return tx.Enqueue(inc.CardRefresh()...)
		})
		if err != nil {
			return fmt.Errorf("refresh the card of %s: %w", id, err)
		}
	}
	return nil
}

// dueCards returns the incidents whose cards are due in a minute from a time to now. The
// numbers of the incidents spread the cards over the minutes.
func dueCards(live []incident.Summary, from, now time.Time) (due []incident.ID) {
	fresh := 0
	for _, s := range live {
		if cardInterval(now.Sub(s.UpdatedAt)) == cardIntervalFirstHour {
			fresh++
		}
	}
	first, last := minuteOf(from), minuteOf(now)
	for _, s := range live {
		interval := cardInterval(now.Sub(s.UpdatedAt))
		if interval == cardIntervalFirstHour {
			interval *= time.Duration(max(1, (fresh+maxCardsPerMinute-1)/maxCardsPerMinute))
		}
		every := int64(interval / time.Minute)
		if turn := last - (last+int64(s.ID))%every; turn >= first { // its last turn
			due = append(due, s.ID)
		}
	}
	return due
}

// cardInterval returns the time between two refreshes of a card for the time since the last
// event.
func cardInterval(quiet time.Duration) time.Duration {
	switch {
	case quiet < time.Hour:
		return cardIntervalFirstHour
	case quiet < 24*time.Hour:
		return cardIntervalFirstDay
	}
	return cardIntervalLater
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// shownTTL is how long the fingerprint of a message is kept. Without one, the next
// refresh edits the message.
const shownTTL = 90 * 24 * time.Hour

// loadShown loads the fingerprint of the message that a refresh effect edited last. It is not
// used after a failed attempt, which may have edited the message.
func (a *attempt) loadShown(s *session) error {
	if a.shown = ""; !a.effect.Refresh || a.desk.Shows == nil {
		return nil
	}
	if a.job.Attempt > 1 {
		return nil
	}
	if err := getValue(s.tx, NamespaceShown, a.effect.Key, &a.shown); err != nil {
		return fmt.Errorf("read what %s shows: %w", a.effect.Key, err)
	}
	return nil
}

// isShown reports whether the message of a refresh effect would not change.
func (a *attempt) isShown(b incident.Brief, e incident.Effect) bool {
	if a.shows = ""; !e.Refresh || a.desk.Shows == nil {
		return false
	}
	a.shows = a.desk.Shows(b, e)
	return a.shows != "" && a.shows == a.shown
}

// saveShown stores the fingerprint of the message, or "" if it is not known.
func (a *attempt) saveShown(s *session, shows string) error {
	if !a.effect.Refresh || a.desk.Shows == nil || shows == a.shown && a.job.Attempt == 1 {
		return nil
	}
	var before string
	err := getValue(s.tx, NamespaceShown, a.effect.Key, &before) // locks it
	if err == nil {
		err = putValue(s.tx, NamespaceShown, a.effect.Key, shows, s.now.Add(shownTTL))
	}
	if err != nil {
		return fmt.Errorf("store what %s shows: %w", a.effect.Key, err)
	}
	return nil
}
