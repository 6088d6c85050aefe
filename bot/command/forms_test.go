package command_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

// buttonsAsk are the verbs with at most one argument that have a form, because a button
// gives them and a person must add the argument.
var buttonsAsk = []Verb{VerbSubmit, VerbUpdate, VerbAmend, VerbReopen, VerbScheduleReview, VerbConclude, VerbPageAgain, VerbRequestAccess, VerbBreakGlass, VerbStartPlaybook}

// commandLineOnly are the verbs that the chat rejects.
var commandLineOnly = []Verb{VerbReplacement}

// argument matches one argument in the usage of a command.
var argument = regexp.MustCompile(`\[[^]]*\]|(?:because|into|until|owner|due|alerts) \S+|\S+`)

// arguments returns the highest number of typed arguments of a verb, without the incident.
func arguments(verb Verb) int {
	most := 0
	for _, s := range Specs() {
		for _, y := range s.Syntaxes {
			if y.Verb != verb {
				continue
			}
			var usage []string
			for _, a := range y.Args {
				usage = append(usage, strings.NewReplacer("[INC-42] ", "", "INC-42 ", "").Replace(a.Usage))
			}
			most = max(most, len(argument.FindAllString(strings.Join(usage, " "), -1)))
		}
	}
	return most
}

func TestForms_OfEveryVerbWithSeveralArguments(t *testing.T) {
	for _, s := range Specs() {
		for _, y := range s.Syntaxes {
			if y.Verb == "" || slices.Contains(commandLineOnly, y.Verb) {
				continue
			}
			_, has := FormOf(y.Verb)
			if want := arguments(y.Verb) > 1 || slices.Contains(buttonsAsk, y.Verb); has != want {
				t.Errorf("%s with %d arguments: got a form %t, want %t", y.Verb, arguments(y.Verb), has, want)
			}
		}
	}
}

// openForms returns every form, each opened for an incident that fills every menu. Each fact
// has its own form.
func openForms(t *testing.T) map[string]openForm {
	t.Helper()
	c := FormContext{Directory: testContext(t).Directory, Others: []Summary{{ID: 41, Title: "Old key"}}, Alerts: []AlertLine{{ID: 17, Title: "Login"}}}
	hour := testContext(t).Now.Add(-time.Hour)
	c.Incident = Incident{ID: 42, Status: InReview, Severity: Sev2, Commander: "p-ada", Head: Head{Seq: 20},
		Alerts:        []AlertRef{{Alert: 3, Title: "Key used"}, {Alert: 4, Title: "Key used again"}},
		Runs:          []Run{{Playbook: "leaked-key", Title: "Leaked key", Plan: []Step{{ID: "rotate-key", Title: "Rotate the key", Status: StepOpen, Started: hour, Role: "custodian"}}}},
		Objections:    []Objection{{ID: "O1", Department: Security, By: "p-ada", Reason: "incomplete"}},
		Consultations: []Consultation{{Team: "payroll"}},
		Delegations:   []Delegation{{Department: Legal, From: "p-ben", To: "p-ada", Until: testContext(t).Now.Add(time.Hour)}},
		Actions:       []Action{{ID: "A1", Kind: ActionDetection, Title: "alert on it", Owner: "p-ada"}}}
	c.Env = Env{Now: testContext(t).Now, Actor: "p-ada", Directory: c.Directory}
	c.Incident.DistrustedChanges = []DistrustedChange{{Seq: 17, Kind: EventNoted, By: "p-ada", At: hour, Provider: "slack"}}
	c.Incident.Updates = []Update{{ID: "U1", By: "p-ada", At: hour, Audiences: []string{"company"}}}
	c.Incident.Submission = &Submission{Digest: "sha256:" + strings.Repeat("ab", 32)}
	c.Timeline = []Event{{Seq: 17, Kind: EventNoted, Texts: map[string]Text{"text": {Value: "4111 1111 1111 1111"}}}}
	out := map[string]openForm{}
	add := func(name string, given Command) {
		form, ok := FormFor(given)
		if !ok {
			return
		}
		c.Given = given
		if given.Verb != VerbOpen {
			c.Given.For = 42
		}
		out[name] = openForm{form, form.Open(c), c}
	}
	for _, s := range Specs() {
		for _, y := range s.Syntaxes {
			if y.Verb != "" && y.Verb != VerbSetFact {
				add(string(y.Verb), Command{Verb: y.Verb})
			}
		}
	}
	for _, name := range FactNames() {
		add("fact "+string(name), Command{Verb: VerbSetFact, Fact: &FactChange{Name: name}})
	}
	return out
}

