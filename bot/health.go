package bot

import (
	"context"
	"errors"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/telemetry"
	"tocsin/templates"
)

// newReadiness returns the checks of the required and of the configured optional
// parts.
func (b *Bot) newReadiness() *telemetry.Readiness {
	optional := map[string]func(time.Time) error{"configuration": func(time.Time) error { return b.reloads.Err() }}
	if b.mailbox != nil {
		optional["vulnerability mailbox"] = func(time.Time) error { _, err := b.mailbox.Err(); return err }
	}
	for _, source := range b.fixedSources {
		if checked, ok := source.(intake.Checked); ok {
			part, _ := checked.Check()
			optional[part] = func(time.Time) error { _, err := checked.Check(); return err }
		}
	}
	if b.securityTxt != nil {
		b.metrics.SetSecurityTxtExpires(b.securityTxt.Expires())
		optional["security.txt"] = func(now time.Time) error {
			if warning := b.securityTxt.ExpiryWarning(now); warning != "" {
				return errors.New(warning)
			}
			return nil
		}
	}
	return telemetry.NewReadiness(telemetry.Health{
		Required:      map[string]func(context.Context) error{"database": b.store.Ping, "queue": b.store.PingQueue},
		Optional:      optional,
		WithoutNotice: []string{"security.txt"}, // reminders cover it
		Notify:        b.notifyFault,
		Metrics:       b.metrics, Clock: b.clock, Logger: b.log,
	})
}

// notifyFault sends a notice about an optional part that stays impaired.
func (b *Bot) notifyFault(ctx context.Context, key, part string, since time.Time) error {
	return b.Desk().Notify(ctx, key, map[string]string{"about": templates.AboutFault, "part": part, "since": since.UTC().Format(time.RFC3339)})
}
