package response_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// TestOpenForm_SeenRecord checks the record that each person saw last.
func TestOpenForm_SeenRecord(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{})
		id := h.do(incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3}).ID
		record := map[string]string{"audience": "all", "language": "en"}
		for _, f := range incident.RecordFields() {
			if record[f.Name] == "" {
				record[f.Name] = "ada@example.com wrote it"
			}
		}
		see := func(who string) *incident.SeenRecord {
			t.Helper()
			m, err := h.OpenForm(t.Context(), local(who), incident.FormKey{Incident: id, Form: "sign"}, true)
			if err != nil {
				t.Fatal(err)
			}
			return m.Seen
		}
		if got := see("p1"); got != nil {
			t.Errorf("without a record: got %+v, want nil", got)
		}
		for _, cmd := range []incident.Command{{Verb: incident.VerbAcknowledge}, {Verb: incident.VerbResolve, Text: "done"}, {Verb: incident.VerbSubmit, Record: record}} {
			cmd.For = id
			h.do(cmd)
		}
		first := h.now
		if got := see("p1"); got != nil {
			t.Errorf("first look: got %+v, want nil", got)
		}
		h.now = h.now.Add(time.Hour)
		if got := see("p1"); got == nil || !got.At.Equal(first) || got.Document.Record.Summary != record["summary"] {
			t.Errorf("second look: got %+v, want the record at %s", got, first)
		}
		if got := see("p2"); got != nil {
			t.Errorf("another person: got %+v, want nil", got)
		}
		if _, err := h.OpenForm(t.Context(), local("stranger"), incident.FormKey{Incident: id}, true); incident.CodeOf(err) == "" {
			t.Errorf("a stranger: got %v, want an error", err)
		}

		h.do(incident.Command{For: id, Verb: incident.VerbAmend, Text: "a name is in it"})
		edited := slices.IndexFunc(h.timeline(id), func(e incident.Event) bool { return e.Kind == incident.EventRecordEdited })
		erase := incident.Command{For: id, Verb: incident.VerbErase, Text: "a name", Erase: []incident.TextRef{{Seq: h.timeline(id)[edited].Seq, Name: "summary"}}, Via: incident.ViaCLI}
		for _, who := range []string{"p3", "p5"} {
			erase.By = local(who)
			if _, err := h.Do(t.Context(), erase); err != nil {
				t.Fatal(err)
			}
		}
		h.do(incident.Command{For: id, Verb: incident.VerbSubmit, Record: map[string]string{"summary": "a key leaked"}})
		if got := see("p1"); got == nil || got.Document.Record.Summary != "" || got.Document.Record.Impact != record["impact"] {
			t.Errorf("after the erasure: got %+v, want the record without the erased text", got)
		}
	})
}

// A draft belongs to one person and one form. It ends with the submission or by itself.
func TestDrafts(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{})
		id := h.do(incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3}).ID
		key := incident.FormKey{Incident: id, Form: "note", View: "V1"}
		save := func(who string, key incident.FormKey, order, text string) error {
			return h.SaveDraft(t.Context(), local(who), key, incident.FormDraft{Order: order, Values: map[string]string{"text": text}})
		}
		requireDraft := func(name, who string, key incident.FormKey, want string) {
			t.Helper()
			m, err := h.OpenForm(t.Context(), local(who), key, false)
			if err != nil || m.Draft.Values["text"] != want {
				t.Errorf("%s: got %+v and %v, want %q", name, m.Draft, err, want)
			}
		}
		const typed = "the key was used from 10.1.2.3"
		for n, text := range []string{typed, "the k"} { // the older one arrives last
			if err := save("p1", key, fmt.Sprint(9-n), text); err != nil {
				t.Fatal(err)
			}
		}
		other := key
		other.Form = "update"
		requireDraft("the person", "p1", key, typed)
		requireDraft("another person", "p2", key, "")
		requireDraft("another form", "p1", other, "")
		var refused *incident.Error
		if err := save("p1", key, "9", strings.Repeat("x", 200_000)); !errors.As(err, &refused) {
			t.Errorf("a draft without end: got %v, want an error", err)
		}
		h.do(incident.Command{Verb: incident.VerbRestrict, For: id})
		for _, who := range []string{"p6", "stranger"} {
			if _, err := h.OpenForm(t.Context(), local(who), key, false); incident.CodeOf(err) == "" {
				t.Errorf("%s opens: got %v, want an error", who, err)
			}
			if err := save(who, key, "1", typed); incident.CodeOf(err) == "" {
				t.Errorf("%s saves: got %v, want an error", who, err)
			}
		}
		if err := h.CloseForm(t.Context(), local("p1"), key, false); err != nil {
			t.Fatal(err)
		}
		requireDraft("after the form was closed", "p1", key, typed)
		if err := h.CloseForm(t.Context(), local("p1"), key, true); err != nil {
			t.Fatal(err)
		}
		requireDraft("after the submission", "p1", key, "")
		if err := save("p1", key, "99", typed); err != nil {
			t.Fatal(err)
		}
		requireDraft("a request that was late", "p1", key, "")
		key.View = "V2"
		if err := save("p1", key, "1", typed); err != nil {
			t.Fatal(err)
		}
		requireDraft("a new form", "p1", key, typed)
		h.now = h.now.Add(7 * 24 * time.Hour)
		requireDraft("after 7 days", "p1", key, "")
	})
}

