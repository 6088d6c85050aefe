package response

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
)

// fillFields sets every field of v. Each plain string contains the name of its
// field.
func fillFields(v reflect.Value, path string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("text of " + path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillFields(v.Elem(), path, depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillFields(v.Index(0), path, depth)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString("key")
		fillFields(value, path, depth)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(startTime))
			return
		}
		for n := range v.NumField() {
			fillFields(v.Field(n), v.Type().Name()+"."+v.Type().Field(n).Name, depth+1)
		}
	}
}

// plainStrings appends the value of every plain string of v to out.
func plainStrings(v reflect.Value, out *[]string) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == plainString {
			*out = append(*out, v.String())
		}
	case reflect.Pointer:
		if !v.IsNil() {
			plainStrings(v.Elem(), out)
		}
	case reflect.Slice:
		for n := range v.Len() {
			plainStrings(v.Index(n), out)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			plainStrings(v.MapIndex(key), out)
		}
	case reflect.Struct:
		if unredactedTypes[v.Type()] {
			return
		}
		for n := range v.NumField() {
			plainStrings(v.Field(n), out)
		}
	}
}

// Every string field of the types that leave Tocsin is either redacted or listed
// in unredactedFields.
func TestRedactedCopy_CoversEveryField(t *testing.T) {
	seen := map[string]bool{}
	check := func(name string, before, after reflect.Value) {
		var original, copied []string
		plainStrings(before, &original)
		plainStrings(after, &copied)
		if len(original) == 0 || len(original) != len(copied) {
			t.Fatalf("%s: got %d strings before and %d after", name, len(original), len(copied))
		}
		for n, text := range copied {
			field := strings.TrimPrefix(original[n], "text of ")
			seen[field] = true
			if unchanged := text == original[n]; unchanged != unredactedFields[field] {
				t.Errorf("%s: %s: got %q", name, field, text)
			}
		}
	}
	var brief incident.Brief
	fillFields(reflect.ValueOf(&brief).Elem(), "", 0)
	check("Brief", reflect.ValueOf(brief), reflect.ValueOf(redactedCopy(redactEverything{}, brief)))
	var view incident.View
	fillFields(reflect.ValueOf(&view).Elem(), "", 0)
	check("View", reflect.ValueOf(view), reflect.ValueOf(redactedCopy(redactEverything{}, view)))
	var result incident.Result
	fillFields(reflect.ValueOf(&result).Elem(), "", 0)
	check("Result", reflect.ValueOf(result), reflect.ValueOf(redactedCopy(redactEverything{}, result)))
	var list []incident.Summary
	fillFields(reflect.ValueOf(&list).Elem(), "", 0)
	check("Summary", reflect.ValueOf(list), reflect.ValueOf(redactedCopy(redactEverything{}, list)))
	var overview incident.Overview
	fillFields(reflect.ValueOf(&overview).Elem(), "", 0)
	check("Overview", reflect.ValueOf(overview), reflect.ValueOf(redactedCopy(redactEverything{}, overview)))
	var memory incident.FormMemory
	fillFields(reflect.ValueOf(&memory).Elem(), "", 0)
	check("FormMemory", reflect.ValueOf(memory), reflect.ValueOf(redactedCopy(redactEverything{}, memory)))
	var act incident.Act
	fillFields(reflect.ValueOf(&act).Elem(), "", 0)
	check("Act", reflect.ValueOf(act), reflect.ValueOf(redactedCopy(redactEverything{}, act)))
	for field := range unredactedFields {
		if !seen[field] {
			t.Errorf("unredactedFields has the unknown field %s", field)
		}
	}
}

func TestRedactedCopy_KeepsOriginal(t *testing.T) {
	inc := incident.Incident{Title: "a", Alerts: []incident.AlertRef{{Title: "b"}}, Submission: &incident.Submission{Document: incident.SignedDocument{Record: incident.ClosingRecord{Summary: "c"}}}}
	redactedCopy(redactEverything{}, inc)
	if inc.Title != "a" || inc.Alerts[0].Title != "b" || inc.Submission.Document.Record.Summary != "c" {
		t.Errorf("original changed: %+v", inc)
	}
}

