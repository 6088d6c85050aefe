package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// Notify tells people, in the announce channel and by mail to the security
// department, about something in the house itself that needs them. What has the
// same key is told once. about names what, args what its words need: ids, dates
// and numbers.
func (d *Desk) Notify(ctx context.Context, key string, args map[string]string) error {
	now := d.Now()
	notices := []incident.Effect{
		{Key: "notice/" + key, Kind: incident.EffectNotice, After: now, Args: args},
		{Key: "notice/" + key + "/mail", Kind: incident.EffectMailNotice, After: now, Args: args},
	}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Enqueue(notices...) }); err != nil {
		return fmt.Errorf("tell about %s: %w", args["about"], err)
	}
	return nil
}
