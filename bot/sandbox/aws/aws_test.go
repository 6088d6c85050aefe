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

// The request is the example of Amazon's documentation for the Authorization
// header of S3.
func TestSignature_AmazonExample(t *testing.T) {
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
	if code := a.RejectionCode(request(), nil, "s3", "us-east-1", now); code != "" {
		t.Fatalf("rejection code: got %q, want none", code)
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
		"unsigned":          {func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
		"another path":      {func(r *http.Request) { r.URL.Path = "/test.txt2" }, "SignatureDoesNotMatch"},
		"another host":      {func(r *http.Request) { r.Host = "other.s3.amazonaws.com" }, "SignatureDoesNotMatch"},
		"a query":           {func(r *http.Request) { r.URL.RawQuery = "acl" }, "SignatureDoesNotMatch"},
		"another range":     {func(r *http.Request) { r.Header.Set("Range", "bytes=0-99") }, "SignatureDoesNotMatch"},
		"another method":    {func(r *http.Request) { r.Method = http.MethodHead }, "SignatureDoesNotMatch"},
		"another time":      {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130524T000001Z") }, "SignatureDoesNotMatch"},
		"another day":       {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130523T235900Z") }, "IncompleteSignature"},
		"expired":           {func(r *http.Request) { r.Header.Set("X-Amz-Date", "20130523T230000Z") }, "RequestTimeTooSkewed"},
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
		if code := a.RejectionCode(r, nil, "s3", "us-east-1", now); code != tt.code {
			t.Errorf("%s: rejection code: got %q, want %q", name, code, tt.code)
		}
	}
}

// fixture is an account with SDK clients inside a synctest bubble.
type fixture struct {
	*testing.T
	aws *aws.Account
	sqs *sqs.Client
	s3  *s3.Client
	url string
}

func runWithAccount(t *testing.T, test func(*fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := aws.New(aws.Config{})
		defer a.Close()
		a.AddQueue(aws.Queue{Name: "dead"})
		a.AddQueue(aws.Queue{Name: "q", MaxReceiveCount: 3, DeadLetter: "dead"})
		a.AddBucket(aws.Bucket{Name: "b", Notify: "q"})
		credentials := sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{AccessKeyID: "AKIASANDBOX", SecretAccessKey: "sandbox-secret"}, nil
		})
		base := a.URL()
		test(&fixture{T: t, aws: a, url: a.QueueURL("q"),
			sqs: sqs.New(sqs.Options{Region: "eu-west-1", BaseEndpoint: &base, Credentials: credentials, HTTPClient: a.Client()}),
			s3:  s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &base, Credentials: credentials, HTTPClient: a.Client(), UsePathStyle: true})})
	})
}

// receive returns the receipt handles of the messages received within wait
// seconds.
func (f *fixture) receive(wait int32) (receipts []string) {
	f.Helper()
	out, err := f.sqs.ReceiveMessage(f.Context(), &sqs.ReceiveMessageInput{QueueUrl: &f.url, WaitTimeSeconds: wait, MaxNumberOfMessages: 10})
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range out.Messages {
		receipts = append(receipts, *m.ReceiptHandle)
	}
	return receipts
}

func (f *fixture) remove(receipt string) {
	f.Helper()
	if _, err := f.sqs.DeleteMessage(f.Context(), &sqs.DeleteMessageInput{QueueUrl: &f.url, ReceiptHandle: &receipt}); err != nil {
		f.Fatal(err)
	}
}

func TestQueue_VisibilityTimeout(t *testing.T) {
	runWithAccount(t, func(f *fixture) {
		if _, err := f.sqs.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &f.url, MessageBody: sdk.String("hello")}); err != nil {
			t.Fatal(err)
		}
		first := f.receive(0)
		if len(first) != 1 || len(f.receive(20)) != 0 {
			t.Fatal("received message is not hidden")
		}
		_, err := f.sqs.ChangeMessageVisibility(f.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &f.url, ReceiptHandle: &first[0], VisibilityTimeout: 60})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if len(f.receive(20)) != 0 {
				t.Error("visibility timeout was not extended")
			}
		}
		start := time.Now()
		second := f.receive(20)
		if len(second) != 1 || time.Since(start) > 20*time.Second {
			t.Fatal("message did not become visible during a long poll")
		}
		f.remove(first[0])
		if len(f.aws.Messages("q")) != 1 {
			t.Error("an outdated receipt handle deleted the message")
		}
		f.remove(second[0])
		if len(f.aws.Messages("q")) != 0 || f.aws.Deleted("q") != 1 {
			t.Error("message was not deleted")
		}
		_, err = f.sqs.ChangeMessageVisibility(f.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &f.url, ReceiptHandle: &second[0], VisibilityTimeout: 60})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != "ReceiptHandleIsInvalid" {
			t.Errorf("change visibility of a deleted message: got %v, want ReceiptHandleIsInvalid", err)
		}
	})
}