type openForm struct {
	spec *FormSpec
	Form
	context FormContext
}

// values returns a valid value for every input of the form. text is the value of texts.
func (f openForm) values(text string) Values {
	out := Values{}
	for _, field := range f.Fields {
		switch field.Kind {
		case KindLine, KindProse:
			if out[field.Name] = []string{text}; field.Name == "sha256" {
				out[field.Name] = []string{strings.Repeat("ab", 32)}
			} else if field.Name == "incident" {
				out[field.Name] = []string{"INC-42"}
			}
		case KindChoice, KindRadio:
			out[field.Name] = field.Options[:1]
		case KindMany:
			out[field.Name] = field.Options
		case KindCheck:
			out[field.Name] = []string{"yes"}
		case KindPerson:
			out[field.Name] = []string{Mention("p-ada", "Ada")}
		case KindPeople:
			out[field.Name] = []string{Mention("p-ada", "Ada"), Mention("p-ben2", "Ben")}
		case KindDay:
			out[field.Name] = []string{"2026-12-24"}
		case KindMoment:
			if out[field.Name] = []string{"2026-11-18T10:00:00Z"}; field.Name == "when" || field.Name == "until" {
				out[field.Name] = []string{"2026-12-01T10:00:00Z"}
			}
		case KindNumber:
			out[field.Name] = []string{"1200"}
		}
	}
	return out
}

