package slack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"tocsin/bot/secret"
)

// maxRequestAge is the maximum difference between the timestamp of a request
// and the local clock.
const maxRequestAge = 300 * time.Second

// The errors of verify. The response to each is 401.
var (
	errUnsigned  = errors.New("the request has no Slack signature")
	errStale     = errors.New("the request timestamp differs from the server clock by more than five minutes")
	errSignature = errors.New("the signature does not match the signing secret")
)

// verify checks that Slack signed body within the last five minutes. Unlike
// the verifier of slack-go, verify takes the current time as an argument and
// requires the version prefix "v0=".
func verify(header http.Header, body []byte, signing secret.String, now time.Time) error {
	stamp, signature := header.Get("X-Slack-Request-Timestamp"), header.Get("X-Slack-Signature")
	if stamp == "" || signature == "" || signing.IsZero() {
		return errUnsigned
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errUnsigned
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > maxRequestAge || age < -maxRequestAge {
		return errStale
	}
	mac := hmac.New(sha256.New, []byte(signing.Reveal()))
	mac.Write([]byte("v0:" + stamp + ":"))
	mac.Write(body)
	want := "v0=" + hex.EncodeToString(mac.Sum(nil))
	if !hmac.Equal([]byte(want), []byte(signature)) {
		return errSignature
	}
	return nil
}
