package aws_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"tocsin/bot/sandbox/aws"
)

// The example in Amazon's documentation of the Authorization header of S3.
func TestSignatureOfAmazonsExample(t *testing.T) {
	a := aws.New(aws.Config{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"})
	defer a.Close()
	now := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	request := func() *http.Request {
		r, err := http.NewRequest(http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Range": "bytes=0-9", "X-Amz-Date": "20130524T000000Z", "X-Amz-Content-Sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date," +
				"Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"} {
			r.Header.Set(k, v)
		}
		return r
	}
	if code := a.Refusal(request(), nil, "s3", "us-east-1", now); code != "" {
		t.Fatalf("refused: %s", code)
	}
	auth := func(old, with string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
		}
	}
	for name, tt := range map[string]struct {
		change func(*http.Request)
		code   string
	}{
		"not signed":        {func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
		"another path":      {func(r *http.Request) { r.URL.Path = "/test.txt2" }, "SignatureDoesNotMatch"},
		"another host":      {func(r *http.Request) { r.Host = "other.s3.amazonaws.com" }, "SignatureDoesNotMatch"},
		"a query":           {func(r *http.Request) { r.URL.RawQuery = "acl" }, "SignatureDoesNotMatch"},
		"another range":     {func(r *http.Request) { r.Header.Set("Range", "bytes=0-99") }, "SignatureDoesNotMatch"},
		"another method":    {func(r *http.Request) { r.Method = http.MethodHead }, "SignatureDoesNotMatch"},
		"another time":      {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130524T000001Z") }, "SignatureDoesNotMatch"},
		"another day":       {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130523T235900Z") }, "IncompleteSignature"},
		"an old one":        {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130523T230000Z") }, "RequestTimeTooSkewed"},
		"unsigned header":   {func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, "AccessDenied"},
		"another payload":   {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, "SignatureDoesNotMatch"},
		"wrong payload":     {func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "00") }, "XAmzContentSHA256Mismatch"},
		"another key":       {auth("AKIAIOSFODNN7EXAMPLE", "AKIAOTHER"), "InvalidAccessKeyId"},
		"another service":   {auth("/s3/", "/sqs/"), "SignatureDoesNotMatch"},
		"another region":    {auth("us-east-1", "us-east-2"), "AuthorizationHeaderMalformed"},
		"host not signed":   {auth("host;", ""), "SignatureDoesNotMatch"},
		"another signature": {auth("=f0e8", "=f0e9"), "SignatureDoesNotMatch"},
	} {
		r := request()
		tt.change(r)
		if code := a.Refusal(r, nil, "s3", "us-east-1", now); code != tt.code {
			t.Errorf("%s: %q, want %q", name, code, tt.code)
		}
	}
}

// shop is an account with the real SDK in front of it, in a bubble of time.
type shop struct {
	*testing.T
	aws *aws.Account
	sqs *sqs.Client
	s3  *s3.Client
	url string
}

func bubble(t *testing.T, f func(*shop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := aws.New(aws.Config{})
		defer a.Close()
		a.AddQueue(aws.Queue{Name: "dead"})
		a.AddQueue(aws.Queue{Name: "q", MaxReceiveCount: 3, DeadLetter: "dead"})
		a.AddBucket(aws.Bucket{Name: "b", Notify: "q"})
		who := sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "AKIASANDBOX", SecretAccessKey: "sandbox-secret"}, nil
		})
		base := a.URL()
		f(&shop{T: t, aws: a, url: a.QueueURL("q"),
			sqs: sqs.New(sqs.Options{Region: "eu-west-1", BaseEndpoint: &base, Credentials: who, HTTPClient: a.Client()}),
			s3:  s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &base, Credentials: who, HTTPClient: a.Client(), UsePathStyle: true})})
	})
}

// receive gives the receipts of what there is within so many seconds.
func (s *shop) receive(wait int32) (receipts []string) {
	s.Helper()
	out, err := s.sqs.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.url, WaitTimeSeconds: wait, MaxNumberOfMessages: 10})
	if err != nil {
		s.Fatal(err)
	}
	for _, m := range out.Messages {
		receipts = append(receipts, *m.ReceiptHandle)
	}
	return receipts
}

func (s *shop) remove(receipt string) {
	s.Helper()
	if _, err := s.sqs.DeleteMessage(s.Context(), &sqs.DeleteMessageInput{QueueUrl: &s.url, ReceiptHandle: &receipt}); err != nil {
		s.Fatal(err)
	}
}

