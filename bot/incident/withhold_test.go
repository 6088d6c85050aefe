package incident

import (
	"reflect"
	"testing"
)

func TestWithholdPrivileged(t *testing.T) {
	timeline := []Event{
		{Seq: 1, Kind: EventOpened, Audience: AudienceResponders, Fields: map[string]string{"status": "triage"}, Texts: map[string]Text{"title": {Value: "a leak", Salt: []byte("s"), Commitment: "c1"}}},
		{Seq: 2, Kind: EventObjected, Audience: AudienceLegalSecurity, Fields: map[string]string{"objection": "O1"}, Texts: map[string]Text{"reason": {Value: "privileged", Salt: []byte("s"), Commitment: "c2"}}},
		{Seq: 3, Kind: EventAcknowledged, Audience: AudienceLegalSecurity, By: "p1"},
	}
	inc, events, withheld := WithholdPrivileged(1, timeline)
	if withheld != 1 || inc.Title != "a leak" || len(inc.Objections) != 1 || inc.Objections[0].Reason != Withheld || inc.Paging.AcknowledgedBy != "p1" {
		t.Errorf("got %d withheld, state %+v", withheld, inc)
	}
	// A salt would allow to test guesses of the text against the commitment.
	if got, want := events[1].Texts["reason"], (Text{Value: Withheld, Commitment: "c2"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got text %+v, want %+v", got, want)
	}
	if timeline[1].Text("reason") != "privileged" || !reflect.DeepEqual(events[0], timeline[0]) {
		t.Error("the original timeline changed")
	}
	if full := Fold(1, timeline); !full.MayHavePrivileged() || !reflect.DeepEqual(full.Privileged, []int{2, 3}) {
		t.Errorf("got privileged events %v", full.Privileged)
	}
	if plain := Fold(1, timeline[:1]); plain.MayHavePrivileged() {
		t.Errorf("got privileged events %v, want none", plain.Privileged)
	}
	if !(Incident{}).MayHavePrivileged() {
		t.Error("a state without the list may have privileged texts")
	}
}
