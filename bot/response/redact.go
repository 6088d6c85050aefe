package response

import (
	"fmt"
	"reflect"
	"time"

	"tocsin/bot/incident"
)

// unredactedFields are the string fields that contain no free text: ids, digests,
// and words that the lifecycle has checked against a list. Every other field of
// type string is redacted, including fields added later. Named string types
// (Status, PersonID, …) are never redacted because they hold ids or enums.
var unredactedFields = map[string]bool{
	"Incident.Links": true, "Head.Hash": true,
	"Event.Fields": true, "Event.Auth": true, "Event.Hash": true, "Text.Commitment": true, "TextRef.Name": true,
	"Facts.TimeZone": true, "Facts.Language": true, "ClosingRecord.Language": true,
	"AlertLine.Source": true, "AlertLine.Kind": true, "Explanation.Digest": true, "Explanation.CurrentDigest": true,
	"Detection.Digest": true, "Detection.CurrentDigest": true, "DetectionTrace.ID": true, "FieldComparison.Field": true,
	"StoredDelivery.Source": true, "StoredDelivery.SHA256": true, "StoredDelivery.Outcome": true,
	"AlertRef.Source": true, "AlertRef.Kind": true, "AlertRef.Fingerprint": true,
	"Evidence.ID": true, "Evidence.SHA256": true,
	"Run.Playbook": true, "Run.Digest": true, "Step.ID": true, "Step.After": true,
	"Submission.Digest": true, "SignedDocument.Kind": true, "SignedDocument.Schema": true, "SignedDocument.Incident": true,
	"SignedDocument.Head": true, "SignedDocument.Evidence": true,
	"Signature.Kind": true, "Signature.Schema": true, "Signature.Digest": true, "Signature.Auth": true,
	"Objection.ID": true, "Objection.Digest": true, "Objection.How": true, "Action.ID": true,
	"Postmortem.Digest": true, "Postmortem.FileID": true, "Document.Digest": true, "Brief.Mark": true,
}

var (
	plainString = reflect.TypeFor[string]()
	// unredactedTypes are copied unchanged. Adapters need the names and addresses
	// of the directory to reach people.
	unredactedTypes = map[reflect.Type]bool{reflect.TypeFor[time.Time](): true, reflect.TypeFor[incident.Directory](): true}
)

// redactedCopy returns a deep copy of v with every text redacted.
func redactedCopy[T any](r Redactor, v T) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	redactInto(r, out, reflect.ValueOf(&v).Elem(), "")
	return out.Interface().(T)
}

// redactSentence returns s with redacted arguments. A secret may need its
// context to be recognised: if redacting the whole sentence gives another
// text, the result is that text, and no translation applies.
func redactSentence(r Redactor, s incident.Sentence) incident.Sentence {
	out := s.Show(func(arg any) string { return r.Text(fmt.Sprint(arg)) })
	if whole := r.Text(s.String()); whole != out.String() {
		return incident.Say("%s", whole)
	}
	return out
}

// redactInto writes the redacted copy of from into to. field is the name of the
// field, as "Type.Field".
func redactInto(r Redactor, to, from reflect.Value, field string) {
	switch {
	case unredactedTypes[from.Type()]:
		to.Set(from)
		return
	case from.Type() == plainString && !unredactedFields[field]:
		to.SetString(r.Text(from.String()))
		return
	}
	switch from.Kind() {
	case reflect.Struct:
		for n := range from.NumField() {
			redactInto(r, to.Field(n), from.Field(n), from.Type().Name()+"."+from.Type().Field(n).Name)
		}
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(from.Type().Elem()))
			redactInto(r, to.Elem(), from.Elem(), field)
		}
	case reflect.Slice:
		if !from.IsNil() {
			to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
			for n := range from.Len() {
				redactInto(r, to.Index(n), from.Index(n), field)
			}
		}
	case reflect.Map:
		if !from.IsNil() {
			to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
			for _, key := range from.MapKeys() {
				value := reflect.New(from.Type().Elem()).Elem()
				redactInto(r, value, from.MapIndex(key), field)
				to.SetMapIndex(key, value)
			}
		}
	default:
		to.Set(from)
	}
}
