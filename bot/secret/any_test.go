package secret_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"tocsin/bot/secret"
)

// rotating are the secrets of a source in the midst of a rotation, and one
// setting that was left empty.
var rotating = []secret.String{secret.New("old"), {}, secret.New("new")}

func TestAny(t *testing.T) {
	for _, test := range []struct {
		name         string
		secrets      []secret.String
		candidate    string
		genuine, set bool
	}{
		{"the first", rotating, "old", true, true},
		{"the last", rotating, "new", true, true},
		{"another", rotating, "other", false, true},
		{"nothing, beside an empty setting", rotating, "", false, true},
		{"nothing is set", []secret.String{{}}, "", false, false},
		{"none", nil, "old", false, false},
	} {
		if genuine, set := secret.EqualAny(test.secrets, test.candidate); genuine != test.genuine || set != test.set {
			t.Errorf("%s: %v, %v", test.name, genuine, set)
		}
	}
}

func TestAnySigned(t *testing.T) {
	body := []byte(`{"a":1}`)
	sum := func(key string) []byte {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(body)
		return mac.Sum(nil)
	}
	for _, test := range []struct {
		name         string
		secrets      []secret.String
		sums         [][]byte
		genuine, set bool
	}{
		{"by the old one", rotating, [][]byte{sum("old")}, true, true},
		{"by the new one, among others", rotating, [][]byte{sum("other"), nil, sum("new")}, true, true},
		{"by another", rotating, [][]byte{sum("other")}, false, true},
		{"by the empty one", rotating, [][]byte{sum("")}, false, true},
		{"not at all", rotating, nil, false, true},
		{"nothing is set", []secret.String{{}}, [][]byte{sum("")}, false, false},
	} {
		if genuine, set := secret.VerifyAny(test.secrets, body, test.sums...); genuine != test.genuine || set != test.set {
			t.Errorf("%s: %v, %v", test.name, genuine, set)
		}
	}
	if genuine, _ := secret.VerifyAny(rotating, []byte(`{"a":2}`), sum("old")); genuine {
		t.Error("another body has the same signature")
	}
}
