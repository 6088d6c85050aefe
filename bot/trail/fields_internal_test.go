package trail

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/detect"
)

// FuzzFields checks that the fields of an element are those that encoding/json reads,
// for every text that both decode.
func FuzzFields(f *testing.F) {
	for _, s := range []string{
		`{"eventSource":"s","EVENTNAME":"n","eventID":7,"recipientAccountId":null,"Records":null}`, `{"digestS3Object":"d","records":[1]}`,
		`{"id":"f","type":{},"severity":8.0,"service":{"count":2},"Service":{"COUNT":"3"},"updatedAt":true}`, `{"service":7,"id":"\u0041\/"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		item := new(detect.Record).DecodeItem(body)
		if item.Record == nil {
			return
		}
		got, err := readFields(&item)
		if err != nil {
			t.Fatal(err)
		}
		var want fields
		var mismatch *json.UnmarshalTypeError
		if err := json.Unmarshal(body, &want); err != nil && !errors.As(err, &mismatch) {
			t.Fatalf("%q: %v", body, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", body, d)
		}
	})
}
