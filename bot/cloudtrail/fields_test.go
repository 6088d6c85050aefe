package cloudtrail

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tocsin/bot/detect"
	"tocsin/bot/intake/intaketest"
	"tocsin/bot/text"
)

// jsonRecord has the fields of a record for encoding/json, whose rules record.read
// follows: the case of keys, and fields of an unexpected type.
type jsonRecord struct {
	EventTime       text.Flex `json:"eventTime"`
	Timestamp       text.Flex `json:"@timestamp"`
	EventID         text.Flex `json:"eventID"`
	EventSource     text.Flex `json:"eventSource"`
	EventName       text.Flex `json:"eventName"`
	EventType       text.Flex `json:"eventType"`
	Region          text.Flex `json:"awsRegion"`
	ReadOnly        text.Flex `json:"readOnly"`
	SourceIPAddress text.Flex `json:"sourceIPAddress"`
	UserAgent       text.Flex `json:"userAgent"`
	ErrorCode       text.Flex `json:"errorCode"`
	ErrorMessage    text.Flex `json:"errorMessage"`
	Account         text.Flex `json:"recipientAccountId"`
	UserIdentity    struct {
		Type        text.Flex `json:"type"`
		PrincipalID text.Flex `json:"principalId"`
		ARN         text.Flex `json:"arn"`
		AccountID   text.Flex `json:"accountId"`
		AccessKeyID text.Flex `json:"accessKeyId"`
		UserName    text.Flex `json:"userName"`
		InvokedBy   text.Flex `json:"invokedBy"`
		Session     struct {
			Attributes struct {
				MFA text.Flex `json:"mfaAuthenticated"`
			} `json:"attributes"`
			Issuer struct {
				ARN text.Flex `json:"arn"`
			} `json:"sessionIssuer"`
		} `json:"sessionContext"`
	} `json:"userIdentity"`
	Request object `json:"requestParameters"`
}

// targets returns the target of the request as requestTargets does.
func (r *jsonRecord) targets() (string, bool) {
	request := r.Request.fields()
	var out []text.Flex
	for _, k := range targetParameters {
		if s, ok := request[k].(string); ok {
			out = append(out, text.Flex(s))
		}
	}
	return text.Join(", ", out...), len(request) > 0
}

// flat returns the record in the form of record, without the request.
func (r *jsonRecord) flat() record {
	i := r.UserIdentity
	return record{EventTime: r.EventTime, Timestamp: r.Timestamp, EventID: r.EventID, EventSource: r.EventSource, EventName: r.EventName, EventType: r.EventType,
		Region: r.Region, ReadOnly: r.ReadOnly, SourceIPAddress: r.SourceIPAddress, UserAgent: r.UserAgent, ErrorCode: r.ErrorCode, ErrorMessage: r.ErrorMessage,
		Account: r.Account, UserIdentity: identity{Type: i.Type, PrincipalID: i.PrincipalID, ARN: i.ARN, AccountID: i.AccountID, AccessKeyID: i.AccessKeyID,
			UserName: i.UserName, InvokedBy: i.InvokedBy, MFA: i.Session.Attributes.MFA, IssuerARN: i.Session.Issuer.ARN}}
}

// FuzzFields checks that the fields of a record and of an envelope are those that
// encoding/json reads, for every text that both decode.
func FuzzFields(f *testing.F) {
	for _, s := range []string{
		`{"eventName":"A","EVENTNAME":7,"userIdentity":{"arn":"a"},"UserIdentity":{"type":true,"sessionContext":{"attributes":[]}}}`,
		`{"userIdentity":{"sessionContext":{"attributes":{"mfaAuthenticated":1e3},"sessionIssuer":{"arn":"\u00e9\ud800"}}},"eventID":null}`,
		`{"requestParameters":"{\"userName\":\"a\",\"roleName\":7}","x":"\/"}`, `{"requestParameters":"\u007b\"key\":\"\\n\"}"}`,
		`{"requestParameters":{"name":"b","key":"\u0041","userName":{}}}`, `{"id":1,"resources":["a",{},null,"\t"],"detail":{"id":"x"},"Detail":null}`,
		`{"detail-type":"x","ſource":"kelvin","region":{},"RESOURCES":7}`, `{"detail":"a\nb","account":-1}`,
	} {
		f.Add([]byte(s))
	}
	seeds := intaketest.Fixtures(f, "testdata/*.json", "testdata/eventbridge/*/*.json", "testdata/records/*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "aws-eventbridge/*/*.json", "cloudtrail-invictus/records/*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		decoded, err := detect.DecodeRecord(body)
		if err != nil {
			return
		}
		for _, v := range []detect.Value{decoded.Root(), listIn(decoded.Root())} {
			for e := range v.Elements() {
				checkFields(t, e)
			}
			checkFields(t, v)
		}
	})
}

func checkFields(t *testing.T, v detect.Value) {
	if !v.IsObject() {
		return
	}
	var want jsonRecord
	if err := decode(v.Raw(), &want); err != nil {
		t.Fatalf("%s: %v", v.Raw(), err)
	}
	var got record
	got.read(v)
	target, any := requestTargets(got.Request)
	if wantTarget, wantAny := want.targets(); target != wantTarget || any != wantAny || string(got.Request.Raw()) != string(want.Request.raw) {
		t.Errorf("%s: got target %q, %v of %s, want %q, %v of %s", v.Raw(), target, any, got.Request.Raw(), wantTarget, wantAny, want.Request.raw)
	}
	if got.Request = (detect.Value{}); got != want.flat() {
		t.Errorf("%s: got %+v, want %+v", v.Raw(), got, want.flat())
	}
	if isRecord(v) != isRecordText(v.Raw()) {
		t.Errorf("%s: got record %v, want %v", v.Raw(), isRecord(v), isRecordText(v.Raw()))
	}
	var wantEnvelope, envelope envelope
	_ = decode(v.Raw(), &wantEnvelope)
	detail := envelope.read(v)
	if d := cmp.Diff(wantEnvelope, envelope, cmpopts.EquateEmpty()); d != "" || string(detail.Raw()) != string(envelope.Detail) {
		t.Errorf("%s: got detail %s\n%s", v.Raw(), detail.Raw(), d)
	}
	var wantIDs, gotIDs struct {
		ids
		Detail *ids `json:"detail"`
	}
	_ = json.Unmarshal(v.Raw(), &wantIDs)
	if gotIDs.read(v); gotIDs.ids != wantIDs.ids {
		t.Errorf("%s: got %+v, want %+v", v.Raw(), gotIDs.ids, wantIDs.ids)
	}
}
