package sns

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // signature version 1 is SHA-1, accepted only with Config.AllowV1
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
)

// Types of a message.
const (
	typeNotification = "Notification"
	typeSubscription = "SubscriptionConfirmation"
	typeUnsubscribed = "UnsubscribeConfirmation"
)

const (
	maxAge   = time.Hour        // maximum age of a message (SNS retries for less time)
	maxAhead = 15 * time.Minute // maximum clock difference of a message in the future
)

// envelope holds the string members of a message. Keys are case sensitive,
// because an unsigned key must not replace a signed one that differs only in case.
type envelope map[string]string

// maxMembers is the maximum number of members of a message. Those of SNS have a dozen.
// Anyone can send an unsigned message, so it must be cheap to parse.
const maxMembers = 64

var errNotJSON = errors.New("the body is not JSON")

// parseEnvelope parses a message. It ignores members that are not strings, such as
// message attributes, because they are not signed.
func parseEnvelope(body []byte) (envelope, error) {
	body = text.UTF8(body)
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("the body is not a JSON object")
	}
	env, seen := envelope{}, map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errNotJSON
		}
		k, _ := t.(string)
		if len(seen) == maxMembers {
			return nil, fmt.Errorf("the message has more than %d members", maxMembers)
		}
		if seen[k] {
			return nil, fmt.Errorf("the key %q is repeated", text.Truncate(k, maxQuote))
		}
		seen[k] = true
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, errNotJSON
		}
		var v string
		if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &v) == nil {
			env[k] = v
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotJSON
	}
	if dec.More() {
		return nil, errors.New("data follows the JSON object")
	}
	return env, nil
}

// maxQuote is the maximum length of a quotation in an error.
const maxQuote = 100

// stringToSign returns the text that Amazon signs: keys in alphabetical order, each
// followed by its value, each on a line. Subject is included only if it is present.
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
			return "", incident.Invalid(k, "the message has no %s. Forward messages as SNS sent them", k)
		}
		b.WriteString(k + "\n" + v + "\n")
	}
	return b.String(), nil
}

// certURL returns the URL of the signing certificate, whose key has two spellings.
func (e envelope) certURL() string {
	if u, ok := e["SigningCertURL"]; ok {
		return u
	}
	return e["SigningCertUrl"]
}

// errNoTopic is not an *incident.Error, because it is not the sender's mistake.
// The edge answers 503.
var errNoTopic = errors.New("sns: no topic is configured")

// Verify checks the topic, age and signature of a message, and confirms a
// subscription. It returns the message's ID, which SNS repeats in a retry. It can
// block for up to verifyTimeout while it calls Amazon, even if ctx ends before.
func (s *Source) Verify(ctx context.Context, h http.Header, body []byte, now time.Time) (string, error) {
	return s.VerifyFrom(ctx, netip.Addr{}, h, body, now)
}

// VerifyFrom is Verify for a message from an address. It limits the certificates
// that an address can make it fetch.
func (s *Source) VerifyFrom(ctx context.Context, from netip.Addr, h http.Header, body []byte, now time.Time) (string, error) {
	if strings.EqualFold(h.Get("X-Amz-Sns-Rawdelivery"), "true") {
		return "", incident.Forbidden("raw message delivery has no signature. Disable it for this subscription")
	}
	env, err := parseEnvelope(body)
	if err != nil {
		return "", incident.Invalid("body", "the body is not a message of SNS: %v. Forward messages as SNS sent them", err)
	}
	if err := s.checkEnvelope(h, env, now); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, senderKey{}, from), verifyTimeout)
	defer cancel()
	if err := s.verifySignature(ctx, env, now); err != nil {
		return "", err
	}
	// The signature covers fields and not the body. Anyone could add to a genuine message.
	if err := intake.CheckJSON(body); err != nil {
		return "", incident.Invalid("body", "the body is not a message of SNS: %v", err)
	}
	if env["Type"] == typeSubscription {
		if err := s.confirmSubscription(ctx, env); err != nil {
			return "", err
		}
	}
	return env["MessageId"], nil
}

