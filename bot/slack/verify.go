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

// maxRequestAge is how far a request's timestamp may be from our clock.
const maxRequestAge = 300 * time.Second

// The reasons to turn a request away. All of them are a 401.
var (
	errUnsigned  = errors.New("the request has no Slack signature")
	errStale     = errors.New("the request's timestamp is more than five minutes from now")
	errSignature = errors.New("the signature is not the signing secret's")
)

// verify checks that Slack sent this very body within the last five minutes.
// slack-go's verifier reads the wall clock and takes a signature without its
// version; this one does neither.
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
