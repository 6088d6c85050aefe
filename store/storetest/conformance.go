package storetest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// Noon is the time of the tests.
var Noon = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC)

// stored returns a time with the precision of the databases.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// A Subject is an empty store to test, and its parts that [response.Store] does not have.
type Subject struct {
	response.Store
	// Accept stores n deliveries of the source sentry. Their rows are 1 to n.
	Accept func(t *testing.T, n int)
	// Work calls perform for each due effect until the test ends, at least once for each attempt. It may return before.
	Work func(t *testing.T, perform func(ctx context.Context, job response.Job) error)
	// Hold holds all effects and deliveries, and removes their jobs, as a restore from a backup does.
	Hold func(t *testing.T, r incident.Restore)
}

// Conformance tests that a [response.Store] does what its interface says. open returns an empty store whose clock shows
// [Noon]. The databases and the store of the response package's tests pass the same tests, so what the latter prove
// holds for the databases.
func Conformance(t *testing.T, open func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"save":                  testSave,
		"stale save":            testStaleSave,
		"failed transaction":    testFailedTx,
		"summaries":             testSummaries,
		"erase":                 testErase,
		"command keys":          testCommandKeys,
		"correlations":          testCorrelations,
		"ended incidents":       testEndedIncidents,
		"directory, documents":  testDirectoryAndDocuments,
		"count and move alerts": testCountAndMoveAlerts,
		"move and split alerts": testMoveAndSplitAlerts,
		"alert queries":         testAlertQueries,
		"maintenance windows":   testMaintenanceWindows,
		"configurations":        testConfigurations,
		"deliveries":            testDeliveries,
		"events":                testDedupeEvents,
		"effects":               testEffects,
		"snoozed effects":       testSnooze,
		"refresh effects":       testRefresh,
		"waiting effects":       testWaiting,
		"waiting lanes":         testWaitingLane,
		"effects ahead":         testAhead,
		"waiting refresh":       testWaitingRefresh,
		"dropped effects":       testDrop,
		"released effects":      testRelease,
		"covered effects":       testCovered,
		"started effects":       testStarted,
		"key values":            testKeyValues,
		"held effects":          testHeld,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// MustTx runs f in a transaction and fails the test if it does not commit.
func MustTx(t testing.TB, s response.Store, f func(response.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func mustView(t testing.TB, s response.Store, f func(response.Reader) error) {
	t.Helper()
	if err := s.View(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func newSalt() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return b
}

// NewEvent returns an event with texts given as pairs of name and value.
func NewEvent(kind incident.EventKind, fields map[string]string, texts ...string) incident.Event {
	e := incident.Event{Kind: kind, HappenedAt: Noon, RecordedAt: Noon, Via: incident.ViaCLI, Audience: incident.AudienceAll, Fields: fields}
	for i := 0; i < len(texts); i += 2 {
		if e.Texts == nil {
			e.Texts = map[string]incident.Text{}
		}
		e.Texts[texts[i]] = incident.Text{Value: texts[i+1]}
	}
	return e
}

// SaveEvents seals events, applies them to an incident and saves it.
func SaveEvents(tx response.Tx, inc incident.Incident, events ...incident.Event) (incident.Incident, error) {
	return saveAndErase(tx, inc, nil, events...)
}

func saveAndErase(tx response.Tx, inc incident.Incident, erased []incident.TextRef, events ...incident.Event) (incident.Incident, error) {
	for i, e := range events {
		events[i], _ = incident.Seal(inc.Head, e, newSalt)
		inc = incident.Apply(inc, events[i])
	}
	return inc, tx.Save(inc, events, erased...)
}

// OpenIncident saves a new incident in triage.
func OpenIncident(t testing.TB, s response.Store, title string) (inc incident.Incident) {
	t.Helper()
	MustTx(t, s, func(tx response.Tx) error {
		id, err := tx.NewID()
		if err != nil {
			return err
		}
		inc, err = SaveEvents(tx, incident.Incident{ID: id, Head: incident.Genesis(id)},
			NewEvent(incident.EventOpened, map[string]string{"status": "triage", "severity": "sev2", "restricted": "true"}, "title", title))
		return err
	})
	return inc
}
