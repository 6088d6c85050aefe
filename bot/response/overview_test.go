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

		h.do(incident.Command{For: mine, Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: "done", Owner: "p4", Due: h.now.AddDate(0, 0, 1)}})
		h.do(incident.Command{For: mine, Verb: incident.VerbFinishAction, Item: "A2"})
		h.do(incident.Command{For: secret, Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: titleCanary, Owner: "p4", Due: h.now.AddDate(0, 0, 2)}})
		for person, want := range map[string]string{
			"p7": "my INC-2/A1; overdue ; all INC-2/A1 INC-2/A2; INC-2 INC-2/A1 INC-2/A2", "p4": "my INC-1/A1; overdue INC-1/A1; all INC-1/A1 INC-2/A1 INC-2/A2; INC-2 INC-2/A1 INC-2/A2", "p5": "my ; overdue ; all ; INC-2 ",
		} {
			v, err := h.Overview(t.Context(), local(person))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, scope := range append(incident.ActionScopes(), "") {
				line := scope
				if scope == "" {
					line = mine.String()
				}
				line += " "
				for n, a := range v.ListActions(scope, mine, h.now.AddDate(0, 0, 3)) {
					if n > 0 {
						line += " "
					}
					line += a.Incident.String() + "/" + a.ID
					if a.MayFinish == a.IsDone() || (person == "p7" && a.Owner == "p4" && a.MayFinish) {
						t.Errorf("%s: got may finish %v for %+v", person, a.MayFinish, a)
					}
				}
				got = append(got, line)
			}
			if strings.Join(got, "; ") != want {
				t.Errorf("%s: got  %q\nwant %q", person, strings.Join(got, "; "), want)
			}
		}

		scribe, err := h.Overview(t.Context(), local("p7"))
		if err != nil || len(scribe.Tasks) != 1 || scribe.Tasks[0].Command.Item != "A1" || len(scribe.Mine) != 1 || len(scribe.Others)+len(scribe.Ended) != 0 {
			t.Errorf("scribe: got %+v, %v", scribe, err)
		}
		responder, err := h.Overview(t.Context(), local("p4"))
		if err != nil || len(responder.Tasks) != 2 || responder.Tasks[0].Incident != secret || responder.Tasks[0].Command.Verb != incident.VerbAcknowledge || len(responder.Others) != 1 || len(responder.Ended) != 1 {
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
