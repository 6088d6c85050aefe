package sns_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/incident"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/secret"
	"tocsin/bot/sns"
)

const (
	topic     = "arn:aws:sns:eu-west-1:111122223333:security"
	certURL   = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
	issuerURL = "http://crt.test1.amazontrust.com/test1.cer"
	confirm   = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=the-token"
)

var now = time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC)

// web is an http.RoundTripper that serves fixed pages by URL and records requests.
type web struct {
	mu       sync.Mutex
	pages    map[string]page
	requests []string // URLs
}

type page struct {
	status   int
	body     string
	location string
	err      error
	release  chan struct{} // if set, the response waits until release is closed
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.requests = append(w.requests, r.URL.String())
	p, ok := w.pages[r.URL.String()]
	w.mu.Unlock()
	if p.release != nil {
		select {
		case <-p.release:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if !ok {
		p.status = http.StatusNotFound
	}
	if p.err != nil {
		return nil, p.err
	}
	h := http.Header{}
	if p.location != "" {
		h.Set("Location", p.location)
	}
	return &http.Response{StatusCode: p.status, Status: http.StatusText(p.status), Header: h, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func (w *web) set(url string, p page) { w.mu.Lock(); w.pages[url] = p; w.mu.Unlock() }

func (w *web) count(url string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if r == url {
			n++
		}
	}
	return n
}

// authority is a certificate authority with a root, an issuer and a leaf.
type authority struct {
	roots                    *x509.CertPool
	issuer                   *x509.Certificate
	issuerKey, rootKey, leaf *rsa.PrivateKey
	leafPEM                  string
}

var theAuthority = sync.OnceValue(func() *authority {
	newKey := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return k
	}
	a := &authority{roots: x509.NewCertPool(), rootKey: newKey(), issuerKey: newKey(), leaf: newKey()}
	ca := func(cn string, parent *x509.Certificate, key, by *rsa.PrivateKey) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0), KeyUsage: x509.KeyUsageCertSign}
		if parent == nil {
			parent = c
		}
		return signCertificate(c, parent, key, by)
	}
	root := ca("root", nil, a.rootKey, a.rootKey)
	a.roots.AddCert(root)
	a.issuer = ca("issuer", root, a.issuerKey, a.rootKey)
	a.leafPEM = a.issue(func(*x509.Certificate) {})
	return a
})

// signCertificate returns c, with the given key and signed by a parent.
func signCertificate(c, parent *x509.Certificate, key, by *rsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		panic(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return out
}

// issue returns the PEM of a valid leaf after a change.
func (a *authority) issue(change func(*x509.Certificate)) string {
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
		NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IssuingCertificateURL: []string{issuerURL}}
	change(c)
	return encode(signCertificate(c, a.issuer, a.leaf, a.issuerKey))
}

func encode(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// recorder is an Observer that records errors.
type recorder struct {
	mu                          sync.Mutex
	certificates, subscriptions []error
}

func (w *recorder) Certificate(err error) {
	w.mu.Lock()
	w.certificates = append(w.certificates, err)
	w.mu.Unlock()
}
func (w *recorder) Subscription(_ string, err error) {
	w.mu.Lock()
	w.subscriptions = append(w.subscriptions, err)
	w.mu.Unlock()
}

type fixture struct {
	*sns.Source
	web      *web
	observed *recorder
}

func newSource(t testing.TB, change func(*sns.Config)) fixture {
	t.Helper()
	a := theAuthority()
	f := fixture{web: &web{pages: map[string]page{
		certURL:   {status: 200, body: a.leafPEM},
		issuerURL: {status: 200, body: string(a.issuer.Raw)},
		confirm:   {status: 200, body: "<ConfirmSubscriptionResponse/>"},
	}}, observed: &recorder{}}
	c := sns.Config{Topics: []string{topic}}
	d := sns.Deps{Decoder: cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}}, nil), Observer: f.observed}
	if change != nil {
		change(&c)
	}
	var err error
	if f.Source, err = sns.NewWith(c, d, &http.Client{Transport: f.web}, a.roots); err != nil {
		t.Fatal(err)
	}
	return f
}

// notice returns an unsigned message of a type.
func notice(kind string) map[string]string {
	m := map[string]string{"Type": kind, "MessageId": "m-1", "TopicArn": topic, "Message": "{}", "Timestamp": now.Add(-time.Second).Format("2006-01-02T15:04:05.000Z"),
		"SignatureVersion": "2", "SigningCertURL": certURL}
	if kind != "Notification" {
		m["Token"], m["SubscribeURL"] = "the-token", confirm
	}
	return m
}