func TestQueue_DeadLetter(t *testing.T) {
	runWithAccount(t, func(f *fixture) {
		f.aws.Send("q", "poison")
		for n := range 3 {
			if len(f.receive(20))+len(f.receive(20)) != 1 {
				t.Fatalf("attempt %d: message was not received exactly once", n)
			}
		}
		if len(f.receive(20))+len(f.receive(20)) != 0 || len(f.aws.Messages("dead")) != 1 || len(f.aws.Messages("q")) != 0 {
			t.Error("message was not moved to the dead-letter queue")
		}
	})
}

func TestBucket_GetObject(t *testing.T) {
	runWithAccount(t, func(f *fixture) {
		key := "a folder/ü+&=%2F(1)~.json"
		f.aws.Put("b", key, []byte("content"))
		out, err := f.s3.GetObject(f.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(out.Body)
		if err != nil || string(body) != "content" {
			t.Errorf("body: got %q, %v, want \"content\"", body, err)
		}
		if m := f.aws.Messages("q"); len(m) != 1 || !strings.Contains(m[0].Body, `"key":"a+folder%2F%C3%BC%2B%26%3D%252F%281%29~.json"`) {
			t.Errorf("queue: got %v, want one event with the encoded key", m)
		}
		code := func(bucket, key string) string {
			_, err := f.s3.GetObject(f.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
			var api smithy.APIError
			if errors.As(err, &api) {
				return api.ErrorCode()
			}
			return ""
		}
		f.aws.AddBucket(aws.Bucket{Name: "far", Region: "us-east-1"})
		for _, tt := range [][3]string{{"b", "none", "NoSuchKey"}, {"none", "k", "NoSuchBucket"}, {"far", "k", "AuthorizationHeaderMalformed"}} {
			if got := code(tt[0], tt[1]); got != tt[2] {
				t.Errorf("%s/%s: error code: got %q, want %q", tt[0], tt[1], got, tt[2])
			}
		}
	})
}

func TestAccount_Faults(t *testing.T) {
	runWithAccount(t, func(f *fixture) {
		f.aws.Send("q", "hello")
		f.aws.Fail(aws.Fault{Op: "sqs:DeleteMessage", Times: 1, LoseAnswer: true})
		f.remove(f.receive(0)[0]) // the SDK retries
		if len(f.aws.Messages("q")) != 0 || len(f.aws.Requests()) != 3 {
			t.Errorf("requests: got %+v, want 3 and an empty queue", f.aws.Requests())
		}
		f.aws.Put("b", "k", bytes.Repeat([]byte("x"), 10000))
		f.aws.Fail(aws.Fault{Op: "s3:GetObject", Resource: "b/k", CutAfter: 5000})
		out, err := f.s3.GetObject(f.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: sdk.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, out.Body); !errors.Is(err, io.ErrUnexpectedEOF) || n != 5000 {
			t.Errorf("got %d bytes, %v, want 5000 bytes, unexpected EOF", n, err)
		}
		f.aws.Heal()
		f.aws.Fail(aws.Fault{Op: "s3:GetObject", Times: 1, Status: 503, Code: "SlowDown"})
		if _, err := f.s3.GetObject(f.Context(), &s3.GetObjectInput{Bucket: sdk.String("b"), Key: sdk.String("k")}); err != nil || f.aws.Count("s3:GetObject", 503) != 1 {
			t.Errorf("one 503 before success: got %v", err)
		}
		if len(f.receive(0)) != 1 || len(f.receive(0)) != 0 {
			t.Fatal("received message is not hidden")
		}
		f.aws.Duplicate("q")
		if len(f.receive(0)) != 1 {
			t.Error("duplicated message was not received again")
		}
	})
}

func TestStart_ServesTCP(t *testing.T) {
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
		t.Errorf("unsigned request: got %s, want 403", resp.Status)
	}
}
