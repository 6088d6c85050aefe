package response

import (
	"context"
	"testing"
)

func TestWhatIsToldHasOneKey(t *testing.T) {
	w := newWorld(t, nil)
	for range 2 {
		if err := w.Notify(context.Background(), "security.txt/2027-06-01/30", map[string]string{"about": "security_txt"}); err != nil {
			t.Fatal(err)
		}
	}
	w.settle(t)
	if count(w.calls, "notice") != 1 || count(w.calls, "mail_notice") != 1 {
		t.Errorf("told %v", w.calls)
	}
}
