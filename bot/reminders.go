package bot

import (
	"context"
	"time"

	"tocsin/templates"
)

// The schedule that sends reminders.
const (
	scheduleReminders = "reminders"
	remindersCron     = "11 * * * *"
)

// remind notifies people 30, 7 and 1 days before security.txt expires, and when
// it has expired. It sends each reminder once per expiry date.
func (b *Bot) remind(ctx context.Context, _ time.Time) error {
	b.endDepartures(ctx) // if an earlier call failed
	if b.securityTxt == nil {
		return nil
	}
	left, day := b.securityTxt.Reminder(b.clock()), b.securityTxt.Expires().UTC().Format(time.DateOnly)
	if left == "" {
		return nil
	}
	return b.Desk().Notify(ctx, "security.txt/"+day+"/"+left, map[string]string{"about": templates.AboutSecurityTxt, "left": left, "expires": day})
}
