package secret

import (
	"crypto/hmac"
	"crypto/sha256"
)

// EqualAny reports whether candidate equals one of the secrets, and whether any
// secret is set. If none is set, the configuration is at fault and not the
// candidate. It compares with every secret, because stopping at a match would
// reveal through the time which secret matched.
func EqualAny(secrets []String, candidate string) (genuine, set bool) {
	for _, s := range secrets {
		set = set || !s.IsZero()
		if s.Equal(candidate) {
			genuine = true
		}
	}
	return genuine, set
}

// Sign returns the HMAC-SHA256 of body under the secret.
func (s String) Sign(body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s.Reveal()))
	mac.Write(body)
	return mac.Sum(nil)
}

// VerifyAny reports whether one of the sums is the HMAC-SHA256 of body under
// one of the secrets, and whether any secret is set. It tries every pair.
func VerifyAny(secrets []String, body []byte, sums ...[]byte) (genuine, set bool) {
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		set = true
		want := s.Sign(body)
		for _, sum := range sums {
			if hmac.Equal(want, sum) {
				genuine = true
			}
		}
	}
	return genuine, set
}
