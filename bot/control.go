package bot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/doctor"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/pagerduty"
	"tocsin/bot/response"
	"tocsin/store"
)

// control returns the server of the control socket.
func (b *Bot) control() *control.Server {
	return control.NewServer(control.Options{
		Desk:           func() control.Desk { return b.Desk() },
		Administrators: func() []string { return b.current.Load().config.Control.Administrators },
		Store:          b.store,
		Export:         b.export,
		Deliver:        b.edge.Deliver,
		Reload:         b.reload,
		ReloadStatus:   b.reloadStatus,
		Sources:        b.sourceStates,
		Backup:         b.backupNow,
		Sessions:       webSessions{b},

		TestAcknowledged: b.testAcknowledged,
		Zone:             b.zone,
		Clock:            b.clock,
	})
}

// export calls fn with the stored deliveries of a filter that a person may read,
// and returns how many others there are.
func (b *Bot) export(ctx context.Context, who incident.Identity, filter store.DeliveryFilter, action, reason string, fn func([]control.Recorded) error) (leftOut int, err error) {
	g := b.current.Load()
	export := g.desk.NewExport(who, action, reason)
	err = b.store.Deliveries(ctx, filter, func(batch []store.StoredDelivery) error {
		rows := make([]response.ExportedDelivery, len(batch))
		for n, d := range batch {
			rows[n] = response.ExportedDelivery{Handled: d.Handled, Outcome: d.Outcome, Alerts: g.severalAlerts(d.Delivery)}
		}
		allowed, err := export.Allowed(ctx, rows)
		if err != nil {
			return err
		}
		var out []control.Recorded
		for n, d := range batch {
			if allowed[n] {
				out = append(out, control.NewRecorded(d.Row, d.Delivery, d.SHA256))
			}
		}
		return fn(out)
	})
	return export.LeftOut, err
}

// testAcknowledged returns who acknowledged the test page with a code, by the webhooks of
// PagerDuty since from. The result is empty if nobody did.
func (b *Bot) testAcknowledged(ctx context.Context, code string, from time.Time) (by string, err error) {
	err = b.store.Deliveries(ctx, store.DeliveryFilter{Source: "pagerduty", From: from}, func(batch []store.StoredDelivery) error {
		for _, d := range batch {
			if person, found := pagerduty.TestAcknowledged(d.Delivery.Body, code); found {
				by = person
			}
		}
		return nil
	})
	return by, err
}

// decode returns the signals of a stored delivery.
func (g *generation) decode(source string, headers map[string]string, body []byte) ([]incident.Signal, error) {
	decoder, known := g.sources[source]
	if !known {
		return nil, fmt.Errorf("source %s is not configured", source)
	}
	header := http.Header{}
	for name, value := range headers {
		header.Set(name, value)
	}
	return decoder.Decode(header, body)
}

// severalAlerts returns the alerts of a delivery that has more than one. The
// inbox stores the incident of only one of them.
func (g *generation) severalAlerts(d intake.Delivery) []incident.Alert {
	signals, err := g.decode(d.Source, d.Header, d.Body)
	if len(signals) == 0 || len(signals) == 1 && err == nil { // with an error, an alert about the rest belongs to it too
		return nil
	}
	var out []incident.Alert
	for _, s := range signals {
		if s.Alert == nil {
			continue
		}
		out = append(out, *s.Alert) // also of a delivery that is not live: alerts of old ones counted as live
		if d.Origin != incident.OriginLive {
			out = append(out, s.Alert.WithOrigin(d.Origin))
		}
	}
	return out
}

// serveDoctor shows `tocsin doctor` how a request through the public URL arrives. Without
// a token of the keyset the path is unknown.
func (b *Bot) serveDoctor(w http.ResponseWriter, r *http.Request) {
	if !b.store.CheckToken(r.PathValue("token"), b.clock()) {
		serveUnknown(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(doctor.Arrival{Peer: r.RemoteAddr, ForwardedFor: strings.Join(r.Header.Values("X-Forwarded-For"), ", ")})
}

// recordChanges makes the notary sign a checkpoint of every change until now.
func (b *Bot) recordChanges(ctx context.Context) error {
	_, err := b.store.RecordChanges(ctx)
	return err
}
