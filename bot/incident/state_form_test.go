package incident

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestStateForm_FollowsTheFields compares the fields of the stored state with the recorded
// fields. If a released version wrote states with fewer fields, [StateForm] must increase.
// Otherwise stored states lack the new fields for good.
func TestStateForm_FollowsTheFields(t *testing.T) {
	var lines []string
	seen := map[reflect.Type]bool{}
	var walk func(rt reflect.Type)
	walk = func(rt reflect.Type) {
		for rt.Kind() == reflect.Pointer || rt.Kind() == reflect.Slice || rt.Kind() == reflect.Map {
			rt = rt.Elem()
		}
		if rt.Kind() != reflect.Struct || rt == reflect.TypeFor[time.Time]() || seen[rt] {
			return
		}
		seen[rt] = true
		for f := range rt.Fields() {
			if f.IsExported() {
				lines = append(lines, fmt.Sprintf("%s.%s %s", rt.Name(), f.Name, f.Type))
			}
		}
		for f := range rt.Fields() {
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Incident]())
	got := fmt.Sprintf("form %d\n%s\n", StateForm, strings.Join(lines, "\n"))
	path := filepath.Join("testdata", "state_form.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the fields of the state differ from %s. If a released version has the recorded form, increase StateForm. Then run the test with -update", path)
	}
}
