package sns

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // version 1 of the signature is SHA-1; it is let in by a setting only
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
)

// The types of a message.
const (
	typeNotification = "Notification"
	typeSubscription = "SubscriptionConfirmation"
	typeUnsubscribed = "UnsubscribeConfirmation"
)

const (
	maxAge   = time.Hour        // of a message; SNS itself gives up by then
	maxAhead = 15 * time.Minute // of its clock before ours
)

// envelope is what SNS posts. Keys count as they are written: one that differs
// in case only is another key, so that nothing unsigned takes the place of
// something signed.
type envelope map[string]string

// parseEnvelope reads an envelope. Its values are texts; others (message attributes)
// are not signed and not used.
func parseEnvelope(body []byte) (envelope, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("the body is no JSON object")
	}
	env, seen := envelope{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("the body is not JSON: %w", err)
		}
		k, _ := t.(string)
		if seen[k] {
			return nil, fmt.Errorf("the key %q stands there twice", truncate(k))
		}
		seen[k] = true
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("the body is not JSON: %w", err)
		}
		var v string
		if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &v) == nil {
			env[k] = v
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	if dec.More() {
		return nil, errors.New("something follows after the JSON object")
	}
	return env, nil
}

func truncate(s string) string {
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// stringToSign is the text that Amazon signs: the keys in their order, each with its
// value, each line ended. A Subject counts only where there is one.
func (e envelope) stringToSign() (string, error) {
	keys := []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	if e["Type"] == typeNotification {
		keys = []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	}
	var b strings.Builder
	for _, k := range keys {
		v, ok := e[k]
		if !ok && k == "Subject" {
			continue
		}
		if !ok {
			return "", incident.Invalid(k, "the message has no %s", k)
		}
		b.WriteString(k + "\n" + v + "\n")
	}
	return b.String(), nil
}

// certURL is written in two ways.
func (e envelope) certURL() string {
	if u, ok := e["SigningCertURL"]; ok {
		return u
	}
	return e["SigningCertUrl"]
}

// errNoTopic is our own fault, not the sender's: the edge answers 5xx.
var errNoTopic = errors.New("sns: no topic is configured")

// Verify checks topic, age and signature, and confirms a subscription. The
// delivery's id is the message's: SNS keeps it when it delivers again.
func (s *Source) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	if strings.EqualFold(h.Get("X-Amz-Sns-Rawdelivery"), "true") {
		return "", incident.Forbidden("raw delivery carries no signature; switch raw message delivery off for this subscription")
	}
	env, err := parseEnvelope(body)
	if err != nil {
		return "", incident.Invalid("body", "this is no SNS message: %v", err)
	}
	if err := s.checkEnvelope(h, env, now); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), verifyTimeout)
	defer cancel()
	if err := s.verifySignature(ctx, env, now); err != nil {
		return "", err
	}
	if env["Type"] == typeSubscription {
		if err := s.confirmSubscription(ctx, env); err != nil {
			return "", err
		}
	}
	return env["MessageId"], nil
}

// checkEnvelope judges what needs no certificate.
func (s *Source) checkEnvelope(h http.Header, env envelope, now time.Time) error {
	switch env["Type"] {
	case typeNotification, typeSubscription, typeUnsubscribed:
	default:
		return incident.Invalid("Type", "%q is no type of SNS message", truncate(env["Type"]))
	}
	if got := h.Get("X-Amz-Sns-Message-Type"); got != env["Type"] {
		return incident.Invalid("Type", "the header x-amz-sns-message-type says %q, the body %q", truncate(got), env["Type"])
	}
	if env["MessageId"] == "" {
		return incident.Invalid("MessageId", "the message has no MessageId")
	}
	if len(s.topics) == 0 {
		return errNoTopic
	}
	if !s.topics[env["TopicArn"]] {
		return incident.Forbidden("the topic %q is not one of ours", truncate(env["TopicArn"]))
	}
	at, err := time.Parse(time.RFC3339Nano, env["Timestamp"])
	switch {
	case err != nil:
		return incident.Invalid("Timestamp", "the Timestamp is no instant of RFC 3339")
	case now.Sub(at) > maxAge:
		return incident.Forbidden("the message is older than an hour; it may be a recording")
	case at.Sub(now) > maxAhead:
		return incident.Forbidden("the message is from the future")
	}
	return nil
}

// verifySignature checks the signature with Amazon's certificate.
func (s *Source) verifySignature(ctx context.Context, env envelope, now time.Time) error {
	text, err := env.stringToSign()
	if err != nil {
		return err
	}
	var hash crypto.Hash
	var sum []byte
	switch v := env["SignatureVersion"]; {
	case v == "2":
		d := sha256.Sum256([]byte(text))
		hash, sum = crypto.SHA256, d[:]
	case v == "1" && s.allowV1:
		d := sha1.Sum([]byte(text)) //nolint:gosec // see the import
		hash, sum = crypto.SHA1, d[:]
	case v == "1":
		return incident.Forbidden("the signature is of version 1 (SHA-1), which is not allowed here; set SignatureVersion 2 on the topic")
	default:
		return incident.Forbidden("%q is no version of a signature that is known", truncate(v))
	}
	signature, err := base64.StdEncoding.DecodeString(env["Signature"])
	if err != nil || len(signature) == 0 {
		return incident.Forbidden("the signature is not base64")
	}
	where, err := parseCertificateURL(env.certURL())
	if err != nil {
		return incident.Forbidden("the certificate's address is refused: %v", err)
	}
	key, err := s.certs.publicKey(ctx, where, now)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(key, hash, sum, signature) != nil {
		return incident.Forbidden("the signature does not fit the message")
	}
	return nil
}

// confirmSubscription accepts the subscription of a topic that is ours by asking for the
// address in the signed message.
func (s *Source) confirmSubscription(ctx context.Context, env envelope) error {
	topic := env["TopicArn"]
	u, err := parseSNSURL(env["SubscribeURL"])
	if err == nil && (u.Query().Get("Action") != "ConfirmSubscription" || u.Query().Get("TopicArn") != topic) {
		err = errors.New("it does not confirm this topic")
	}
	if err != nil {
		return incident.Forbidden("the SubscribeURL is refused: %v", err)
	}
	err = s.certs.get(ctx, u, func([]byte) error { return nil })
	s.observer.Subscription(topic, err)
	if err != nil {
		s.log.Error("subscription not confirmed; SNS will ask again, or have it ask from the console", "topic", topic, "error", err)
		return fetchError("the confirmation", err)
	}
	s.log.Info("subscription confirmed", "topic", topic)
	return nil
}
