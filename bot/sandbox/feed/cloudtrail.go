package feed

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"
)

// CloudTrail is an EventBridge rule with an API destination. It may be used by
// several goroutines.
type CloudTrail struct {
	URL       string
	APIKey    string
	KeyHeader string           // default X-Api-Key
	Client    *http.Client     // default http.DefaultClient
	Now       func() time.Time // default time.Now
	Within    time.Duration    // give up on an answer after this; default 5 s, as EventBridge does
}

// Deliver tells of a call once.
func (t *CloudTrail) Deliver(ctx context.Context, call Call, c Copy) (Answer, error) {
	return t.Send(ctx, t.Delivery(call, c))
}

// Delivery builds what Happen sends.
func (t *CloudTrail) Delivery(call Call, c Copy) Delivery {
	if c.At.IsZero() {
		c.At = time.Now()
		if t.Now != nil {
			c.At = t.Now()
		}
	}
	return t.NewDelivery(call.Envelope(c), call.envelopeID(c))
}

// NewDelivery authorises any body.
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

// Send posts a delivery once. EventBridge itself would try again for a day
// after no answer, 429, 5xx, 401, 407 and 409.
func (t *CloudTrail) Send(ctx context.Context, d Delivery) (Answer, error) {
	within := t.Within
	if within == 0 {
		within = 5 * time.Second
	}
	return send(ctx, t.Client, d, within)
}

// Call is one call of an AWS API, or a console sign-in: everything that its
// copies share. Its fields may be changed before it is told.
type Call struct {
	Name       string // eventName
	Source     string // eventSource, such as iam.amazonaws.com
	Account    string
	Region     string
	Identity   map[string]any // userIdentity
	SourceIP   string
	UserAgent  string
	Type       string // eventType; empty means AwsApiCall
	ReadOnly   bool
	Request    map[string]any   // requestParameters
	Response   map[string]any   // responseElements
	Additional map[string]any   // additionalEventData
	Resources  []map[string]any // with ARN, accountId, type
	ErrorCode  string
	seed       uint64
}

func (call Call) envelopeID(c Copy) string {
	return uuid("envelope", call.Name, call.Account, call.seed, c.N, c.Again)
}

// Record is the bare CloudTrail record.
func (call Call) Record(c Copy) []byte {
	return padded(c.PadKB, func(padding string) any { return call.record(c, padding) })
}

// Envelope is the record in the envelope of EventBridge.
func (call Call) Envelope(c Copy) []byte {
	kind := "AWS API Call via CloudTrail"
	switch call.Type {
	case "AwsConsoleSignIn":
		kind = "AWS Console Sign In via CloudTrail"
	case "AwsServiceEvent":
		kind = "AWS Service Event via CloudTrail"
	}
	return padded(c.PadKB, func(padding string) any {
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
		}{"0", call.envelopeID(c), kind, "aws." + call.service(), call.Account, second(c.At), call.Region, []string{}, call.record(c, padding)}
	})
}

func second(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

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
		"eventVersion": "1.11", "userIdentity": call.Identity, "eventTime": second(c.At), "eventSource": call.Source, "eventName": call.Name,
		"awsRegion": call.Region, "sourceIPAddress": call.SourceIP, "userAgent": call.UserAgent,
		"requestParameters": orNull(call.Request), "responseElements": orNull(call.Response),
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
		rec["errorCode"], rec["errorMessage"] = call.ErrorCode, "User: "+call.who()+" is not authorized to perform: "+call.Name
	}
	return rec
}

func (call Call) service() string { return strings.TrimSuffix(call.Source, ".amazonaws.com") }

func (call Call) who() string {
	arn, _ := call.Identity["arn"].(string)
	return arn
}

// orNull keeps a missing object a JSON null, as CloudTrail writes it.
func orNull(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}
