package sns_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sns"
)

// Each case changes one property of a message that would be accepted.
func TestVerify_RejectsForgedMessages(t *testing.T) {
	type message = map[string]string
	set := func(k, v string) func(message) { return func(m message) { m[k] = v } }
	drop := func(k string) func(message) { return func(m message) { delete(m, k) } }
	tests := []struct {
		name   string
		kind   string
		before func(message)       // change before the signature
		after  func(message)       // change after the signature
		raw    func([]byte) []byte // change of the encoded body
		head   func(http.Header)
		code   incident.Code // expected code, default CodeForbidden
		config func(c *sns.Config)
	}{
		{name: "message changed", after: set("Message", "{ }")},
		{name: "subject added", after: set("Subject", "x")},
		{name: "subject removed", before: set("Subject", "x"), after: drop("Subject")},
		{name: "id changed", after: set("MessageId", "m-2")},
		{name: "time changed", after: set("Timestamp", now.Format(time.RFC3339))},
		{name: "wrong signature", after: set("Signature", "AAAA")},
		{name: "signature empty", after: set("Signature", "")},
		{name: "signature not base64", after: set("Signature", "%")},
		{name: "signature removed", after: drop("Signature")},
		{name: "version 1 not allowed", before: set("SignatureVersion", "1")},
		{name: "version unknown", before: set("SignatureVersion", "3")},
		{name: "version missing", before: drop("SignatureVersion")},
		{name: "version 2 with SHA-1 signature", before: set("SignatureVersion", "1"), after: set("SignatureVersion", "2")},
		{name: "version 1 with SHA-256 signature", after: set("SignatureVersion", "1"), config: func(c *sns.Config) { c.AllowV1 = true }},
		{name: "topic of another account", before: set("TopicArn", "arn:aws:sns:eu-west-1:999999999999:security")},
		{name: "topic of another region", before: set("TopicArn", strings.Replace(topic, "west", "east", 1))},
		{name: "topic in upper case", before: set("TopicArn", strings.ToUpper(topic))},
		{name: "topic missing", before: drop("TopicArn")},
		{name: "older than an hour", before: set("Timestamp", now.Add(-time.Hour-time.Second).Format(time.RFC3339))},
		{name: "in the future", before: set("Timestamp", now.Add(time.Hour).Format(time.RFC3339))},
		{name: "invalid timestamp", before: set("Timestamp", "yesterday"), code: incident.CodeInvalid},
		{name: "empty id", before: set("MessageId", ""), code: incident.CodeInvalid},
		{name: "unknown type", before: set("Type", "Notice"), head: func(h http.Header) { h.Set("x-amz-sns-message-type", "Notice") }, code: incident.CodeInvalid},
		{name: "header missing", head: func(h http.Header) { h.Del("x-amz-sns-message-type") }, code: incident.CodeInvalid},
		{name: "header with another type", head: func(h http.Header) { h.Set("x-amz-sns-message-type", "SubscriptionConfirmation") }, code: incident.CodeInvalid},
		{name: "raw delivery", head: func(h http.Header) { h.Set("x-amz-sns-rawdelivery", "true") }},
		{name: "repeated key", raw: func(b []byte) []byte { return append(b[:len(b)-1], []byte(`,"Message":"{}"}`)...) }, code: incident.CodeInvalid},
		{name: "repeated key, escaped", raw: func(b []byte) []byte { return append(b[:len(b)-1], []byte(`,"\u004dessage":"x"}`)...) }, code: incident.CodeInvalid},
		{name: "trailing data", raw: func(b []byte) []byte { return append(b, []byte(`{}`)...) }, code: incident.CodeInvalid},
		{name: "trailing bracket", raw: func(b []byte) []byte { return append(b, '}') }, code: incident.CodeInvalid},
		{name: "unsigned member with a repeated key", raw: func(b []byte) []byte { return append(b[:len(b)-1], []byte(`,"x":{"a":1,"a":2}}`)...) }, code: incident.CodeInvalid},
		{name: "unsigned member nested too deep", raw: func(b []byte) []byte {
			return append(b[:len(b)-1], []byte(`,"x":`+strings.Repeat("[", 300)+strings.Repeat("]", 300)+`}`)...)
		}, code: incident.CodeInvalid},
		{name: "not an object", raw: func([]byte) []byte { return []byte(`["Notification"]`) }, code: incident.CodeInvalid},
		{name: "invalid UTF-8", raw: func(b []byte) []byte { return bytes.Replace(b, []byte("m-1"), []byte("m\xff1"), 1) }, code: incident.CodeInvalid},
		{name: "truncated", raw: func(b []byte) []byte { return b[:len(b)-2] }, code: incident.CodeInvalid},
		{name: "deep nesting", raw: func([]byte) []byte { return []byte(`{"a":` + strings.Repeat("[", 100000)) }, code: incident.CodeInvalid},
		{name: "confirmation of a topic of another account", kind: "SubscriptionConfirmation", before: set("TopicArn", "arn:aws:sns:eu-west-1:999999999999:security")},
		{name: "confirmation with a changed token", kind: "SubscriptionConfirmation", after: set("Token", "other")},
		{name: "confirmation on another host", kind: "SubscriptionConfirmation", before: set("SubscribeURL", "https://evil.example/?Action=ConfirmSubscription&TopicArn="+topic)},
		{name: "confirmation over http", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "https", "http", 1))},
		{name: "confirmation of another topic", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "111122223333", "999999999999", 1))},
		{name: "confirmation with another action", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "ConfirmSubscription", "Unsubscribe", 1))},
		{name: "confirmation without URL", kind: "SubscriptionConfirmation", before: drop("SubscribeURL"), code: incident.CodeInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSource(t, tt.config)
			kind := tt.kind
			if kind == "" {
				kind = "Notification"
			}
			m := notice(kind)
			if tt.before != nil {
				tt.before(m)
			}
			body := sign(t, m)
			if tt.after != nil {
				tt.after(m)
				body = marshal(t, m)
			}
			if tt.raw != nil {
				body = tt.raw(body)
			}
			h := header(kind)
			if tt.head != nil {
				tt.head(h)
			}
			code := tt.code
			if code == "" {
				code = incident.CodeForbidden
			}
			if id, err := s.Verify(t.Context(), h, body, now); incident.CodeOf(err) != code || id != "" {
				t.Errorf("got ID %q, error %v, want code %s", id, err, code)
			}
			for _, url := range s.web.requests {
				if url != certURL && url != issuerURL {
					t.Errorf("got a request to %s, want only the certificate and its issuer", url)
				}
			}
		})
	}
}

