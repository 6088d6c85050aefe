package response

import (
	"context"
	"testing"
)

func TestNotify_OncePerKey(t *testing.T) {
	fx := newFixture(t, nil)
	for range 2 {
		if err := fx.Notify(context.Background(), "security.txt/2027-06-01/30", map[string]string{"about": "security_txt"}); err != nil {
			t.Fatal(err)
		}
	}
	fx.runQueue(t)
	if countOf(fx.calls, "notice") != 1 || countOf(fx.calls, "mail_notice") != 1 {
		t.Errorf("got calls %v, want one notice and one mail", fx.calls)
	}
}