// checkEnvelope runs the checks that do not need the certificate.
func (s *Source) checkEnvelope(h http.Header, env envelope, now time.Time) error {
	switch env["Type"] {
	case typeNotification, typeSubscription, typeUnsubscribed:
	default:
		return incident.Invalid("Type", "unknown message type %q; SNS sends Notification, SubscriptionConfirmation or UnsubscribeConfirmation", text.Truncate(env["Type"], maxQuote))
	}
	if got := h.Get("X-Amz-Sns-Message-Type"); got != env["Type"] {
		return incident.Invalid("Type", "the header x-amz-sns-message-type is %q, but the body has type %q. Forward the header as SNS sent it", text.Truncate(got, maxQuote), env["Type"])
	}
	if env["MessageId"] == "" {
		return incident.Invalid("MessageId", "the message has no MessageId. Forward messages as SNS sent them")
	}
	if len(s.topics) == 0 {
		return errNoTopic
	}
	if !s.topics[env["TopicArn"]] {
		return incident.Forbidden("the topic %q is not allowed. Add it to sources.sns.topics", text.Truncate(env["TopicArn"], maxQuote))
	}
	at, err := time.Parse(time.RFC3339Nano, env["Timestamp"])
	switch {
	case err != nil:
		return incident.Invalid("Timestamp", "the Timestamp is not in the form of RFC 3339. Forward messages as SNS sent them")
	case now.Sub(at) > maxAge:
		return incident.Forbidden("the message is older than an hour. Do not replay messages, and check the clock of this server")
	case at.Sub(now) > maxAhead:
		return incident.Forbidden("the message has a time in the future. Check the clock of this server")
	}
	return nil
}

// verifySignature checks the signature of a message with Amazon's certificate.
func (s *Source) verifySignature(ctx context.Context, env envelope, now time.Time) error {
	message, err := env.stringToSign()
	if err != nil {
		return err
	}
	var hash crypto.Hash
	var sum []byte
	switch v := env["SignatureVersion"]; {
	case v == "2":
		d := sha256.Sum256([]byte(message))
		hash, sum = crypto.SHA256, d[:]
	case v == "1" && s.allowV1:
		d := sha1.Sum([]byte(message)) //nolint:gosec // see the import
		hash, sum = crypto.SHA1, d[:]
	case v == "1":
		return incident.Forbidden("signature version 1 (SHA-1) is not allowed. Set SignatureVersion to 2 on the topic")
	default:
		return incident.Forbidden("unknown signature version %q. Set SignatureVersion to 2 on the topic", text.Truncate(v, maxQuote))
	}
	signature, err := base64.StdEncoding.DecodeString(env["Signature"])
	if err != nil || len(signature) == 0 {
		return incident.Forbidden("the signature is not base64. Forward messages as SNS sent them")
	}
	u, err := parseCertificateURL(env.certURL())
	if err != nil {
		return incident.Forbidden("the SigningCertURL is not allowed: %v. Forward messages as SNS sent them", err)
	}
	key, err := s.certs.publicKey(ctx, u, now)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(key, hash, sum, signature) != nil {
		return incident.Forbidden("the signature does not match the message. Forward messages as SNS sent them")
	}
	return nil
}

// confirmSubscription confirms the subscription of an allowed topic. It requests
// the SubscribeURL of the signed message, which must name that topic.
func (s *Source) confirmSubscription(ctx context.Context, env envelope) error {
	topic := env["TopicArn"]
	u, err := parseSNSURL(env["SubscribeURL"])
	if err == nil && (u.Query().Get("Action") != "ConfirmSubscription" || u.Query().Get("TopicArn") != topic) {
		err = errors.New("the URL does not confirm this topic")
	}
	if err != nil {
		return incident.Forbidden("the SubscribeURL is not allowed: %v. Forward messages as SNS sent them", err)
	}
	err = s.certs.get(ctx, u, func([]byte) error { return nil })
	s.observer.Subscription(topic, err)
	if err != nil {
		s.log.Error("confirm subscription failed", "topic", topic, "err", err)
		return fetchError("confirmation", err)
	}
	s.log.Info("subscription confirmed", "topic", topic)
	return nil
}