func marshal(t testing.TB, m map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The URLs resemble Amazon's, and each would return the valid certificate. None of
// them may be requested.
func TestVerify_RejectsForgedCertificateURLs(t *testing.T) {
	const host = "sns.eu-west-1.amazonaws.com"
	for _, bad := range []string{
		"", "not a url", "/x.pem", "//" + host + "/x.pem",
		"http://" + host + "/x.pem", "HTTPS://" + host + "/x.pem", "ftp://" + host + "/x.pem", "file:///etc/x.pem",
		"https://" + host + ".evil.example/x.pem", "https://evil.example/" + host + "/x.pem", "https://evil.example/" + host + ".pem",
		"https://" + host + "@evil.example/x.pem", "https://evil.example@" + host + "/x.pem", "https://user:pass@" + host + "/x.pem", "https://@" + host + "/x.pem",
		"https://" + host + ":80/x.pem", "https://" + host + ":8443/x.pem", "https://" + host + ":/x.pem", "https://" + host + ":0443/x.pem",
		"https://" + host + "./x.pem", "https://SNS.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1.AMAZONAWS.com/x.pem", "https://sns.EU-west-1.amazonaws.com/x.pem",
		"https://sns.amazonaws.com/x.pem", "https://sns..amazonaws.com/x.pem", "https://sns.eu-west-1.s3.amazonaws.com/x.pem", "https://sns-eu-west-1.amazonaws.com/x.pem",
		"https://sns.eu-west-1.s3.amazonaws.com/x.pem", "https://s3.amazonaws.com/sns.eu-west-1.amazonaws.com/x.pem", "https://sns.s3-eu-west-1.amazonaws.com/x.pem",
		"https://evil.sns.eu-west-1.amazonaws.com/x.pem", "https://xsns.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com.co/x.pem",
		"https://sns.eu-west-1.amazonaws.co/x.pem", "https://sns.eu-west-1xamazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.comx/x.pem",
		"https://sqs.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com.cn.evil.example/x.pem",
		"https://" + host + "/x.pem?y", "https://" + host + "/x.pem?", "https://" + host + "/x.txt?.pem", "https://" + host + "/x.pem#y", "https://" + host + "/x.pem#", "https://" + host + "/x#.pem",
		"https://" + host + "/x", "https://" + host, "https://" + host + "/x.pem/", "https://" + host + "/x.PEM", "https://" + host + "/x%2epem", "https://" + host + "/%2e%2e/x.pem", "https://" + host + "/../x.pem",
		"https://" + host + "\\x.pem", "https://" + host + "/x.pem\n", "https://" + host + "/x.pem\r\nHost: evil", " https://" + host + "/x.pem", "https://" + host + "/x.pem ", "https://" + host + "%00.evil.example/x.pem",
		"https://ѕns.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1。amazonaws。com/x.pem", "https://127.0.0.1/x.pem", "https://[::1]/x.pem",
	} {
		t.Run(bad, func(t *testing.T) {
			s := newSource(t, nil)
			s.web.set(bad, page{status: 200, body: theAuthority().leafPEM})
			m := notice("Notification")
			m["SigningCertURL"] = bad
			if _, err := s.Verify(t.Context(), header("Notification"), sign(t, m), now); incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want code %s", err, incident.CodeForbidden)
			}
			if len(s.web.requests) > 0 {
				t.Errorf("got requests %v, want none", s.web.requests)
			}
		})
	}
	for _, good := range []string{certURL, strings.Replace(certURL, ".com/", ".com:443/", 1), "https://sns.us-gov-west-1.amazonaws.com/a/b.pem", "https://sns.cn-north-1.amazonaws.com.cn/b.pem"} {
		s := newSource(t, nil)
		s.web.set(good, page{status: 200, body: theAuthority().leafPEM})
		m := notice("Notification")
		delete(m, "SigningCertURL")
		m["SigningCertUrl"] = good // the second spelling of the key
		if _, err := s.Verify(t.Context(), header("Notification"), sign(t, m), now); err != nil {
			t.Errorf("%s: got error %v, want none", good, err)
		}
	}
}

