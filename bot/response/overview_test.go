package response_test

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// library has one playbook.
type library struct{}

func (library) Pin(name string) (incident.Run, bool) {
	return incident.Run{Playbook: "data-exposure", Title: "Data exposure", Plan: []incident.Step{{ID: "look", Title: "Look", Role: incident.Scribe, Deadline: time.Minute}}}, name == "data-exposure"
}

func (library) List() []incident.PlaybookInfo {
	return []incident.PlaybookInfo{{Name: "data-exposure", Title: "Data exposure"}}
}

func (library) Match(incident.Incident, *incident.Alert) ([]incident.Run, map[string]error) {
	return nil, nil
}

func local(person string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderLocal, ID: person}
}

func TestOverview(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{})
		h.Playbooks = library{}
		open := func(title string) incident.ID {
			return h.do(incident.Command{Verb: incident.VerbOpen, Title: title, Severity: incident.Sev3}).ID
		}
		secret, mine := open(titleCanary), open("mine")
		h.do(incident.Command{For: mine, Verb: incident.VerbAcknowledge})
		h.do(incident.Command{For: mine, Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p7"})
		h.do(incident.Command{For: mine, Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: "call the bank", Owner: "p7", Due: h.now.AddDate(0, 0, 9)}})
		ended := open("ended")
		h.do(incident.Command{For: ended, Verb: incident.VerbDismiss, NoPersonalData: true, Text: "a drill"})

		scribe, err := h.Overview(t.Context(), local("p7"))
		if err != nil || len(scribe.Tasks) != 1 || scribe.Tasks[0].Command.Item != "A1" || len(scribe.Mine) != 1 || len(scribe.Others)+len(scribe.Ended) != 0 {
			t.Errorf("scribe: got %+v, %v", scribe, err)
		}
		responder, err := h.Overview(t.Context(), local("p4"))
		if err != nil || len(responder.Tasks) != 1 || responder.Tasks[0].Incident != secret || responder.Tasks[0].Command.Verb != incident.VerbAcknowledge || len(responder.Others) != 1 || len(responder.Ended) != 1 {
			t.Errorf("responder: got %+v, %v", responder, err)
		}
		outsider, err := h.Overview(t.Context(), local("p5"))
		if err != nil || len(outsider.Tasks)+len(outsider.Mine)+len(outsider.Others)+len(outsider.Ended) != 0 {
			t.Errorf("outsider: got %+v, %v", outsider, err)
		}
		if _, err := h.Overview(t.Context(), local("mallory")); incident.CodeOf(err) != incident.CodeForbidden {
			t.Errorf("unknown: got %v, want forbidden", err)
		}
	})
}

func TestStartPlaybook_ByAPerson(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h := newTestDesk(t, url, response.StormLimit{})
		h.Playbooks = library{}
		id := h.do(incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3, Public: true}).ID
		forged := incident.Command{For: id, Verb: incident.VerbStartPlaybook, Runs: []incident.Run{{Playbook: "forged"}}}
		h.mustReject(incident.CodeInvalid, forged)
		forged.Playbook = "data-expsoure"
		_, err := h.Do(t.Context(), incident.Command{For: id, Verb: incident.VerbStartPlaybook, Playbook: "data-expsoure", By: local("p1"), Via: incident.ViaCLI})
		if err == nil || !strings.Contains(err.Error(), "Did you mean data-exposure?") {
			t.Errorf("misspelt: got %v", err)
		}
		_, err = h.Do(t.Context(), incident.Command{For: id, Verb: incident.VerbStartPlaybook, Playbook: "data-expsoure", By: local("p7"), Via: incident.ViaCLI})
		if incident.CodeOf(err) != incident.CodeForbidden || strings.Contains(err.Error(), "data-exposure") {
			t.Errorf("by communications: got %v, want forbidden without a name", err)
		}
		forged.Playbook = "data-exposure"
		inc := h.do(forged)
		if len(inc.Runs) != 1 || inc.Runs[0].Playbook != "data-exposure" || inc.Runs[0].Plan[0].Started.IsZero() {
			t.Errorf("got %+v, want the playbook of the library with its first step", inc.Runs)
		}
		timeline := h.timeline(id)
		started := timeline[len(timeline)-2]
		if s, _ := started.Sentence(); started.Kind != incident.EventPlaybookStarted || s.String() != "p1 started the playbook data-exposure" {
			t.Errorf("got %s by %s", s, started.By)
		}
		view, err := h.Show(t.Context(), local("p1"), id, "test")
		if err != nil || len(view.Playbooks) != 1 || len(view.Possible) == 0 {
			t.Errorf("view: got %v, %v, %v", view.Playbooks, view.Possible, err)
		}
		if repeated, err := h.Do(t.Context(), incident.Command{For: id, Verb: incident.VerbStartPlaybook, Playbook: "data-exposure", By: local("p1"), Via: incident.ViaCLI}); err != nil || !repeated.Unchanged {
			t.Errorf("again: got %+v, %v, want no change", repeated, err)
		}
	})
}
