package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/page"
	"tocsin/bot/text"
	"tocsin/store"
)

// demoHints returns the commands that the page suggests. The commands of the short help
// come first, the others follow in the order of help.
func demoHints() []page.Hint {
	common, others := []page.Hint{{Text: "/incident ", Help: "show what is possible now, or go on typing a command"}}, []page.Hint(nil)
	for _, s := range command.Specs() {
		for _, y := range s.Syntaxes {
			words := append([]string{"/incident", s.Name}, y.Words[:min(1, len(y.Words))]...)
			hint := page.Hint{Text: strings.Join(words, " "), Help: s.Help}
			if args := argUsage(y); args != "" {
				hint = page.Hint{Text: hint.Text + " ", Help: args + ": " + s.Help}
			}
			if slices.ContainsFunc(append(common, others...), func(h page.Hint) bool { return h.Text == hint.Text }) {
				continue
			}
			if s.Common {
				common = append(common, hint)
			} else {
				others = append(others, hint)
			}
		}
	}
	return append(common, others...)
}

// argUsage returns the arguments of a syntax as help shows them.
func argUsage(y command.Syntax) string {
	var words []string
	for _, a := range y.Args {
		if a.Usage != "" {
			words = append(words, a.Usage)
		}
	}
	return strings.Join(words, " ")
}

// outcomeInterval is the time between two looks at a delivery that the bot has not
// handled yet.
const outcomeInterval = 50 * time.Millisecond

// deliveryOutcome returns a function for the page. It waits until the bot has handled the
// delivery with a body, and returns the outcome and its reason.
func deliveryOutcome(b *bot.Bot) func(context.Context, []byte) (string, error) {
	return func(ctx context.Context, body []byte) (string, error) {
		sum, from := text.SHA256(body), time.Now().Add(-time.Minute)
		ticker := time.NewTicker(outcomeInterval)
		defer ticker.Stop()
		for {
			row, err := handledDelivery(ctx, b.Store(), sum, from)
			if err != nil {
				return "", err
			}
			if row != 0 {
				return explainDelivery(ctx, b, row)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
}

// handledDelivery returns the newest handled delivery since from with a hash, or 0.
func handledDelivery(ctx context.Context, s *store.Store, sum string, from time.Time) (row int64, err error) {
	err = s.Deliveries(ctx, store.DeliveryFilter{From: from}, func(batch []store.StoredDelivery) error {
		for _, d := range batch {
			if d.SHA256 == sum && d.Handled {
				row = d.Row
			}
		}
		return nil
	})
	return row, err
}

// maxCondition is the maximum length of a rule's condition on the page.
const maxCondition = 160

// explainDelivery returns the outcome of a delivery, and the rule that decided.
func explainDelivery(ctx context.Context, b *bot.Bot, row int64) (string, error) {
	who := incident.Identity{Provider: incident.ProviderSystem}
	answer, err := b.Desk().Alerts(ctx, who, incident.AlertRequest{Query: incident.QueryExplain, Delivery: row})
	if err != nil {
		return "", err
	}
	x := answer.Explanation
	for _, r := range x.Rules {
		switch {
		case !r.Matched && !r.Applied:
		case r.When == "true":
			return fmt.Sprintf("%s. Rule %d decided, which takes every other alert: %s", x.Outcome, r.Index, r.Action), nil
		case r.Index > 0:
			return fmt.Sprintf("%s. Rule %d decided: %s → %s", x.Outcome, r.Index, text.Truncate(r.When, maxCondition), r.Action), nil
		case r.Index == 0:
			return x.Outcome + ". No routing rule matched, so the default rule decided: " + r.Action, nil
		}
	}
	return x.Outcome, nil
}