// A draft is redacted on its way out, like every text.
func TestDrafts_Redacted(t *testing.T) {
	h := newTestDesk(t, storetest.SQLite(t), response.StormLimit{})
	who := incident.Identity{Provider: incident.ProviderSlack, ID: "U1"}
	if err := h.Store.Tx(t.Context(), func(tx response.Tx) error {
		return tx.PutDirectory(incident.Directory{People: []incident.Person{{ID: "p1", Identities: []incident.Identity{who}}}})
	}); err != nil {
		t.Fatal(err)
	}
	key := incident.FormKey{Form: "note", View: "V1"}
	if err := h.SaveDraft(t.Context(), who, key, incident.FormDraft{Values: map[string]string{"text": "call ada@example.com"}}); err != nil {
		t.Fatal(err)
	}
	m, err := h.OpenForm(t.Context(), who, key, false)
	if got := m.Draft.Values["text"]; err != nil || strings.Contains(got, "ada@") || !strings.Contains(got, "call") {
		t.Errorf("got %q and %v, want a redacted text", got, err)
	}
}

// Editors of the closing record see each other until they close the form.
func TestEditors(t *testing.T) {
	h := newTestDesk(t, storetest.SQLite(t), response.StormLimit{})
	id := h.do(incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3}).ID
	key := incident.FormKey{Incident: id, Form: "edit_record", Edits: true, View: "V1"}
	others := func(who string) []incident.Editor {
		t.Helper()
		k := key
		k.View = "view of " + who
		m, err := h.OpenForm(t.Context(), local(who), k, false)
		if err != nil {
			t.Fatal(err)
		}
		return m.Editors
	}
	since := h.now
	if got := others("p1"); len(got) != 0 {
		t.Errorf("got %v, want nobody", got)
	}
	h.now = h.now.Add(20 * time.Minute)
	key.View = "view of p1"
	if err := h.SaveDraft(t.Context(), local("p1"), key, incident.FormDraft{Values: map[string]string{"impact": "one"}}); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(20 * time.Minute)
	if got := others("p2"); len(got) != 1 || got[0].Person != "p1" || !got[0].Since.Equal(since) {
		t.Errorf("got %v, want p1 since %s", got, since)
	}
	second := key
	second.View = "second form of p1"
	if _, err := h.OpenForm(t.Context(), local("p1"), second, false); err != nil {
		t.Fatal(err)
	}
	for n, view := range []incident.FormKey{key, second} {
		if err := h.CloseForm(t.Context(), local("p1"), view, false); err != nil {
			t.Fatal(err)
		}
		if got := others("p2"); len(got) != 1-n {
			t.Errorf("after p1 closed %d forms: got %v", n+1, got)
		}
	}
	h.now = h.now.Add(30 * time.Minute)
	if got := others("p1"); len(got) != 0 {
		t.Errorf("after half an hour: got %v, want nobody", got)
	}
}
