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

// fill puts a value into every field of v: into each plain string a text that
// names its place.
func fill(v reflect.Value, path string, depth int) {
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
		fill(v.Elem(), path, depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path, depth)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString("key")
		fill(value, path, depth)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(at))
			return
		}
		for n := range v.NumField() {
			fill(v.Field(n), v.Type().Name()+"."+v.Type().Field(n).Name, depth+1)
		}
	}
}

// strings lists what stands in every plain string of v.
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

// TestEveryTextIsRedacted fills every field of everything that leaves the
// house: a string is either redacted or on the list of those that are no text.
func TestEveryTextIsRedacted(t *testing.T) {
	seen := map[string]bool{}
	check := func(name string, before, after reflect.Value) {
		var was, is []string
		plainStrings(before, &was)
		plainStrings(after, &is)
		if len(was) == 0 || len(was) != len(is) {
			t.Fatalf("%s: %d strings became %d", name, len(was), len(is))
		}
		for n, text := range is {
			field := strings.TrimPrefix(was[n], "text of ")
			seen[field] = true
			if kept := text == was[n]; kept != unredactedFields[field] {
				t.Errorf("%s: %s is %q", name, field, text)
			}
		}
	}
	var brief incident.Brief
	fill(reflect.ValueOf(&brief).Elem(), "", 0)
	check("Brief", reflect.ValueOf(brief), reflect.ValueOf(redactedCopy(blots{}, brief)))
	var view incident.View
	fill(reflect.ValueOf(&view).Elem(), "", 0)
	check("View", reflect.ValueOf(view), reflect.ValueOf(redactedCopy(blots{}, view)))
	var result incident.Result
	fill(reflect.ValueOf(&result).Elem(), "", 0)
	check("Result", reflect.ValueOf(result), reflect.ValueOf(redactedCopy(blots{}, result)))
	var list []incident.Summary
	fill(reflect.ValueOf(&list).Elem(), "", 0)
	check("Summary", reflect.ValueOf(list), reflect.ValueOf(redactedCopy(blots{}, list)))
	for field := range unredactedFields {
		if !seen[field] {
			t.Errorf("%s is on the list of what is kept and does not exist", field)
		}
	}
}

func TestRedactionLeavesTheOriginalAlone(t *testing.T) {
	inc := incident.Incident{Title: "a", Alerts: []incident.AlertRef{{Title: "b"}}, Submission: &incident.Submission{Document: incident.SignedDocument{Record: incident.ClosingRecord{Summary: "c"}}}}
	redactedCopy(blots{}, inc)
	if inc.Title != "a" || inc.Alerts[0].Title != "b" || inc.Submission.Document.Record.Summary != "c" {
		t.Errorf("the original changed: %+v", inc)
	}
}

// secretText is what somebody writes who should not.
const secretText = "mail jane.doe@customer.example, she called from +33 6 12 34 56 78"

func leaks(v any) bool {
	s := fmt.Sprintf("%+v", v)
	return strings.Contains(s, "jane.doe") || strings.Contains(s, "12 34 56")
}

// TestNothingLeavesUnredacted follows a text through every way out.
func TestNothingLeavesUnredacted(t *testing.T) {
	var briefs []incident.Brief
	w := newWorld(t, func(o *Options) {
		o.Redact = redact.New(redact.Options{})
		for kind, handle := range o.Handlers {
			o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				briefs = append(briefs, b)
				return handle(ctx, b, e)
			}
		}
	})
	opened := w.say(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: secretText, Severity: incident.Sev2, Public: true})
	id := opened.Incident.ID
	noted := w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: secretText})
	w.settle(t)
	if leaks(opened) || leaks(noted) {
		t.Error("an answer to Slack is not redacted")
	}
	if len(briefs) == 0 {
		t.Fatal("no handler was called")
	}
	for _, b := range briefs {
		b.Directory = incident.Directory{}
		if leaks(b) {
			t.Errorf("the brief of %s is not redacted", b.Event.Kind)
		}
	}
	ctx := context.Background()
	for _, door := range []incident.Provider{incident.ProviderSlack, incident.ProviderLocal} {
		who := incident.Identity{Provider: door, ID: map[incident.Provider]string{incident.ProviderSlack: "Up1", incident.ProviderLocal: "p1"}[door]}
		view, err := w.Show(ctx, who, id, "")
		if err != nil {
			t.Fatal(err)
		}
		list, err := w.List(ctx, who, incident.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []any{view, list} {
			if leaks(got) != (door == incident.ProviderLocal) {
				t.Errorf("behind %s: %+v", door, got)
			}
		}
	}
}
