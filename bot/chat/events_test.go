package chat

import (
	"testing"

	"tocsin/bot/incident"
)

func TestLayouts_CoverEveryKindOfEvent(t *testing.T) {
	for _, kind := range incident.EventKinds() {
		if _, known := layouts[kind]; !known {
			t.Errorf("got no layout for %q, want one", kind)
		}
	}
	if len(layouts) != len(incident.EventKinds()) {
		t.Errorf("got %d layouts for %d kinds, want equal numbers", len(layouts), len(incident.EventKinds()))
	}
}
