package bot

import (
	"context"
	"time"

	"tocsin/templates"
)

// The reminders of what people have to look after in time.
const (
	scheduleReminders = "reminders"
	remindersCron     = "11 * * * *"
)

// remind tells people that security.txt ends soon, or has: 30, 7 and 1 days
// before and behind it, each once for each date.
func (b *Bot) remind(ctx context.Context, _ time.Time) error {
	if b.txt == nil {
		return nil
	}
	left, day := b.txt.Reminder(b.clock()), b.txt.Expires().UTC().Format(time.DateOnly)
	if left == "" {
		return nil
	}
	return b.desk.Notify(ctx, "security.txt/"+day+"/"+left, map[string]string{"about": templates.AboutSecurityTxt, "left": left, "expires": day})
}