func TestMessagesHideAndComeBack(t *testing.T) {
	bubble(t, func(s *shop) {
		if _, err := s.sqs.SendMessage(s.Context(), &sqs.SendMessageInput{QueueUrl: &s.url, MessageBody: sdk.String("hello")}); err != nil {
			t.Fatal(err)
		}
		first := s.receive(0)
		if len(first) != 1 || len(s.receive(20)) != 0 {
			t.Fatal("it is not hidden")
		}
		_, err := s.sqs.ChangeMessageVisibility(s.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &s.url, ReceiptHandle: &first[0], VisibilityTimeout: 60})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if len(s.receive(20)) != 0 {
				t.Error("it is not hidden for longer")
			}
		}
		start := time.Now()
		second := s.receive(20)
		if len(second) != 1 || time.Since(start) > 20*time.Second {
			t.Fatal("it did not come back during a long poll")
		}
		s.remove(first[0])
		if len(s.aws.Messages("q")) != 1 {
			t.Error("an old receipt deleted it")
		}
		s.remove(second[0])
		if len(s.aws.Messages("q")) != 0 || s.aws.Deleted("q") != 1 {
			t.Error("it was not deleted")
		}
		_, err = s.sqs.ChangeMessageVisibility(s.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &s.url, ReceiptHandle: &second[0], VisibilityTimeout: 60})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "ReceiptHandleIsInvalid" {
			t.Errorf("hiding what is gone: %v", err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	bubble(t, func(s *shop) {
		s.aws.Send("q", "poison")
		for n := range 3 {
			if len(s.receive(20))+len(s.receive(20)) != 1 {
				t.Fatalf("attempt %d", n)
			}
		}
		if len(s.receive(20))+len(s.receive(20)) != 0 || len(s.aws.Messages("dead")) != 1 || len(s.aws.Messages("q")) != 0 {
			t.Error("it was not put aside")
		}
	})
}

func TestObjects(t *testing.T) {
	bubble(t, func(s *shop) {
		key := "a folder/ü+&=%2F(1)~.json"
		s.aws.Put("b", key, []byte("content"))
		out, err := s.s3.GetObject(s.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if err != nil || string(body) != "content" {
			t.Errorf("%q, %v", body, err)
		}
		if m := s.aws.Messages("q"); len(m) != 1 || !strings.Contains(m[0].Body, `"key":"a+folder%2F%C3%BC%2B%26%3D%252F%281%29~.json"`) {
			t.Errorf("the queue heard %v", m)
		}
		code := func(bucket, key string) string {
			_, err := s.s3.GetObject(s.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
			var api smithy.APIError
			if errors.As(err, &api) {
				return api.ErrorCode()
			}
			return ""
		}
		s.aws.AddBucket(aws.Bucket{Name: "far", Region: "us-east-1"})
		for _, tt := range [][3]string{{"b", "none", "NoSuchKey"}, {"none", "k", "NoSuchBucket"}, {"far", "k", "AuthorizationHeaderMalformed"}} {
			if got := code(tt[0], tt[1]); got != tt[2] {
				t.Errorf("%s/%s: %q, want %q", tt[0], tt[1], got, tt[2])
			}
		}
	})
}

func TestFaults(t *testing.T) {
	bubble(t, func(s *shop) {
		s.aws.Send("q", "hello")
		s.aws.Fail(aws.Fault{Op: "sqs:DeleteMessage", Times: 1, LoseAnswer: true})
		s.remove(s.receive(0)[0]) // the SDK asks again
		if len(s.aws.Messages("q")) != 0 || len(s.aws.Requests()) != 3 {
			t.Errorf("requests %+v", s.aws.Requests())
		}
		s.aws.Put("b", "k", bytes.Repeat([]byte("x"), 10000))
		s.aws.Fail(aws.Fault{Op: "s3:GetObject", Resource: "b/k", CutAfter: 5000})
		out, err := s.s3.GetObject(s.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: sdk.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, out.Body); !errors.Is(err, io.ErrUnexpectedEOF) || n != 5000 {
			t.Errorf("%d bytes, %v", n, err)
		}
		s.aws.Heal()
		s.aws.Fail(aws.Fault{Op: "s3:GetObject", Times: 1, Status: 503, Code: "SlowDown"})
		if _, err := s.s3.GetObject(s.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: sdk.String("k")}); err != nil || s.aws.Count("s3:GetObject", 503) != 1 {
			t.Errorf("slow down: %v", err)
		}
		if len(s.receive(0)) != 1 || len(s.receive(0)) != 0 {
			t.Fatal("it is not hidden")
		}
		s.aws.Duplicate("q")
		if len(s.receive(0)) != 1 {
			t.Error("it did not come twice")
		}
	})
}

func TestOverTCP(t *testing.T) {
	a := aws.New(aws.Config{})
	defer a.Close()
	a.AddQueue(aws.Queue{Name: "q"})
	base, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(base, "application/x-amz-json-1.0", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !strings.HasPrefix(a.QueueURL("q"), base) {
		t.Errorf("an unsigned request: %s", resp.Status)
	}
}
