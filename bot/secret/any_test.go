package secret_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"tocsin/bot/secret"
)

// duringRotation are the secrets of a source during a rotation, with one empty
// setting.
var duringRotation = []secret.String{secret.New("old"), {}, secret.New("new")}

func TestEqualAny(t *testing.T) {
	for _, test := range []struct {
		name         string
		secrets      []secret.String
		candidate    string
		genuine, set bool
	}{
		{"first secret", duringRotation, "old", true, true},
		{"last secret", duringRotation, "new", true, true},
		{"wrong secret", duringRotation, "other", false, true},
		{"empty candidate and an empty setting", duringRotation, "", false, true},
		{"all secrets empty", []secret.String{{}}, "", false, false},
		{"no secrets", nil, "old", false, false},
	} {
		if genuine, set := secret.EqualAny(test.secrets, test.candidate); genuine != test.genuine || set != test.set {
			t.Errorf("%s: got %v, %v, want %v, %v", test.name, genuine, set, test.genuine, test.set)
		}
	}
}

func TestVerifyAny(t *testing.T) {
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
		{"old secret", duringRotation, [][]byte{sum("old")}, true, true},
		{"new secret among other sums", duringRotation, [][]byte{sum("other"), nil, sum("new")}, true, true},
		{"wrong secret", duringRotation, [][]byte{sum("other")}, false, true},
		{"empty secret", duringRotation, [][]byte{sum("")}, false, true},
		{"unsigned", duringRotation, nil, false, true},
		{"all secrets empty", []secret.String{{}}, [][]byte{sum("")}, false, false},
	} {
		if genuine, set := secret.VerifyAny(test.secrets, body, test.sums...); genuine != test.genuine || set != test.set {
			t.Errorf("%s: got %v, %v, want %v, %v", test.name, genuine, set, test.genuine, test.set)
		}
	}
	if genuine, _ := secret.VerifyAny(duringRotation, []byte(`{"a":2}`), sum("old")); genuine {
		t.Error("the signature of another body was accepted")
	}
}
