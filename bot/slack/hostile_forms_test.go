package slack

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/slack-go/slack/socketmode"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// deliver sends a signed interaction over HTTP or as a request in Socket Mode, and returns
// the answer to it.
func (e *inboundTest) deliver(socket bool, payload string) string {
	e.Helper()
	defer e.slack.Wait()
	if socket {
		answer, _ := e.slack.dispatch(e.Context(), socketmode.Request{Type: socketmode.RequestTypeInteractive, EnvelopeID: "E1", AcceptsResponsePayload: true, Payload: []byte(payload)})
		out, err := json.Marshal(answer)
		if err != nil {
			e.Fatal(err)
		}
		return strings.TrimPrefix(string(out), "null")
	}
	body := url.Values{"payload": {payload}}.Encode()
	r := httptest.NewRequest(http.MethodPost, "/slack/interactions", strings.NewReader(body))
	r.Header = signed(e.ws.Config().SigningSecret, body, e.clock())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	e.slack.Handler().ServeHTTP(w, r)
	return w.Body.String()
}

// hostileForm is a submitted form that no honest client sends.
type hostileForm struct {
	user, team, verb, meta, values string
	blocks                         string // names of inputs, by default "text"
	want                           string // a part of the answer, or "" for no answer
}

func (h hostileForm) payload() string {
	var blocks []string
	for _, name := range strings.Fields(cmp.Or(h.blocks, "text")) {
		blocks = append(blocks, `{"type":"input","block_id":"`+name+`"}`)
	}
	meta, _ := json.Marshal(h.meta)
	return `{"type":"view_submission","user":{"id":"` + cmp.Or(h.user, "U0ADA") + `","team_id":"` + h.team + `"},"team":{"id":"` + h.team + `"},
		"view":{"id":"V1","hash":"h1","callback_id":"` + h.verb + `","private_metadata":` + string(meta) + `,"blocks":[` + strings.Join(blocks, ",") + `],"state":{"values":` + h.values + `}}}`
}

const note42 = `{"i":42}`

func typedText(s string) string {
	data, _ := json.Marshal(s)
	return `{"text":{"text":{"type":"plain_text_input","value":` + string(data) + `}}}`
}

