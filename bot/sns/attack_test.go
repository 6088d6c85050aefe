package sns_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sns"
)

// Every attack changes one thing in a message that would be let in.
func TestAttacksOnTheMessage(t *testing.T) {
	type message = map[string]string
	set := func(k, v string) func(message) { return func(m message) { m[k] = v } }
	drop := func(k string) func(message) { return func(m message) { delete(m, k) } }
	tests := []struct {
		name   string
		kind   string
		before func(message)       // signed with it
		after  func(message)       // not signed
		raw    func([]byte) []byte // of the body
		head   func(http.Header)   //
		code   incident.Code       // of the refusal; forbidden if empty
		config func(c *sns.Config) //
	}{
		{name: "message changed", after: set("Message", "{ }")},
		{name: "subject added", after: set("Subject", "x")},
		{name: "subject taken away", before: set("Subject", "x"), after: drop("Subject")},
		{name: "id changed", after: set("MessageId", "m-2")},
		{name: "time changed", after: set("Timestamp", now.Format(time.RFC3339))},
		{name: "signature of another text", after: set("Signature", "AAAA")},
		{name: "signature empty", after: set("Signature", "")},
		{name: "signature not base64", after: set("Signature", "%")},
		{name: "signature taken away", after: drop("Signature")},
		{name: "version 1 not allowed", before: set("SignatureVersion", "1")},
		{name: "version unknown", before: set("SignatureVersion", "3")},
		{name: "version missing", before: drop("SignatureVersion")},
		{name: "version 2 said, SHA-1 signed", before: set("SignatureVersion", "1"), after: set("SignatureVersion", "2")},
		{name: "version 1 said, SHA-256 signed", after: set("SignatureVersion", "1"), config: func(c *sns.Config) { c.AllowV1 = true }},
		{name: "topic of somebody else", before: set("TopicArn", "arn:aws:sns:eu-west-1:999999999999:security")},
		{name: "topic of another region", before: set("TopicArn", strings.Replace(topic, "west", "east", 1))},
		{name: "topic in upper case", before: set("TopicArn", strings.ToUpper(topic))},
		{name: "topic missing", before: drop("TopicArn")},
		{name: "an hour old", before: set("Timestamp", now.Add(-time.Hour-time.Second).Format(time.RFC3339))},
		{name: "from the future", before: set("Timestamp", now.Add(time.Hour).Format(time.RFC3339))},
		{name: "no instant", before: set("Timestamp", "yesterday"), code: incident.CodeInvalid},
		{name: "no id", before: set("MessageId", ""), code: incident.CodeInvalid},
		{name: "unknown type", before: set("Type", "Notice"), head: func(h http.Header) { h.Set("x-amz-sns-message-type", "Notice") }, code: incident.CodeInvalid},
		{name: "header missing", head: func(h http.Header) { h.Del("x-amz-sns-message-type") }, code: incident.CodeInvalid},
		{name: "header of another type", head: func(h http.Header) { h.Set("x-amz-sns-message-type", "SubscriptionConfirmation") }, code: incident.CodeInvalid},
		{name: "raw delivery", head: func(h http.Header) { h.Set("x-amz-sns-rawdelivery", "true") }},
		{name: "key twice", raw: func(b []byte) []byte { return append(b[:len(b)-1], []byte(`,"Message":"{}"}`)...) }, code: incident.CodeInvalid},
		{name: "key twice, escaped", raw: func(b []byte) []byte { return append(b[:len(b)-1], []byte(`,"\u004dessage":"x"}`)...) }, code: incident.CodeInvalid},
		{name: "something behind", raw: func(b []byte) []byte { return append(b, []byte(`{}`)...) }, code: incident.CodeInvalid},
		{name: "no object", raw: func([]byte) []byte { return []byte(`["Notification"]`) }, code: incident.CodeInvalid},
		{name: "bad UTF-8", raw: func(b []byte) []byte { return bytes.Replace(b, []byte("m-1"), []byte("m\xff1"), 1) }, code: incident.CodeInvalid},
		{name: "cut off", raw: func(b []byte) []byte { return b[:len(b)-2] }, code: incident.CodeInvalid},
		{name: "deep nesting", raw: func([]byte) []byte { return []byte(`{"a":` + strings.Repeat("[", 100000)) }, code: incident.CodeInvalid},
		{name: "confirmation of a stranger's topic", kind: "SubscriptionConfirmation", before: set("TopicArn", "arn:aws:sns:eu-west-1:999999999999:security")},
		{name: "confirmation not signed", kind: "SubscriptionConfirmation", after: set("Token", "other")},
		{name: "confirmation elsewhere", kind: "SubscriptionConfirmation", before: set("SubscribeURL", "https://evil.example/?Action=ConfirmSubscription&TopicArn="+topic)},
		{name: "confirmation by http", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "https", "http", 1))},
		{name: "confirmation of another topic", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "111122223333", "999999999999", 1))},
		{name: "another action", kind: "SubscriptionConfirmation", before: set("SubscribeURL", strings.Replace(confirm, "ConfirmSubscription", "Unsubscribe", 1))},
		{name: "confirmation without address", kind: "SubscriptionConfirmation", before: drop("SubscribeURL"), code: incident.CodeInvalid},
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
			if id, err := s.Verify(h, body, now); incident.CodeOf(err) != code || id != "" {
				t.Errorf("id %q, error %v, want it %s", id, err, code)
			}
			for _, asked := range s.web.asked {
				if asked != certAt && asked != issuerAt {
					t.Errorf("it made us ask %s", asked)
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

// Addresses that look like Amazon's. None of them is even asked, though each
// would answer with the good certificate.
func TestAttacksOnTheCertificatesAddress(t *testing.T) {
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
			if _, err := s.Verify(header("Notification"), sign(t, m), now); incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("error %v, want it forbidden", err)
			}
			if len(s.web.asked) > 0 {
				t.Errorf("%v was asked", s.web.asked)
			}
		})
	}
	for _, good := range []string{certAt, strings.Replace(certAt, ".com/", ".com:443/", 1), "https://sns.us-gov-west-1.amazonaws.com/a/b.pem", "https://sns.cn-north-1.amazonaws.com.cn/b.pem"} {
		s := newSource(t, nil)
		s.web.set(good, page{status: 200, body: theAuthority().leafPEM})
		m := notice("Notification")
		delete(m, "SigningCertURL")
		m["SigningCertUrl"] = good // as some write it
		if _, err := s.Verify(header("Notification"), sign(t, m), now); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// Certificates that are not Amazon's, or not any more, at Amazon's address.
func TestAttacksWithTheCertificate(t *testing.T) {
	a := theAuthority()
	own := func() string { // signed by itself, with the right name
		c := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "sns.amazonaws.com"}, DNSNames: []string{"sns.amazonaws.com"},
			NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0)}
		return encode(sealed(c, c, a.leaf, a.leaf))
	}
	otherKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"another name":     a.issue(func(c *x509.Certificate) { c.DNSNames = []string{"evil.example"} }),
		"name in the CN":   a.issue(func(c *x509.Certificate) { c.DNSNames = nil }),
		"look-alike name":  a.issue(func(c *x509.Certificate) { c.DNSNames = []string{"sns.amazonaws.com.evil.example"} }),
		"expired":          a.issue(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }),
		"not valid yet":    a.issue(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }),
		"not for servers":  a.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
		"by itself":        own(),
		"of another key":   encode(sealed(&x509.Certificate{SerialNumber: big.NewInt(4), DNSNames: []string{"sns.amazonaws.com"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), IssuingCertificateURL: []string{issuerAt}}, a.issuer, otherKey, a.issuerKey)),
		"issuer elsewhere": a.issue(func(c *x509.Certificate) { c.IssuingCertificateURL = []string{"http://crt.evil.example/test1.cer"} }),
		"issuer look-alike": a.issue(func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://crt.test1.amazontrust.com.evil.example/"}
		}),
		"issuer with a user": a.issue(func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://x@crt.test1.amazontrust.com/test1.cer"}
		}),
		"text before":   "Certificate:\n" + a.leafPEM,
		"text behind":   a.leafPEM + "x",
		"text between":  a.leafPEM + "x\n" + encode(a.issuer),
		"own one first": own() + a.leafPEM,
		"too many":      strings.Repeat(a.leafPEM, 6),
		"a key":         "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"cut off":       a.leafPEM[:len(a.leafPEM)/2],
		"empty":         "",
		"too large":     a.leafPEM + strings.Repeat("\n", 65<<10),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, nil)
			s.web.set(certAt, page{status: 200, body: body})
			_, err := s.Verify(header("Notification"), sign(t, notice("Notification")), now)
			if incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("error %v, want it forbidden", err)
			}
			for _, asked := range s.web.asked {
				if asked != certAt && asked != issuerAt {
					t.Errorf("it made us ask %s", asked)
				}
			}
			if name == "of another key" {
				return // it is a good one, and is remembered
			}
			s.web.set(certAt, page{status: 200, body: a.leafPEM})
			if _, err := s.Verify(header("Notification"), sign(t, notice("Notification")), now); err != nil {
				t.Errorf("the bad one was remembered: %v", err)
			}
		})
	}
	for name, p := range map[string]page{
		"redirect to another host": {status: 302, location: "https://evil.example/x.pem"},
		"redirect on the host":     {status: 301, location: "https://sns.eu-west-1.amazonaws.com/x.pem"},
		"not there":                {status: 404},
		"no certificate":           {status: 200, body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t, nil)
			s.web.set("https://evil.example/x.pem", page{status: 200, body: theAuthority().leafPEM})
			s.web.set("https://sns.eu-west-1.amazonaws.com/x.pem", page{status: 200, body: theAuthority().leafPEM})
			s.web.set(certAt, p)
			if _, err := s.Verify(header("Notification"), sign(t, notice("Notification")), now); incident.CodeOf(err) != incident.CodeForbidden {
				t.Errorf("error %v, want it forbidden", err)
			}
			if len(s.web.asked) != 1 {
				t.Errorf("%v were asked", s.web.asked)
			}
		})
	}
	s := newSource(t, nil)
	s.web.set(confirm, page{status: 302, location: "https://evil.example/"})
	if _, err := s.Verify(header("SubscriptionConfirmation"), sign(t, notice("SubscriptionConfirmation")), now); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("redirected confirmation: %v", err)
	}
	withChain := newSource(t, nil)
	withChain.web.set(certAt, page{status: 200, body: a.leafPEM + encode(a.issuer)})
	if _, err := withChain.Verify(header("Notification"), sign(t, notice("Notification")), now); err != nil || withChain.web.count(issuerAt) != 0 {
		t.Errorf("with the issuer in the file: %v, asked %v", err, withChain.web.asked)
	}
	v1 := newSource(t, func(c *sns.Config) { c.AllowV1 = true })
	m := notice("Notification")
	m["SignatureVersion"], m["Subject"] = "1", "x"
	if _, err := v1.Verify(header("Notification"), sign(t, m), now); err != nil {
		t.Errorf("version 1 where it is allowed: %v", err)
	}
}
