package response_test

import (
	"testing"

	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestMemory_Conformance runs the tests of the databases on the store that the tests of
// this package use, so what they prove holds for the databases.
func TestMemory_Conformance(t *testing.T) {
	storetest.Conformance(t, func(*testing.T) storetest.Subject {
		m := response.NewMemory()
		return storetest.Subject{Store: m, Accept: func(*testing.T, int) {}, Work: m.Work, Hold: m.Hold}
	})
}