// TestHostileForms submits forms that were edited, stolen or invented. Each gets a clear
// answer, nothing changes, and the answer quotes nothing of the incident.
func TestHostileForms(t *testing.T) {
	const title = "Root key used"
	tests := map[string]hostileForm{
		"unknown callback":         {verb: "launch", meta: note42, values: typedText("x"), want: "nothing was saved"},
		"no callback":              {verb: "", meta: note42, values: typedText("x"), want: "nothing was saved"},
		"verb without form":        {verb: "link", meta: note42, values: typedText("x"), want: "nothing was saved"},
		"verb of the system":       {verb: "escalate", meta: note42, values: typedText("x"), want: "nothing was saved"},
		"metadata not JSON":        {verb: "note", meta: "x", values: typedText("x"), want: "older version"},
		"no metadata":              {verb: "note", meta: "", values: typedText("x"), want: "older version"},
		"metadata of a wrong type": {verb: "note", meta: `{"i":"42"}`, values: typedText("x"), want: "older version"},
		"metadata too large":       {verb: "note", meta: `{"i":1e99}`, values: typedText("x"), want: "older version"},
		"metadata without ID":      {verb: "note", meta: `{}`, values: typedText("x"), want: "There is no"},
		"another incident":         {verb: "note", meta: `{"i":7}`, values: typedText("x"), want: "There is no INC-7"},
		"negative incident":        {verb: "note", meta: `{"i":-1}`, values: typedText("x"), want: "There is no"},
		"part that does not exist": {verb: "step_done", meta: `{"i":42,"s":"secret/step"}`, values: `{}`, want: "step"},
		"another department":       {verb: "sign", meta: `{"i":42,"d":"legal"}`, values: `{"attest":{"attest":{"type":"checkboxes","selected_options":[{"value":"yes"}]}}}`, blocks: "attest", want: "attest"},
		"a statement not ticked":   {verb: "sign", meta: `{"i":42,"d":"engineering"}`, values: `{}`, blocks: "attest", want: "Nothing is selected"},
		"an account of nobody":     {user: "U0STRANGER", verb: "contain", meta: note42, values: typedText("x"), want: "not linked to a person"},
		"another workspace":        {team: "T0OTHER", verb: "contain", meta: note42, values: typedText("x"), want: "not linked to a person"},
		"a bot user":               {user: "B0OTHER", verb: "contain", meta: note42, values: typedText("x"), want: "not linked to a person"},
		"no user":                  {user: " ", verb: "contain", meta: note42, values: typedText("x"), want: "not linked to a person"},
		"missing value":            {verb: "note", meta: note42, values: `{}`, want: "This field is empty"},
		"null values":              {verb: "note", meta: note42, values: `null`, want: "This field is empty"},
		"values of a wrong type":   {verb: "note", meta: note42, values: `{"text":{"text":{"type":"plain_text_input","value":{"x":1}}}}`, want: "cannot read this form"},
		"users of a wrong type":    {verb: "assign_role", meta: note42, values: `{"person":{"person":{"type":"users_select","selected_users":"U0ADA"}}}`, want: "cannot read this form"},
		"too long":                 {verb: "note", meta: note42, values: typedText(strings.Repeat("x", 300_000)), want: "text"},
		"severity not offered":     {verb: "set_severity", meta: note42, values: `{"severity":{"severity":{"type":"static_select","selected_option":{"value":"sev9"}}}}`, blocks: "severity text", want: "severity"},
		"team not offered":         {verb: "consult", meta: note42, values: `{"department":{"department":{"type":"static_select","selected_option":{"value":"kgb"}}},"text":{"text":{"value":"x"}}}`, blocks: "department text", want: "kgb"},
		"audience not offered":     {verb: "note", meta: note42, values: `{"text":{"text":{"value":"x"}},"audience":{"audience":{"type":"radio_buttons","selected_option":{"value":"press"}}}}`, blocks: "text audience", want: "press"},
		"person not in the list":   {verb: "assign_role", meta: note42, values: `{"role":{"role":{"type":"static_select","selected_option":{"value":"scribe"}}},"person":{"person":{"type":"users_select","selected_user":"U0ZOE"}}}`, blocks: "role person", want: "not in the configuration"},
		"day that does not exist":  {verb: "add_action", meta: note42, values: `{"kind":{"kind":{"type":"static_select","selected_option":{"value":"detection"}}},"title":{"title":{"type":"plain_text_input","value":"x"}},"owner":{"owner":{"type":"users_select","selected_user":"U0ADA"}},"due":{"due":{"type":"datepicker","selected_date":"2026-13-45"}}}`, blocks: "kind title owner due", want: "due"},
		"time out of range":        {verb: "note", meta: note42, values: `{"text":{"text":{"value":"x"}},"happened_at":{"happened_at":{"type":"datetimepicker","selected_date_time":99999999999}}}`, blocks: "text happened_at", want: "happened_at"},
	}
	for name, h := range tests {
		for _, socket := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				e := newInboundTest(t, chat.ModeHTTP)
				if _, err := e.slack.Self(t.Context()); err != nil {
					t.Fatal(err)
				}
				before := toText(t, e.incident42())
				got := e.deliver(socket, h.payload())
				if !strings.Contains(got, h.want) || got == "" || strings.Contains(got, title) || internalText.MatchString(got) {
					t.Errorf("socket %t: got %.600s, want %q", socket, got, h.want)
				}
				if e.desk.count() != 0 || toText(t, e.incident42()) != before {
					t.Errorf("socket %t: got %d commands, want no change", socket, e.desk.count())
				}
			})
		}
	}
}

