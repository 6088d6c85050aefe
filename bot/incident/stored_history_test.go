package incident

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestFold_StoredHistory replays the lifecycle that the version with state form 1 stored:
// the first line is its state, the others are its events. The chain must verify, and no
// part of the state may change. Later forms add fields.
func TestFold_StoredHistory(t *testing.T) {
	data, err := os.ReadFile("testdata/history_form1.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	var old Incident
	var stored, replayed map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &old); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(lines[0]), &stored); err != nil {
		t.Fatal(err)
	}
	var events []Event
	for _, line := range lines[1:] {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if errs := Verify(old.ID, events, old.Head); len(events) < 100 || len(errs) > 0 {
		t.Errorf("got chain errors %v in %d events, want none", errs, len(events))
	}
	state, err := json.Marshal(Fold(old.ID, events))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(state, &replayed); err != nil {
		t.Fatal(err)
	}
	requests, _ := replayed["requests"].([]any) // more messages ask for something now
	replayed["requests"] = slices.DeleteFunc(requests, func(r any) bool {
		return !slices.ContainsFunc(stored["requests"].([]any), func(was any) bool { return reflect.DeepEqual(was, r) })
	})
	for _, lost := range lostParts("state", stored, replayed) {
		t.Error(lost)
	}
}

// lostParts returns the values of the JSON document before that after does not have.
func lostParts(at string, before, after any) (out []string) {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for key, value := range b {
			out = append(out, lostParts(at+"."+key, value, a[key])...)
		}
		return out
	case []any:
		if a, _ := after.([]any); len(a) == len(b) {
			for n, value := range b {
				out = append(out, lostParts(fmt.Sprintf("%s[%d]", at, n), value, a[n])...)
			}
			return out
		}
	}
	if !reflect.DeepEqual(before, after) {
		out = append(out, fmt.Sprintf("%s: got %v, want %v", at, after, before))
	}
	return out
}
