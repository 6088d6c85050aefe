package feed

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"
)

// CloudTrail is an EventBridge rule with an API destination. It is safe for
// concurrent use.
type CloudTrail struct {
	URL       string
	APIKey    string
	KeyHeader string           // default X-Api-Key
	Client    *http.Client     // default http.DefaultClient
	Now       func() time.Time // default time.Now
	Timeout   time.Duration    // limit for one request, default 5 s as in EventBridge
}

// Deliver sends a call once.
func (t *CloudTrail) Deliver(ctx context.Context, call Call, c Copy) (Answer, error) {
	return t.Send(ctx, t.Delivery(call, c))
}

// Delivery returns the request that [CloudTrail.Deliver] sends.
func (t *CloudTrail) Delivery(call Call, c Copy) Delivery {
	if c.At.IsZero() {
		c.At = time.Now()
		if t.Now != nil {
			c.At = t.Now()
		}
	}
	return t.NewDelivery(call.Envelope(c), call.envelopeID(c))
}

// NewDelivery returns a request with the API key for any body. The ID becomes the
// ID of the delivery.
func (t *CloudTrail) NewDelivery(body []byte, id string) Delivery {
	name := t.KeyHeader
	if name == "" {
		name = "X-Api-Key"
	}
	h := http.Header{
		"Content-Type": {"application/json; charset=utf-8"},
		"User-Agent":   {"Amazon/EventBridge/ApiDestinations"},
		"Range":        {"bytes=0-1048575"},
	}
	h.Set(name, t.APIKey)
	return Delivery{ID: id, URL: t.URL, Header: h, Body: body}
}

// Send posts a delivery once. The real EventBridge retries for a day after a
// timeout and after the statuses 401, 407, 409, 429 and 5xx.
func (t *CloudTrail) Send(ctx context.Context, d Delivery) (Answer, error) {
	timeout := t.Timeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return send(ctx, t.Client, d, timeout)
}

// Call is an AWS API call or console sign-in. It holds the fields that all
// copies share. Callers may change its fields before they send it.
type Call struct {
	Name       string // eventName
	Source     string // eventSource, for example iam.amazonaws.com
	Account    string
	Region     string
	Identity   map[string]any // userIdentity
	SourceIP   string
	UserAgent  string
	Type       string // eventType, default AwsApiCall
	ReadOnly   bool
	Request    map[string]any   // requestParameters
	Response   map[string]any   // responseElements
	Additional map[string]any   // additionalEventData
	Resources  []map[string]any // with keys ARN, accountId and type
	ErrorCode  string
	seed       uint64
}

func (call Call) envelopeID(c Copy) string {
	return uuid("envelope", call.Name, call.Account, call.seed, c.N, c.Redelivery)
}

// Record returns the CloudTrail record of the call as JSON.
func (call Call) Record(c Copy) []byte {
	return encodePadded(c.PadKB, func(padding string) any { return call.record(c, padding) })
}

// Envelope returns the record inside an EventBridge event as JSON.
func (call Call) Envelope(c Copy) []byte {
	kind := "AWS API Call via CloudTrail"
	switch call.Type {
	case "AwsConsoleSignIn":
		kind = "AWS Console Sign In via CloudTrail"
	case "AwsServiceEvent":
		kind = "AWS Service Event via CloudTrail"
	}
	return encodePadded(c.PadKB, func(padding string) any {
		return struct {
			Version    string   `json:"version"`
			ID         string   `json:"id"`
			DetailType string   `json:"detail-type"`
			Source     string   `json:"source"`
			Account    string   `json:"account"`
			Time       string   `json:"time"`
			Region     string   `json:"region"`
			Resources  []string `json:"resources"`
			Detail     object   `json:"detail"`
		}{"0", call.envelopeID(c), kind, "aws." + call.service(), call.Account, isoSeconds(c.At), call.Region, []string{}, call.record(c, padding)}
	})
}

func isoSeconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (call Call) record(c Copy, padding string) object {
	kind := call.Type
	if kind == "" {
		kind = "AwsApiCall"
	}
	host := call.Source
	if host != "iam.amazonaws.com" {
		host = call.service() + "." + call.Region + ".amazonaws.com"
	}
	rec := object{
		"eventVersion": "1.11", "userIdentity": call.Identity, "eventTime": isoSeconds(c.At), "eventSource": call.Source, "eventName": call.Name,
		"awsRegion": call.Region, "sourceIPAddress": call.SourceIP, "userAgent": call.UserAgent,
		"requestParameters": nullIfNil(call.Request), "responseElements": nullIfNil(call.Response),
		"requestID": uuid("request", call.Name, call.seed, c.N), "eventID": uuid("event", call.Name, call.Account, call.seed, c.N),
		"readOnly": call.ReadOnly, "eventType": kind, "managementEvent": true, "recipientAccountId": call.Account, "eventCategory": "Management",
		"tlsDetails": object{"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": host},
	}
	additional := maps.Clone(call.Additional)
	if additional == nil {
		additional = object{}
	}
	if padding != "" {
		additional["padding"] = padding
	}
	if len(c.Marker) > 0 {
		additional["planted"] = c.Marker
	}
	if len(additional) > 0 {
		rec["additionalEventData"] = additional
	}
	if len(call.Resources) > 0 {
		rec["resources"] = call.Resources
	}
	if call.ErrorCode != "" {
		rec["errorCode"], rec["errorMessage"] = call.ErrorCode, "User: "+call.principalARN()+" is not authorized to perform: "+call.Name
	}
	return rec
}

func (call Call) service() string { return strings.TrimSuffix(call.Source, ".amazonaws.com") }

func (call Call) principalARN() string {
	arn, _ := call.Identity["arn"].(string)
	return arn
}

// nullIfNil returns an untyped nil for a nil map, because CloudTrail writes
// null and not an empty object.
func nullIfNil(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}
