// Package awsclient makes configurations of the AWS SDK that are bounded in time and size,
// and explains the errors of AWS to people.
//
//	loaded, err := awsclient.Load(ctx, awsclient.Options{Region: "eu-west-3", Timeout: time.Minute})
//	queue := sqs.NewFromConfig(loaded)
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"tocsin/bot/outbound"
)

// Options configure [Load]. Timeout is required.
type Options struct {
	Region   string // default that of the environment
	Endpoint string // replaces the endpoint of Amazon if not ""
	// Timeout bounds one attempt at a request. An attempt has another second for each
	// MinRate bytes that it sends or receives, if MinRate is not 0.
	Timeout     time.Duration
	MinRate     int64
	MaxResponse int64 // maximum size of a response in bytes
	Logger      *slog.Logger
	Client      *http.Client // nil means the client of the SDK
	Retryer     func() aws.Retryer
}

// Load returns a configuration with the default credentials. It makes no connections.
func Load(ctx context.Context, o Options) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{config.WithLogger(sdkLogger(o.Logger))}
	if o.Region != "" {
		options = append(options, config.WithRegion(o.Region))
	}
	if o.Client != nil {
		options = append(options, config.WithHTTPClient(o.Client))
	}
	if o.Endpoint != "" {
		options = append(options, config.WithBaseEndpoint(o.Endpoint))
	}
	if o.Retryer != nil {
		options = append(options, config.WithRetryer(o.Retryer))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return loaded, fmt.Errorf("load AWS configuration: %w", err)
	}
	loaded.HTTPClient = newBoundedClient(loaded.HTTPClient, o)
	return loaded, nil
}

// sdkLogger logs the messages of the SDK at level debug, because it also returns
// every failure as an error.
func sdkLogger(log *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		log.Debug("AWS SDK message", "text", fmt.Sprintf(format, args...))
	})
}

// boundedClient bounds the requests of the SDK's client. It wraps the client
// after the SDK has loaded its configuration, because the SDK adds the
// certificate authorities of AWS_CA_BUNDLE only to its own client.
type boundedClient struct {
	aws.HTTPClient
	Options
	transport *outbound.Transport
}

// newBoundedClient returns a client that bounds requests. It has room for the largest
// answer of SQS.
func newBoundedClient(client aws.HTTPClient, o Options) aws.HTTPClient {
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	return boundedClient{client, o, outbound.NewTransport(outbound.Limits{MaxResponse: max(o.MaxResponse, outbound.DefaultMaxResponse)})}
}

// WithTimeout returns the client of a configuration of [Load] with another bound for one
// attempt at a request.
func WithTimeout(client aws.HTTPClient, timeout time.Duration) aws.HTTPClient {
	if c, ok := client.(boundedClient); ok {
		c.Timeout = timeout
		return c
	}
	return client
}

// errSlow ends an attempt that takes too long.
var errSlow = fmt.Errorf("the service is too slow: %w", context.DeadlineExceeded)

// timeout returns the maximum duration of an attempt that transfers a number of bytes.
func (c boundedClient) timeout(size int64) time.Duration {
	if c.MinRate == 0 || size <= 0 {
		return c.Timeout
	}
	return c.Timeout + time.Duration(size/c.MinRate)*time.Second
}

// Do implements [aws.HTTPClient].
func (c boundedClient) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(c.timeout(r.ContentLength), func() { cancel(errSlow) })
	stop := func() { timer.Stop(); cancel(nil) }
	res, err := c.HTTPClient.Do(r.WithContext(ctx))
	if err != nil {
		stop()
		if cause := context.Cause(ctx); errors.Is(cause, errSlow) {
			err = errSlow
		}
		return nil, err
	}
	if timer.Stop() {
		timer.Reset(c.timeout(res.ContentLength))
	}
	c.transport.Bound(res)
	res.Body = &body{ReadCloser: res.Body, ctx: ctx, stop: sync.OnceFunc(stop)}
	return res, nil
}

// body is a response that must end in time.
type body struct {
	io.ReadCloser
	ctx  context.Context
	stop func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), errSlow) {
		err = errSlow
	}
	return n, err
}

func (b *body) Close() error {
	defer b.stop()
	return b.ReadCloser.Close()
}
