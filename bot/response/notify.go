package response

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// Notify notifies people about a problem of Tocsin: it posts in the announce
// channel and mails the security department. It sends one notice per key.
// args["about"] names the problem, and the other args are the ids, dates and
// numbers of its text.
func (d *Desk) Notify(ctx context.Context, key string, args map[string]string) error {
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Enqueue(noticesOf(key, d.Now(), args)...) }); err != nil {
		return fmt.Errorf("enqueue notice about %s: %w", args["about"], err)
	}
	return nil
}

// noticesOf returns the effects of a notice with a key.
func noticesOf(key string, now time.Time, args map[string]string) []incident.Effect {
	return []incident.Effect{
		{Key: "notice/" + key, Kind: incident.EffectNotice, After: now, Args: args},
		{Key: "notice/" + key + "/mail", Kind: incident.EffectMailNotice, After: now, Args: args},
	}
}
