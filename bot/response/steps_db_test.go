package response_test

import (
	"encoding/json"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestBotStep_OfEarlierVersion stores an incident as an earlier version did after it
// started an automated step: the step is started and its effect is pending. The effect
// must carry out the step.
func TestBotStep_OfEarlierVersion(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		before := newTestDesk(t, url, response.StormLimit{}, response.Rule{When: "true", Watch: true})
		before.now = time.Now().Add(-time.Hour)
		before.do(incident.Command{Verb: incident.VerbOpen, Title: "a key in a log line", Severity: incident.Sev3, Key: "k"})
		run, err := json.Marshal(incident.Run{Playbook: "every", Plan: []incident.Step{{ID: "tell", Title: "Tell legal", Action: "note legal knows"}}})
		if err != nil {
			t.Fatal(err)
		}
		step := map[string]string{"run": "every", "step": "tell"}
		err = before.store.Tx(t.Context(), func(tx response.Tx) error {
			inc, err := tx.Incident(1)
			if err != nil {
				return err
			}
			var events []incident.Event
			for _, e := range []incident.Event{
				{Kind: incident.EventPlaybookStarted, Fields: step, Texts: map[string]incident.Text{"run": {Value: string(run)}}},
				{Kind: incident.EventStepStarted, Fields: step},
			} {
				e.RecordedAt, e.HappenedAt, e.Via = before.now, before.now, incident.ViaSystem
				sealed, _ := incident.Seal(inc.Head, e, func() []byte { return make([]byte, 32) })
				inc, events = incident.Apply(inc, sealed), append(events, sealed)
			}
			if err := tx.Save(inc, events); err != nil {
				return err
			}
			return tx.Enqueue(incident.Effect{Key: "INC-1/99/bot_step", Kind: incident.EffectBotStep, Incident: 1, Seq: inc.Head.Seq, Args: step})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := before.store.Close(); err != nil {
			t.Fatal(err)
		}
		openDesk(t, url, before.keys, nil).waitFor(t, "post noted", "post step_done")
	})
}