// A box takes a literal text. No word of the text changes another part of the command.
func TestForms_BoxesTakeNoGrammar(t *testing.T) {
	const text = `because sev1 INC-7 @ada at 02:31 owner me due friday: "controller" set impact none --public`
	literal, _ := json.Marshal(text)
	for name, f := range openForms(t) {
		plain, err := f.spec.Command(f.Verb, f.State, f.values("x"), testContext(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, _ := json.Marshal(plain)
		for _, field := range f.Fields {
			if field.Kind != KindLine && field.Kind != KindProse || field.Name == "sha256" || field.Name == "incident" {
				continue
			}
			values := f.values("x")
			values[field.Name] = []string{text}
			cmd, err := f.spec.Command(f.Verb, f.State, values, testContext(t))
			if err != nil {
				t.Errorf("%s: %s: %v", name, field.Name, err)
				continue
			}
			got, _ := json.Marshal(cmd)
			if again := strings.Replace(string(got), string(literal), `"x"`, 1); again != string(want) {
				t.Errorf("%s: %s: got %s, want only the text in it", name, field.Name, got)
			}
		}
	}
}

func TestForms_RequiredFieldsAreEnforced(t *testing.T) {
	for name, f := range openForms(t) {
		for _, field := range f.spec.Fields {
			if !field.Kind.IsInput() || field.Optional {
				continue
			}
			for _, empty := range [][]string{nil, {" "}} {
				values := f.values("x")
				values[field.Name] = empty
				_, err := f.spec.Command(f.Verb, f.State, values, testContext(t))
				var refused *Error
				if !errors.As(err, &refused) || refused.Field != field.Name {
					t.Errorf("%s without %s: got %v, want an error of this field", name, field.Name, err)
				}
			}
		}
	}
}

// Only these fields may be required or not, depending on the incident.
func TestForms_OnlyMarkWhatIsRequired(t *testing.T) {
	for name, f := range openForms(t) {
		for _, field := range f.Fields {
			n := slices.IndexFunc(f.spec.Fields, func(s Field) bool { return s.Name == field.Name && s.Kind == field.Kind })
			if n >= 0 && f.spec.Fields[n].Optional != field.Optional && name+" "+field.Name != "dismiss text" {
				t.Errorf("%s: %s is optional: got %t, want %t", name, field.Name, field.Optional, f.spec.Fields[n].Optional)
			}
		}
	}
	for _, fact := range FactNames() {
		f := openForms(t)["fact "+string(fact)]
		why := f.Fields[len(f.Fields)-1]
		if setting := fact == FactTimeZone || fact == FactLanguage; !setting && (why.Label != "How is this known?" || why.Optional) {
			t.Errorf("%s: got %+v, want a required reason", fact, why)
		}
	}
}

// The errors of the form and of the domain land on the field with the wrong value.
func TestForms_ErrorsLandOnTheirField(t *testing.T) {
	wrong := map[FieldKind]string{KindChoice: "no-such-option!", KindRadio: "no-such-option!", KindMany: "no-such-option!", KindPerson: Mention("", "zoe"), KindPeople: Mention("", "zoe"),
		KindDay: "someday", KindMoment: "noonish", KindNumber: "many"}
	for name, f := range openForms(t) {
		var shown []string
		for _, field := range f.Fields {
			if field.Kind.IsInput() {
				shown = append(shown, field.Name)
			}
		}
		for _, field := range f.Fields {
			value, ok := wrong[field.Kind]
			if field.Name == "sha256" {
				value, ok = "abc", true
			}
			if !ok {
				continue
			}
			values := f.values("x")
			values[field.Name] = []string{value}
			cmd, err := f.spec.Command(f.Verb, f.State, values, testContext(t))
			if err == nil {
				err = decide(t, cmd)
			}
			var refused *Error
			if !errors.As(err, &refused) || ErrorField(refused, shown) != field.Name {
				t.Errorf("%s with %s %q: got %v, want an error of this field", name, field.Name, value, err)
			}
		}
	}
}

// decide returns the error of the domain about a command of Ada.
func decide(t *testing.T, cmd Command) error {
	t.Helper()
	c := testContext(t)
	var err error
	for _, status := range Statuses() {
		if !slices.Contains(AllowedVerbs(status), cmd.Verb) {
			continue
		}
		inc := Incident{ID: 42, Status: status, Severity: Sev2, Commander: "p-ada", Head: Head{Seq: 20}, Roles: map[Role]PersonID{Commander: "p-ada"},
			Runs: []Run{{Playbook: "leaked-key", Plan: []Step{{ID: "rotate-key", Status: StepOpen}}}}}
		_, err = Decide(cmd, inc, Env{Now: c.Now, Actor: "p-ada", Directory: c.Directory})
	}
	return err
}

func TestForms_MeanTheSameAsTyped(t *testing.T) {
	onlyForms := []Verb{VerbEditRecord, VerbSubmit, VerbConclude} // a line has no place for all of their fields
	for name, f := range openForms(t) {
		cmd, err := f.spec.Command(f.Verb, f.State, f.values(`at 02:31 because of "this", she said`), testContext(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cmd.Attested = "" // a typed signature attests the statement in force
		if _, ok := Format(Parsed{Command: cmd}, testContext(t).Directory); !ok {
			if !slices.Contains(onlyForms, f.Verb) {
				t.Errorf("%s: cannot be typed", name)
			}
			continue
		}
		requireSame(t, name, Parsed{Command: cmd})
	}
}

// The key of a form is equal before and after it was opened: the draft is saved under the
// key that the next opening asks for. The draft comes back in every long text, unless the
// command gives that text.
func TestForms_RestoreDrafts(t *testing.T) {
	const typed = "what I typed at 03:12"
	for name, f := range openForms(t) {
		given := f.State.Given(f.Verb)
		if !f.spec.KeepsDrafts() {
			continue
		}
		draft := f.spec.Draft(f.values(typed))
		if len(draft) == 0 {
			continue // the incident needs no text
		}
		c := f.context
		c.Given, c.Memory.Draft = given, FormDraft{At: c.Env.Now.Add(-time.Hour), Values: draft}
		again := f.spec.Open(c)
		if a, b := FormKeyOf(f.context.Given, "V1"), FormKeyOf(again.State.Given(f.Verb), "V1"); a != b {
			t.Errorf("%s: got keys %+v and %+v, want one", name, a, b)
		}
		for _, field := range again.Fields {
			if field.Kind == KindProse && field.Draft != typed {
				t.Errorf("%s: %s: got %q, want the draft", name, field.Name, field.Draft)
			}
		}
		if len(again.Document) == 0 || !strings.HasPrefix(again.Document[0].Text, "Your text of ") {
			t.Errorf("%s: got %+v, want a note about the saved text", name, again.Document)
		}
	}
	form, _ := FormOf(VerbContain)
	c := FormContext{Given: Command{Verb: VerbContain, For: 42, Text: "the key is off"}, Memory: FormMemory{Draft: FormDraft{Values: map[string]string{"text": typed}}}}
	if f := form.Open(c); f.Fields[0].Value != "the key is off" || f.Fields[0].Draft != "" || len(f.Document) > 0 {
		t.Errorf("got %+v, want the text of the command", f)
	}
}