// The URL is correct, but the certificate is not, or no longer, valid.
func TestVerify_RejectsInvalidCertificates(t *testing.T) {
	a := theAuthority()
	selfSigned := func() string { // with the correct name
		c := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
			NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0)}
		return encode(signCertificate(c, c, a.leaf, a.leaf))
	}
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"wrong name":             a.issue(func(c *x509.Certificate) { c.DNSNames = []string{"evil.example"} }),
		"name only in CN":        a.issue(func(c *x509.Certificate) { c.DNSNames = nil }),
		"look-alike name":        a.issue(func(c *x509.Certificate) { c.DNSNames = []string{"sns.amazonaws.com.evil.example"} }),
		"expired":                a.issue(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }),
		"not valid yet":          a.issue(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }),
		"not for servers":        a.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
		"self-signed":            selfSigned(),
		"another key":            encode(signCertificate(&x509.Certificate{SerialNumber: big.NewInt(4), DNSNames: []string{"sns.amazonaws.com"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), IssuingCertificateURL: []string{issuerURL}}, a.issuer, otherKey, a.issuerKey)),
		"issuer on another host": a.issue(func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://crt.evil.example/test1.cer"} }),
		"issuer look-alike": a.issue(func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://crt.test1.amazontrust.com.evil.example/"}
		}),
		"issuer with a user": a.issue(func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://x@crt.test1.amazontrust.com/test1.cer"}
		}),
		"text before":       "Certificate:\n" + a.leafPEM,
		"text after":        a.leafPEM + "x",
		"text between":      a.leafPEM + "x\n" + encode(a.issuer),
		"self-signed first": selfSigned() + a.leafPEM,
		"too many":          strings.Repeat(a.leafPEM, 6),
		"private key":       "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"truncated":         a.leafPEM[:len(a.leafPEM)/2],
		"empty":             "",
		"too large":         a.leafPEM + strings.Repeat("\n", 65<<10),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, nil)
			s.web.set(certURL, page{status: 200, body: body})
			_, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now)
			if incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want code %s", err, incident.CodeForbidden)
			}
			for _, url := range s.web.requests {
				if url != certURL && url != issuerURL {
					t.Errorf("got a request to %s, want only the certificate and its issuer", url)
				}
			}
			if name == "another key" {
				return // a valid certificate is cached
			}
			s.web.set(certURL, page{status: 200, body: a.leafPEM})
			if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); err != nil {
				t.Errorf("got error %v after the certificate was replaced, want none", err)
			}
		})
	}
	for name, p := range map[string]page{
		"redirect to another host": {status: 302, location: "https://evil.example/x.pem"},
		"redirect to the host":     {status: 301, location: "https://sns.eu-west-1.amazonaws.com/x.pem"},
		"not found":                {status: 404},
		"not a certificate":        {status: 200, body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, nil)
			s.web.set("https://evil.example/x.pem", page{status: 200, body: theAuthority().leafPEM})
			s.web.set("https://sns.eu-west-1.amazonaws.com/x.pem", page{status: 200, body: theAuthority().leafPEM})
			s.web.set(certURL, p)
			if _, err := s.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("got error %v, want code %s", err, incident.CodeForbidden)
			}
			if len(s.web.requests) != 1 {
				t.Errorf("got requests %v, want 1", s.web.requests)
			}
		})
	}
	s := newSource(t, nil)
	s.web.set(confirm, page{status: 302, location: "https://evil.example/"})
	if _, err := s.Verify(t.Context(), header("SubscriptionConfirmation"), sign(t, notice("SubscriptionConfirmation")), now); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("redirected confirmation: got error %v, want code %s", err, incident.CodeForbidden)
	}
	withChain := newSource(t, nil)
	withChain.web.set(certURL, page{status: 200, body: a.leafPEM + encode(a.issuer)})
	if _, err := withChain.Verify(t.Context(), header("Notification"), sign(t, notice("Notification")), now); err != nil || withChain.web.count(issuerURL) != 0 {
		t.Errorf("issuer in the file: got error %v and requests %v, want none to %s", err, withChain.web.requests, issuerURL)
	}
	v1 := newSource(t, func(c *sns.Config) { c.AllowV1 = true })
	m := notice("Notification")
	m["SignatureVersion"], m["Subject"] = "1", "x"
	if _, err := v1.Verify(t.Context(), header("Notification"), sign(t, m), now); err != nil {
		t.Errorf("AllowV1: got error %v, want none", err)
	}
}

// Anyone can post an unsigned message, which must be rejected before all its members
// are stored.
func TestVerify_RejectsManyMembers(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for n := range 100_000 {
		fmt.Fprintf(&b, "\"%x\":\"\",", n)
	}
	body := []byte(strings.TrimSuffix(b.String(), ",") + "}")
	s := newSource(t, nil)
	_, err := s.Verify(t.Context(), http.Header{}, body, time.Time{})
	if incident.CodeOf(err) != incident.CodeInvalid || !strings.Contains(err.Error(), "more than 64 members") {
		t.Fatalf("got error %v, want a message about the members", err)
	}
	if allocs := testing.AllocsPerRun(1, func() { _, _ = s.Verify(t.Context(), http.Header{}, body, time.Time{}) }); allocs > 2000 {
		t.Errorf("got %v allocations, want at most 2000", allocs)
	}
}

func TestDecode_RejectsManyValues(t *testing.T) {
	message := `{"Records":[` + strings.TrimSuffix(strings.Repeat("{},", 150_000), ",") + "]}"
	_, err := newSource(t, nil).Decode(http.Header{}, notificationOf(t, message))
	if err == nil || !strings.Contains(err.Error(), "names and values") {
		t.Errorf("got error %v, want a message about the values", err)
	}
}