func toText(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A repeated submission records once. The same submission by another person is not the
// same command.
func TestHostileForms_Replayed(t *testing.T) {
	for _, socket := range []bool{false, true} {
		e := newInboundTest(t, chat.ModeHTTP)
		h := hostileForm{verb: "note", meta: note42, values: typedText("looked at the log")}
		for range 3 {
			if got := e.deliver(socket, h.payload()); got != "" {
				t.Errorf("socket %t: got %s, want a closed form", socket, got)
			}
		}
		if n := e.desk.count(); n != 1 {
			t.Errorf("socket %t: got %d commands, want 1", socket, n)
		}
		h.user = "U0STRANGER"
		if got := e.deliver(socket, h.payload()); !strings.Contains(got, "not linked") || e.desk.count() != 1 {
			t.Errorf("socket %t: got %s, want a refusal of the other account", socket, got)
		}
		h.user = "U0BEN"
		if got := e.deliver(socket, h.payload()); got != "" || e.desk.count() != 2 || e.desk.last().By.ID != "U0BEN" {
			t.Errorf("socket %t: got %s and %d commands, want a note of the other person", socket, got, e.desk.count())
		}
	}
}

// Typing into a form changes nothing, and a hostile one stores nothing for another incident
// or person.
func TestHostileForms_Typing(t *testing.T) {
	for _, socket := range []bool{false, true} {
		e := newInboundTest(t, chat.ModeHTTP)
		h := hostileForm{verb: "note", meta: note42, values: typedText("x")}
		typing := func(h hostileForm) string {
			return strings.Replace(h.payload(), `"view_submission"`, `"block_actions","container":{"type":"view"},"actions":[{"action_id":"`+ActionID(incident.VerbAcknowledge)+`","value":"INC-42","action_ts":"1.1"}]`, 1)
		}
		for _, bad := range []hostileForm{{verb: "launch", meta: note42, values: typedText("x")}, {verb: "note", meta: "x", values: typedText("x")}, {verb: "severity", meta: note42, values: `{"severity":{}}`}} {
			e.deliver(socket, typing(bad))
		}
		if len(e.desk.drafts) != 0 {
			t.Errorf("socket %t: got drafts %v, want none", socket, e.desk.drafts)
		}
		e.deliver(socket, typing(h))
		if got := e.desk.drafts["p1"]["note//"].Values["text"]; got != "x" || e.desk.count() != 0 {
			t.Errorf("socket %t: got %q and %d commands, want a draft and no acknowledgement", socket, got, e.desk.count())
		}
	}
}

// FuzzForm submits any view and types into it. The answer is JSON without internal details,
// its errors are below inputs of the view, and there is at most one command: by the person,
// about the incident in the metadata.
func FuzzForm(f *testing.F) {
	f.Add("note", note42, "text", typedText("x"))
	f.Add("edit_record", `{"i":42,"n":2,"h":{"impact":"0123456789abcdef"}}`, "impact confirm", `{"impact":{"impact":{"value":"x"}},"confirm":{"confirm":{"selected_options":[{"value":"impact"}]}}}`)
	f.Add("set_fact", `{"i":42,"f":"aware"}`, "regime value text", `{"regime":{"regime":{"selected_option":{"value":"gdpr"}}},"value":{"value":{"selected_date_time":1}}}`)
	f.Add("sign", `{"i":42,"d":"legal","x":"sha256:00","a":"legal/1"}`, "attest", `{"attest":{"attest":{"selected_options":[{"value":"yes"}]}}}`)
	f.Add("add_action", `{"i":42,"m":{"ref":"C1/1.2","at":"2026-11-20T03:12:00Z"}}`, "title due", `{"due":{"due":{"selected_date":"2026-02-30"}}}`)
	f.Fuzz(func(t *testing.T, verb, meta, inputs, values string) {
		v := viewPayload{ID: "V1", Hash: "h", CallbackID: verb, PrivateMetadata: meta}
		if json.Unmarshal([]byte(values), &v.State.Values) != nil || !utf8.ValidString(inputs) {
			return
		}
		names := strings.Fields(inputs)
		for _, name := range names {
			v.Blocks = append(v.Blocks, struct {
				Type    string `json:"type"`
				BlockID string `json:"block_id"`
			}{"input", name})
		}
		s, desk, _ := fuzzedSlack(t, "signing")
		in := interaction{Type: "view_submission", User: userObject{ID: "U0ADA"}, View: v}
		answer := s.handleInteraction(t.Context(), in)
		s.Wait()
		got, err := json.Marshal(answer)
		if err != nil || internalText.Match(got) && !internalText.MatchString(verb+meta+values) {
			t.Fatalf("got %s and %v, want an answer without internal details", got, err)
		}
		var shown struct {
			Errors map[string]string `json:"errors"`
		}
		if err := json.Unmarshal(got, &shown); err != nil {
			t.Fatal(err)
		}
		for field := range shown.Errors {
			if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+field+" ") {
				t.Fatalf("got an error below %q, want one of %q", field, names)
			}
		}
		var state formMeta
		if desk.count() > 1 || desk.count() == 1 && (desk.last().By != identity("U0ADA") || json.Unmarshal([]byte(meta), &state) != nil || desk.last().Verb != incident.VerbOpen && desk.last().For != state.Incident) {
			t.Fatalf("got %d commands, the last %+v", desk.count(), desk.last())
		}
		recorded := desk.count()
		in.Type, in.Actions = "block_actions", []formElement{{ActionID: ActionID(incident.VerbAcknowledge), Value: "INC-42"}}
		s.handleInteraction(t.Context(), in)
		in.Type = "view_closed"
		s.handleInteraction(t.Context(), in)
		s.Wait()
		if verb != "" && desk.count() != recorded {
			t.Fatalf("typing into a form: got %d commands, want %d", desk.count(), recorded)
		}
	})
}