// sign adds a signature to m and returns the encoded message.
func sign(t testing.TB, m map[string]string) []byte {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sns.StringToSign(body)
	if err != nil {
		text = "" // the test removed a signed key
	}
	var sig []byte
	if m["SignatureVersion"] == "1" {
		sum := sha1.Sum([]byte(text))
		sig, err = rsa.SignPKCS1v15(nil, theAuthority().leaf, crypto.SHA1, sum[:])
	} else {
		sum := sha256.Sum256([]byte(text))
		sig, err = rsa.SignPKCS1v15(nil, theAuthority().leaf, crypto.SHA256, sum[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	m["Signature"] = base64.StdEncoding.EncodeToString(sig)
	body, err = json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func header(kind string) http.Header {
	h := http.Header{}
	h.Set("x-amz-sns-message-type", kind)
	return h
}

// The expected strings are written by hand from Amazon's documentation.
func TestStringToSign(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"notification", `{"Type":"Notification","MessageId":"i","TopicArn":"a","Message":"m\nn","Timestamp":"t","Token":"x","SubscribeURL":"y"}`,
			"Message\nm\nn\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"},
		{"with a subject", `{"Subject":"s","Type":"Notification","MessageId":"i","TopicArn":"a","Message":"m","Timestamp":"t"}`,
			"Message\nm\nMessageId\ni\nSubject\ns\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"},
		{"subject is null", `{"Subject":null,"Type":"Notification","MessageId":"i","TopicArn":"a","Message":"m","Timestamp":"t"}`,
			"Message\nm\nMessageId\ni\nTimestamp\nt\nTopicArn\na\nType\nNotification\n"},
		{"subscription", `{"Type":"SubscriptionConfirmation","MessageId":"i","TopicArn":"a","Message":"m","Timestamp":"t","Token":"k","SubscribeURL":"u","Subject":"s"}`,
			"Message\nm\nMessageId\ni\nSubscribeURL\nu\nTimestamp\nt\nToken\nk\nTopicArn\na\nType\nSubscriptionConfirmation\n"},
		{"unsubscription", `{"Type":"UnsubscribeConfirmation","MessageId":"i","TopicArn":"a","Message":"m","Timestamp":"t","Token":"k","SubscribeURL":"u"}`,
			"Message\nm\nMessageId\ni\nSubscribeURL\nu\nTimestamp\nt\nToken\nk\nTopicArn\na\nType\nUnsubscribeConfirmation\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := sns.StringToSign([]byte(tt.body)); err != nil || got != tt.want {
				t.Errorf("got %q, error %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestVerify_MessagesSignedElsewhere verifies messages that another
// implementation signed, on a day when the certificate is good.
func TestVerify_MessagesSignedElsewhere(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/signed/certificate.pem", "testdata/signed/notification-*.json"}, []string{"aws-sns/*.pem", "aws-sns/notification-*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		certificate, messages := payloads[0].Body, payloads[1:]
		if len(messages) != 4 {
			t.Fatalf("got %d messages, want 4", len(messages))
		}
		for _, p := range messages {
			s, m, at := signedElsewhere(t, certificate, p.Body)
			id, err := s.Verify(t.Context(), header("Notification"), p.Body, at.Add(time.Second))
			if err != nil || id != m["MessageId"] {
				t.Errorf("%s: got id %q, %v, want %q", p.Name, id, err, m["MessageId"])
			}
			for _, field := range []string{"Message", "Subject"} {
				text, ok := m[field]
				if !ok {
					continue
				}
				m[field] = text + "."
				changed, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				m[field] = text
				if _, err := s.Verify(t.Context(), header("Notification"), changed, at); incident.CodeOf(err) != incident.CodeForbidden {
					t.Errorf("%s, %s changed: got %v, want forbidden", p.Name, field, err)
				}
			}
		}
	})
}

// TestVerify_SignedWhileCertificateIsNotValid verifies messages that were signed
// with the same key before the certificate begins and after it ends.
func TestVerify_SignedWhileCertificateIsNotValid(t *testing.T) {
	certificate := intaketest.Fixtures(t, "testdata/signed/certificate.pem")[0].Body
	for _, p := range intaketest.Fixtures(t, "testdata/signed/early-*.json", "testdata/signed/late-*.json") {
		s, _, at := signedElsewhere(t, certificate, p.Body)
		if _, err := s.Verify(t.Context(), header("Notification"), p.Body, at.Add(time.Second)); incident.CodeOf(err) != incident.CodeForbidden || !strings.Contains(err.Error(), "expired or is not yet valid") {
			t.Errorf("%s: got %v, want forbidden because of the date", p.Name, err)
		}
	}
}

// signedElsewhere returns a source that trusts certificate and serves it, the
// fields of a message, and the time when the message was signed.
func signedElsewhere(t *testing.T, certificate, message []byte) (*sns.Source, map[string]string, time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) { // the issuer is not available
		t.Fatal("got no certificate, want one")
	}
	var m map[string]string
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, m["Timestamp"])
	if err != nil {
		t.Fatal(err)
	}
	w := &web{pages: map[string]page{m["SigningCertURL"]: {status: 200, body: string(certificate)}}}
	s, err := sns.NewWith(sns.Config{Topics: []string{m["TopicArn"]}, AllowV1: true}, sns.Deps{Decoder: cloudtrail.New(cloudtrail.Config{}, nil)}, &http.Client{Transport: w}, roots)
	if err != nil {
		t.Fatal(err)
	}
	return s, m, at
}

func TestVerify_CachesCertificate(t *testing.T) {
	s := newSource(t, nil)
	body := sign(t, notice("Notification"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if id, err := s.Verify(t.Context(), header("Notification"), body, now); err != nil || id != "m-1" {
				t.Errorf("got ID %q, error %v, want m-1", id, err)
			}
		})
	}
	all.Wait()
	if s.web.count(certURL) != 1 || s.web.count(issuerURL) != 1 || len(s.observed.certificates) != 1 || s.observed.certificates[0] != nil {
		t.Errorf("got requests %v and observed errors %v", s.web.requests, s.observed.certificates)
	}
	later := now.AddDate(0, 2, 0) // the cached certificate has expired
	m := notice("Notification")
	m["Timestamp"] = later.Format(time.RFC3339)
	if _, err := s.Verify(t.Context(), header("Notification"), sign(t, m), later); incident.CodeOf(err) != incident.CodeForbidden || !strings.Contains(err.Error(), "expired") {
		t.Errorf("got error %v, want an expired certificate", err)
	}
}

func TestVerify_OutageIsTemporary(t *testing.T) {
	for name, p := range map[string]page{"network": {err: errors.New("no route")}, "server error": {status: 503}, "throttled": {status: 429}} {
		for _, at := range []string{certURL, issuerURL} {
			s := newSource(t, nil)
			good := s.web.pages[at]
			s.web.set(at, p)
			body := sign(t, notice("Notification"))
			if _, err := s.Verify(t.Context(), header("Notification"), body, now); err == nil || incident.CodeOf(err) != "" {
				t.Errorf("%s of %s: got error %v, want a temporary one", name, at, err)
			}
			s.web.set(at, good)
			if _, err := s.Verify(t.Context(), header("Notification"), body, now); err != nil {
				t.Errorf("%s of %s: got error %v after the outage, want none", name, at, err)
			}
		}
	}
	s := newSource(t, func(c *sns.Config) { c.Topics = nil })
	if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); err == nil || incident.CodeOf(err) != "" {
		t.Errorf("no topics: got error %v, want a temporary one", err)
	}
}

func TestVerify_FloodOfCertificateURLs(t *testing.T) {
	s := newSource(t, nil)
	if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); err != nil {
		t.Fatal(err)
	}
	for n := range 500 {
		m := notice("Notification")
		m["SigningCertURL"] = "https://sns.eu-west-1.amazonaws.com/" + strings.Repeat("x", n+1) + ".pem"
		if _, err := s.Verify(t.Context(), header("Notification"), sign(t, m), now); err == nil {
			t.Fatal("got no error for an unknown certificate")
		}
	}
	if n := len(s.web.requests); n > 50 {
		t.Errorf("got %d requests to Amazon, want at most 50", n)
	}
	if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); err != nil {
		t.Errorf("got error %v for the cached certificate, want none", err)
	}
}

// A stranger who makes up certificate URLs must not prevent the fetch for a genuine
// sender.
func TestVerifyFrom_FloodDoesNotDelayGenuineSender(t *testing.T) {
	s := newSource(t, nil)
	stranger, genuine := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("192.0.2.1")
	for n := range 100 {
		m := notice("Notification")
		m["SigningCertURL"] = "https://sns.eu-west-3.amazonaws.com/" + strings.Repeat("x", n+1) + ".pem"
		if _, err := s.VerifyFrom(t.Context(), stranger, header("Notification"), sign(t, m), now); err == nil {
			t.Fatal("got no error for a made-up certificate URL")
		}
	}
	if n := len(s.web.requests); n > 20 {
		t.Errorf("got %d requests for one stranger, want at most 20", n)
	}
	if _, err := s.VerifyFrom(t.Context(), genuine, header("Notification"), sign(t, notice("Notification")), now); err != nil {
		t.Errorf("got error %v for the genuine sender, want none", err)
	}
}

// The sender whose message starts a fetch can hang up while others wait for it.
func TestVerify_SenderHangsUpDuringSharedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, nil)
		release := make(chan struct{})
		s.web.set(certURL, page{status: 200, body: theAuthority().leafPEM, release: release})
		body := sign(t, notice("Notification"))
		verify := func() (result chan error, hangUp context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			result = make(chan error, 1)
			go func() {
				_, err := s.Verify(ctx, header("Notification"), body, now)
				result <- err
			}()
			synctest.Wait()
			return result, cancel
		}
		first, hangUpFirst := verify()
		second, hangUpSecond := verify()
		third, hangUpThird := verify()
		defer hangUpThird()
		hangUpFirst()
		hangUpSecond()
		synctest.Wait()
		select {
		case err := <-second:
			if !errors.Is(err, context.Canceled) || incident.CodeOf(err) != "" {
				t.Errorf("got error %v for a sender that hung up while it waited, want %v", err, context.Canceled)
			}
		default:
			t.Error("a sender that hung up still waits for the fetch of another")
		}
		close(release)
		if err := <-third; err != nil {
			t.Errorf("got error %v for a sender that waited, want none", err)
		}
		if err := <-first; err != nil {
			t.Errorf("got error %v for the fetch itself, want none", err)
		}
		if n := s.web.count(certURL); n != 1 {
			t.Errorf("got %d requests for the certificate, want 1", n)
		}
	})
}

func TestVerify_BoundsHangingAmazon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, nil)
		s.web.set(certURL, page{release: make(chan struct{})})
		if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); !errors.Is(err, context.DeadlineExceeded) || incident.CodeOf(err) != "" {
			t.Errorf("got error %v, want a temporary one", err)
		}
	})
}

// A sender that is gone must not confirm a subscription.
func TestVerify_SenderHangsUpBeforeConfirmation(t *testing.T) {
	s := newSource(t, nil)
	s.web.set(confirm, page{status: 200, release: make(chan struct{})})
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	if _, err := s.Verify(ctx, header("SubscriptionConfirmation"), sign(t, notice("SubscriptionConfirmation")), now); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestVerify_ConfirmsSubscription(t *testing.T) {
	s := newSource(t, nil)
	body := sign(t, notice("SubscriptionConfirmation"))
	if id, err := s.Verify(t.Context(), header("SubscriptionConfirmation"), body, now); err != nil || id != "m-1" {
		t.Fatalf("got ID %q, error %v, want m-1", id, err)
	}
	if s.web.count(confirm) != 1 || len(s.observed.subscriptions) != 1 || s.observed.subscriptions[0] != nil {
		t.Errorf("got requests %v and observed errors %v", s.web.requests, s.observed.subscriptions)
	}
	if got, err := s.Decode(nil, body); err != nil || len(got) != 0 {
		t.Errorf("got signals %v, error %v, want none", got, err)
	}
	for name, p := range map[string]page{"outage": {status: 500}, "network": {err: errors.New("no route")}} {
		s := newSource(t, nil)
		s.web.set(confirm, p)
		_, err := s.Verify(t.Context(), header("SubscriptionConfirmation"), body, now)
		if err == nil || incident.CodeOf(err) != "" || strings.Contains(err.Error(), "the-token") {
			t.Errorf("%s: got error %v, want a temporary one without the token", name, err)
		}
		if len(s.observed.subscriptions) != 1 || s.observed.subscriptions[0] == nil {
			t.Errorf("%s: got observed errors %v, want one", name, s.observed.subscriptions)
		}
	}
}

func TestNew_RejectsInvalidTopics(t *testing.T) {
	for _, bad := range []string{"", "security", "arn:aws:sqs:eu-west-1:111122223333:q", topic + "\n", "arn:aws:sns:eu-west-1:111122223333:*"} {
		if _, err := sns.New(sns.Config{Topics: []string{bad}}, sns.Deps{Decoder: cloudtrail.New(cloudtrail.Config{}, nil)}); incident.CodeOf(err) != incident.CodeInvalid {
			t.Errorf("%q: got error %v, want code %s", bad, err, incident.CodeInvalid)
		}
	}
	if _, err := sns.New(sns.Config{Topics: []string{topic, "arn:aws-cn:sns:cn-north-1:111122223333:a.fifo"}}, sns.Deps{Decoder: cloudtrail.New(cloudtrail.Config{}, nil)}); err != nil {
		t.Error(err)
	}
}
