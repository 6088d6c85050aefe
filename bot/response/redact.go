package response

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// unredactedFields are the string fields that contain no free text: ids, digests,
// and words that the lifecycle has checked against a list. Every other field of
// type string is redacted, including fields added later. Named string types
// (Status, PersonID, …) are never redacted because they hold ids or enums.
var unredactedFields = map[string]bool{
	"Incident.Links": true, "Head.Hash": true, "PartDraft.Name": true,
	"Event.Auth": true, "Event.Hash": true, "Text.Commitment": true, "TextRef.Name": true,
	"Facts.TimeZone": true, "Facts.Language": true, "ClosingRecord.Language": true,
	"AlertLine.Source": true, "TrailEvent.Source": true, "Explanation.Digest": true, "Explanation.CurrentDigest": true,
	"Detection.Digest": true, "Detection.CurrentDigest": true, "DetectionTrace.ID": true, "FieldComparison.Field": true,
	"StoredDelivery.Source": true, "StoredDelivery.SHA256": true, "StoredDelivery.Outcome": true,
	"AlertRef.Source": true, "AlertRef.Fingerprint": true,
	"Evidence.ID": true, "Evidence.SHA256": true, "Evidence.Ref": true, "EvidenceChange.How": true, "KeptMessage.Ref": true, "KeptMessage.Item": true,
	"Run.Playbook": true, "Run.Digest": true, "Step.ID": true, "Step.After": true,
	"Submission.Digest": true, "SignedDocument.Kind": true, "SignedDocument.Schema": true, "SignedDocument.Incident": true,
	"SignedDocument.Head": true, "SignedDocument.Evidence": true,
	"Signature.Kind": true, "Signature.Schema": true, "Signature.Digest": true, "Signature.Auth": true, "Signature.Through": true,
	"ActStatement.Act": true, "ActStatement.Incident": true, "ActStatement.Digest": true, "ActStatement.Attestation": true, "ActStatement.Time": true, "ActStatement.Nonce": true,
	"Proof.RelyingParty": true, "Proof.Origin": true, "Passkey.Fingerprint": true, "Act.Attested": true, "LocalProposal.Digest": true,
	"Objection.ID": true, "Objection.Digest": true, "Objection.How": true, "Action.ID": true,
	"Postmortem.Digest": true, "Postmortem.FileID": true, "Document.Digest": true, "File.Name": true, "File.MediaType": true, "Brief.Mark": true, "Brief.Reached": true,
	"WaitingEffect.System": true, "Task.Typed": true, "Command.Expect": true, "Command.Step": true, "Command.Item": true, "PlaybookInfo.Name": true,
	"PageLinks.Status": true, "PageLinks.Chat": true, "PageLinks.Runbook": true, "PageLinks.Call": true,
}

// unredactedKeys are the maps whose keys are constants.
var unredactedKeys = map[string]bool{"Event.Fields": true, "Event.Texts": true, "Incident.Links": true, "Incident.Nonces": true, "FormDraft.Values": true}

// insideProviders are the providers whose answers do not leave Tocsin: the control
// socket, the pages and the bot itself. People sign on the pages, so the pages show exactly
// the record under the digest. An answer to any other provider is redacted, including
// providers added later.
var insideProviders = map[incident.Provider]bool{incident.ProviderLocal: true, incident.ProviderWeb: true, incident.ProviderSystem: true}

// answer returns v and err for a caller. Every method of the Desk that returns data of
// incidents returns it through answer.
func answer[T any](d *Desk, who incident.Identity, v T, err error) (T, error) {
	switch {
	case err != nil:
		var none T
		return none, d.redactError(who.Provider, err)
	case insideProviders[who.Provider]:
		return v, nil
	}
	return redactedCopy(d.Redact, v), nil
}

// redactError returns err for a caller at a provider. The text of an
// [*incident.Error] may quote input, so it is redacted for every provider outside.
func (d *Desk) redactError(p incident.Provider, err error) error {
	var rejection *incident.Error
	if insideProviders[p] || !errors.As(err, &rejection) {
		return err
	}
	out := *rejection
	out.Sentence = redactSentence(d.Redact, out.Sentence)
	return &out
}

var (
	plainString = reflect.TypeFor[string]()
	// unredactedTypes are copied unchanged. Adapters need the names and addresses
	// of the directory to reach people, the address of a reporter, and the statements of
	// the configuration that people sign.
	unredactedTypes = map[reflect.Type]bool{reflect.TypeFor[time.Time](): true, reflect.TypeFor[incident.Directory](): true, reflect.TypeFor[incident.Reply](): true, reflect.TypeFor[incident.Policy](): true}
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

// fieldNames holds the names of the fields of each struct type, as "Type.Field".
var fieldNames sync.Map

func fieldNamesOf(t reflect.Type) []string {
	if names, ok := fieldNames.Load(t); ok {
		return names.([]string)
	}
	names := make([]string, t.NumField())
	for n := range names {
		names[n] = t.Name() + "." + t.Field(n).Name
	}
	fieldNames.Store(t, names)
	return names
}

// redactInto writes the redacted copy of from into to, which is zero. field is the
// name of the field, as "Type.Field".
func redactInto(r Redactor, to, from reflect.Value, field string) {
	switch {
	case from.IsZero():
		return
	case unredactedTypes[from.Type()]:
		to.Set(from)
		return
	case from.Type() == plainString && !unredactedFields[field]:
		to.SetString(r.Text(from.String()))
		return
	}
	switch from.Kind() {
	case reflect.Struct:
		for n, name := range fieldNamesOf(from.Type()) {
			redactInto(r, to.Field(n), from.Field(n), name)
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
				if field == "Event.Fields" && incident.IsPlainField(key.String()) {
					value.Set(from.MapIndex(key))
				} else {
					redactInto(r, value, from.MapIndex(key), field)
				}
				if key.Type() == plainString && !unredactedKeys[field] {
					key = reflect.ValueOf(r.Text(key.String()))
				}
				to.SetMapIndex(key, value)
			}
		}
	default:
		to.Set(from)
	}
}
