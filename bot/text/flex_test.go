package text

import (
	"encoding/json"
	"testing"
)

func TestFlex_Values(t *testing.T) {
	for body, want := range map[string]Flex{`"a\u00e9"`: "aé", `12.50`: "12.50", `-1e9`: "-1e9", `true`: "true", `null`: "", `{"a":"b"}`: "", `["a"]`: "", `""`: ""} {
		got := struct{ V Flex }{"before"}
		if err := json.Unmarshal([]byte(`{"V":`+body+`}`), &got); err != nil || got.V != want {
			t.Errorf("%s: %q, %v", body, got.V, err)
		}
	}
}
