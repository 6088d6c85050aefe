package response_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// The objects of the outsider matrix: what exists but is restricted, and what does
// not exist.
const (
	titleCanary = "canary-title"
	noIncident  = incident.ID(99)
	noAlert     = int64(9900)
	noDelivery  = int64(9901)
)

// outsiders are the actors of the matrix. legal and the excluded
// responder may read alerts in general.
var outsiders = map[string]incident.Identity{
	"no department": {Provider: incident.ProviderLocal, ID: "p9"},
	"legal":         {Provider: incident.ProviderLocal, ID: "p5"},
	"excluded":      {Provider: incident.ProviderLocal, ID: "p2"}, // a responder
	"unknown":       {Provider: incident.ProviderSlack, ID: "T0OUT/U0EVE"},
	"unknown local": {Provider: incident.ProviderLocal, ID: "mallory"},
}

// newOutsiderDesk returns a desk with restricted incidents in several statuses, and
// the alert and delivery of the first one.
func newOutsiderDesk(t *testing.T, url string) (h *testDesk, ids []incident.ID, alert, delivery int64) {
	t.Helper()
	h = newTestDesk(t, url, response.StormLimit{}, response.Rule{When: `level == "high"`, Open: incident.Sev2})
	dir := testDirectory()
	dir.People = append(dir.People, incident.Person{ID: "p9", Name: "p9", Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: "p9"}}})
	if err := h.PutDirectory(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	first := h.deliver(incident.Alert{Source: "sentry", Kind: "k", Level: incident.LevelHigh, Title: titleCanary, Fingerprint: "f", At: h.now})[0]
	ids = []incident.ID{first.Incident}
	for _, end := range []incident.Command{{Verb: incident.VerbNote, Text: titleCanary}, {Verb: incident.VerbMerge, Target: ids[0]}, {Verb: incident.VerbContain, Text: titleCanary}} {
		id := h.do(incident.Command{Verb: incident.VerbOpen, Title: titleCanary, Severity: incident.Sev3}).ID
		end.For, end.Key = id, "used"
		h.do(end)
		ids = append(ids, id)
	}
	for _, id := range ids {
		_, err := h.Do(t.Context(), incident.Command{Verb: incident.VerbExclude, For: id, Person: "p2", Text: "a suspect", Via: incident.ViaCLI,
			By: incident.Identity{Provider: incident.ProviderLocal, ID: "p3"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h, ids, first.Alert, first.Row
}

// outsiderAnswer returns the error for an outsider with the object replaced by X.
func outsiderAnswer(t *testing.T, name, object string, err error) string {
	t.Helper()
	var refused *incident.Error
	if !errors.As(err, &refused) {
		t.Fatalf("%s: got %v, want a refusal", name, err)
	}
	if strings.Contains(err.Error(), titleCanary) {
		t.Errorf("%s: %v contains the title", name, err)
	}
	return fmt.Sprintf("%s %s %s", refused.Code, refused.Field, strings.ReplaceAll(refused.Error(), object, "X"))
}

// TestOutsider_SameAnswerWhetherItExists compares, for every verb and query, the
// answers about an incident, alert or delivery that exists with those about one
// that does not.
func TestOutsider_SameAnswerWhetherItExists(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		h, ids, alert, delivery := newOutsiderDesk(t, url)
		public := h.do(incident.Command{Verb: incident.VerbOpen, Title: "public", Public: true}).ID
		var verbs []incident.Verb
		for _, row := range incident.Transitions {
			if !slices.Contains(verbs, row.Verb) && row.Verb != incident.VerbOpen {
				verbs = append(verbs, row.Verb)
			}
		}
		for name, who := range outsiders {
			do := func(verb incident.Verb, change func(*incident.Command)) error {
				cmd := incident.Command{Verb: verb, By: who, Via: incident.ViaCLI, Text: "x", Title: "x", Severity: incident.Sev1, Key: "used", Person: "p9",
					Department: incident.Legal, Role: incident.Scribe, Playbook: "every", Step: "a/b", Item: "A1", Expect: "sha256:00", Alerts: []int64{alert}, Target: public,
					Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}, Erase: []incident.TextRef{{Seq: 1, Name: "title"}}}
				change(&cmd)
				result, err := h.Do(t.Context(), cmd)
				if result.Requested { // access, which is an answer and no refusal
					return incident.Conflict("%s", fmt.Sprintf("%+v", result))
				}
				return err
			}
			same := func(what string, exists, missing fmt.Stringer, ask func(exists bool) error) {
				t.Helper()
				got, want := outsiderAnswer(t, what, exists.String(), ask(true)), outsiderAnswer(t, what, missing.String(), ask(false))
				if got != want {
					t.Errorf("%s, %s: got %q if it exists, %q if not", name, what, got, want)
				}
			}
			for n, id := range ids {
				pick := func(exists bool) incident.ID {
					if exists {
						return id
					}
					return noIncident
				}
				for _, verb := range verbs {
					if verb == incident.VerbBreakGlass && name == "legal" {
						continue // may read every incident at once
					}
					same(fmt.Sprint(verb, " ", id), id, noIncident, func(exists bool) error {
						return do(verb, func(c *incident.Command) { c.For = pick(exists) })
					})
				}
				same("merge into", id, noIncident, func(exists bool) error {
					return do(incident.VerbMerge, func(c *incident.Command) { c.For, c.Target = public, pick(exists) })
				})
				same("merge both", id, noIncident, func(exists bool) error {
					return do(incident.VerbMerge, func(c *incident.Command) { c.For, c.Target = ids[(n+1)%len(ids)], pick(exists) })
				})
				same("show", id, noIncident, func(exists bool) error {
					_, err := h.Show(t.Context(), who, pick(exists), "curious")
					return err
				})
				for revision := range 2 {
					same("document", id, noIncident, func(exists bool) error {
						_, err := h.Document(t.Context(), who, pick(exists), revision, "curious")
						return err
					})
				}
			}
			number := func(exists bool, yes, no int64) int64 {
				if exists {
					return yes
				}
				return no
			}
			same("explain an alert", label("A", alert), label("A", noAlert), func(exists bool) error {
				_, err := h.Alerts(t.Context(), who, incident.AlertRequest{Query: incident.QueryExplain, Alert: number(exists, alert, noAlert)})
				return err
			})
			same("explain a delivery", label("D", delivery), label("D", noDelivery), func(exists bool) error {
				_, err := h.Alerts(t.Context(), who, incident.AlertRequest{Query: incident.QueryExplain, Delivery: number(exists, delivery, noDelivery)})
				return err
			})
			for _, into := range []incident.ID{0, public, ids[0], noIncident} {
				same("promote", label("A", alert), label("A", noAlert), func(exists bool) error {
					return do(incident.VerbPromote, func(c *incident.Command) { c.For, c.Alerts = into, []int64{number(exists, alert, noAlert)} })
				})
			}
			for _, from := range []incident.ID{public, ids[0], noIncident} {
				same("split", label("A", alert), label("A", noAlert), func(exists bool) error {
					return do(incident.VerbSplit, func(c *incident.Command) { c.For, c.Alerts = from, []int64{number(exists, alert, noAlert)} })
				})
			}
			if name != "legal" && name != "excluded" { // they may see all maintenance windows
				same("end a window", label("M", 1), label("M", 99), func(exists bool) error {
					_, err := h.Alerts(t.Context(), who, incident.AlertRequest{Query: incident.QueryMaintenance, End: number(exists, 1, 99)})
					return err
				})
			}
		}
	})
}

// label is the name of an alert, delivery or maintenance window in messages.
func label(letter string, id int64) fmt.Stringer { return objectName(letter + fmt.Sprint(id)) }

type objectName string

func (n objectName) String() string { return string(n) }

func TestOutsider_List(t *testing.T) {
	h, ids, _, _ := newOutsiderDesk(t, storetest.SQLite(t))
	for name, who := range outsiders {
		for _, f := range []incident.Filter{{}, {All: true}, {Statuses: []incident.Status{incident.Merged}}} {
			list, err := h.List(t.Context(), who, f)
			if strings.HasPrefix(name, "unknown") {
				if list != nil || incident.CodeOf(err) != incident.CodeForbidden {
					t.Errorf("%s: got %v, %v, want nothing", name, list, err)
				}
				continue
			}
			if err != nil || f.All && len(list) != len(ids) {
				t.Fatalf("%s: got %v, %v", name, list, err)
			}
			for _, s := range list {
				if want := (incident.Summary{ID: s.ID, Status: s.Status, Severity: s.Severity, Restricted: true}); s != want {
					t.Errorf("%s: got %+v, want only ID, status and severity", name, s)
				}
			}
		}
	}
}