// secretText contains personal data.
const secretText = "mail jane.doe@customer.example, she called from +33 6 12 34 56 78"

func containsSecret(v any) bool {
	s := fmt.Sprintf("%+v", v)
	return strings.Contains(s, "jane.doe") || strings.Contains(s, "12 34 56")
}

func TestDesk_RedactsEveryOutput(t *testing.T) {
	var briefs []incident.Brief
	fx := newFixture(t, func(o *Options) {
		o.Redact = redact.New(redact.Options{})
		for kind, handle := range o.Handlers {
			o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				briefs = append(briefs, b)
				return handle(ctx, b, e)
			}
		}
	})
	opened := fx.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: secretText, Severity: incident.Sev2, Public: true})
	id := opened.Incident.ID
	noted := fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: secretText})
	fx.runQueue(t)
	if containsSecret(opened) || containsSecret(noted) {
		t.Error("result for Slack is not redacted")
	}
	if len(briefs) == 0 {
		t.Fatal("got no handler call")
	}
	for _, b := range briefs {
		b.Directory = incident.Directory{}
		if containsSecret(b) {
			t.Errorf("brief of %s is not redacted", b.Event.Kind)
		}
	}
	ctx := context.Background()
	for _, provider := range []incident.Provider{incident.ProviderSlack, incident.ProviderLocal} {
		who := incident.Identity{Provider: provider, ID: map[incident.Provider]string{incident.ProviderSlack: "Up1", incident.ProviderLocal: "p1"}[provider]}
		view, err := fx.Show(ctx, who, id, "")
		if err != nil {
			t.Fatal(err)
		}
		list, err := fx.List(ctx, who, incident.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []any{view, list} {
			if containsSecret(got) != (provider == incident.ProviderLocal) {
				t.Errorf("%s: got %+v", provider, got)
			}
		}
	}
}

// A sentence must never show more than redaction of its whole text would.
func TestRedactSentence_AsStrongAsTheWholeText(t *testing.T) {
	r := redact.New(redact.Options{})
	for name, s := range map[string]incident.Sentence{
		"secret in one argument":    incident.Say("unknown person %q", "ada@example.com"),
		"context in the format":     incident.Say("the password: %s is wrong", "correct-horse-battery"),
		"secret over two arguments": incident.Say("%q %q", "-----BEGIN PRIVATE KEY-----", "hunter2hunter2"),
		"card number as a number":   incident.Say("%d is not a count", 4111111111111111),
		"nothing to redact":         incident.Say("unknown step %q", "rotate-key"),
	} {
		if got, want := redactSentence(r, s).String(), r.Text(s.String()); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if s := redactSentence(r, incident.Say("unknown step %q", "rotate-key")); s.Format != "unknown step %q" {
		t.Errorf("got format %q, want the catalogue key", s.Format)
	}
}

// TestRedactedCopy_KeysOfEventsOnly requires that the names of event fields excuse no
// other map, and that the keys of event fields stay.
func TestRedactedCopy_KeysOfEventsOnly(t *testing.T) {
	type other struct{ Notes map[string]string }
	if got := redactedCopy(Redactor(redactEverything{}), other{map[string]string{"source": "a secret"}}); got.Notes["[gone]"] != "[gone]" {
		t.Errorf("got %v, want the key and the value redacted", got.Notes)
	}
	got := redactedCopy(Redactor(redactEverything{}), incident.Event{Fields: map[string]string{"source": "sentry", "anything": "a secret"}})
	if got.Fields["source"] != "sentry" || got.Fields["anything"] != "[gone]" {
		t.Errorf("got %v, want the fields that contain no text unchanged", got.Fields)
	}
}
