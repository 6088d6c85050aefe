package store

import (
	"fmt"
	"testing"

	"tocsin/bot/intake"
	"tocsin/store/storetest"
)

func TestStore_Conformance(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			storetest.Conformance(t, func(t *testing.T) storetest.Subject {
				s, _ := openWithClock(t, url(t))
				return storetest.Subject{Store: s, Accept: s.acceptSamples, Work: s.runEffects, Hold: s.hold}
			})
		})
	}
}

// acceptSamples stores n deliveries.
func (s *Store) acceptSamples(t *testing.T, n int) {
	t.Helper()
	for row := range n {
		if err := s.Accept(t.Context(), []intake.Delivery{{Source: "sentry", ID: fmt.Sprint(row), Body: []byte("{}"), Received: noon}}); err != nil {
			t.Fatal(err)
		}
	}
}
