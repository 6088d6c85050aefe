package trail

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"tocsin/bot/outbound"
)

// boundedClient bounds the responses of the SDK's client. It wraps the client
// after the SDK has loaded its configuration, because the SDK adds the
// certificate authorities of AWS_CA_BUNDLE only to its own client.
type boundedClient struct {
	aws.HTTPClient
	transport *outbound.Transport
}

// newBoundedClient returns a client that takes at most objectTimeout per request.
// A response may exceed the maximum size of a file by 1 MiB, because the package
// reports a file that is too large. It has room for the largest answer of SQS.
func newBoundedClient(client aws.HTTPClient, maxObject int64) aws.HTTPClient {
	if client == nil {
		client = awshttp.NewBuildableClient()
	}
	if b, ok := client.(*awshttp.BuildableClient); ok {
		client = b.WithTimeout(objectTimeout)
	}
	return boundedClient{client, outbound.NewTransport(outbound.Limits{MaxResponse: max(maxObject+1<<20, outbound.DefaultMaxResponse)})}
}

// Do implements [aws.HTTPClient].
func (c boundedClient) Do(r *http.Request) (*http.Response, error) {
	res, err := c.HTTPClient.Do(r)
	if err != nil {
		return nil, err
	}
	c.transport.Bound(res)
	return res, nil
}
