package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// Notify notifies people about a problem of Tocsin: it posts in the announce
// channel and mails the security department. It sends one notice per key.
// args["about"] names the problem, and the other args are the ids, dates and
// numbers of its text.
func (d *Desk) Notify(ctx context.Context, key string, args map[string]string) error {
	now := d.Now()
	notices := []incident.Effect{
		{Key: "notice/" + key, Kind: incident.EffectNotice, After: now, Args: args},
		{Key: "notice/" + key + "/mail", Kind: incident.EffectMailNotice, After: now, Args: args},
	}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Enqueue(notices...) }); err != nil {
		return fmt.Errorf("enqueue notice about %s: %w", args["about"], err)
	}
	return nil
}
