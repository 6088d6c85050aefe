package command_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

// corpus returns commands that cover every syntax of every command.
func corpus() []string {
	var out []string
	for _, s := range Specs() {
		for _, example := range s.Examples {
			out = append(out, strings.ReplaceAll(example, "sha256:…", "sha256:"+strings.Repeat("0", 64)))
		}
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	return append(out, "list all closed", "status INC-7", "open", "open sev1 --public “Keys gone”", "ack sev2 on my way", "severity keep", "role commander me because she is here",
		"fact detected 2026-11-18 10:00 EST because x", "fact classified yesterday 10 pm because x", "fact time_zone Europe/Paris", "fact language pt-BR", `fact affected "Example SA" processor 1,200 notified 2026-11-18 10:00 UTC+2 because of the list`,
		"fact affected us controller unknown because x", "step done leaked-aws-credentials/rotate-key at 02:31 it is gone", "step skip ask-aws", "note at 02:31 UTC --audience legal-and-security the insurer called", "note --audience all at 02:31 x",
		`evidence "disk image" in "s3://evidence/web 1" `+digest, "evidence disk", "update at 10m ago logins were back", "contain at 2026-11-18T10:00:00.123-05:00 done", "resolve at 02:31 done because steps are moot", "resolve",
		"record show INC-7", "record set INC-7 impact none", "record submit", "sign legal "+digest, "object comms "+digest+" because it is wrong", "object legal it is wrong", "amend WHY not", "withdraw legal because x", "delegate legal to Ada Lovelace until 2026-12-01 17:00 EST",
		"consult payroll blocking because x", "involve legal", `revise set impact "none at all" set root_cause a guessed key because the report is in`, "revise the report is in", "reopen at 02:31 again", "dismiss", "merge INC-40 into INC-41 same",
		"review 2027-01-05 10:00 America/New_York", "review conclude with @ada, Ben Okri: rotate: quarterly", "review conclude with @ada, Ben Okri because “it is 10:30: late”: rotate: quarterly", "review conclude because x", "review waive because x", "action add detection “alert on owner changes” owner me due in 2 weeks", "action done a1 live", "exclude --remove Ada Lovelace because x",
		"restrict", "public", "erase 17/text, 18/reason because x", "replacement legal ada because x", "alerts dropped", "alerts promote A17 sev2 into INC-7", "explain D2041", "maintenance", "maintenance add 2h project == \"web\" because x",
		"maintenance add from 22:00 EST to 08:00 CET level == “low” because nights", "maintenance confirm M3", "maintenance end 3", "split INC-42 alerts A3, A4 and #5 sev1 2 keys leaked because they are others", "legal-hold release because x", "ask user/ada from 22:00 CET to 23:30", "ask principal “Ada L.” last day page 3", "ask ip 198.51.100.7 until 10:00 limit 7 after D20", "help review conclude", "help")
}

// requireSame fails unless a parsed line means the same after Format and Parse.
func requireSame(t *testing.T, text string, w Parsed) {
	t.Helper()
	c := testContext(t)
	canonical, ok := Format(w, c.Directory)
	if !ok {
		t.Fatalf("%q: cannot be formatted: %+v", text, w)
	}
	again, err := Parse(canonical, c)
	if err != nil {
		t.Fatalf("%q: the canonical form %q is rejected: %v", text, canonical, err)
	}
	if w.Query == QueryHelp {
		again.Command.For = w.Command.For // help is about no incident
	}
	if w.Command.Zone == "" {
		again.Command.Zone = "" // the canonical form has an offset
	}
	if a, b := inUTC(t, w), inUTC(t, again); a != b {
		t.Fatalf("%q: the canonical form %q means something else\ngot  %s\nwant %s", text, canonical, b, a)
	}
}

// inUTC returns a parsed line as JSON with its times in UTC.
func inUTC(t *testing.T, w Parsed) string {
	t.Helper()
	for _, at := range []*time.Time{&w.Command.HappenedAt, &w.Command.When, &w.Command.Until} {
		*at = utc(*at)
	}
	if w.AlertRequest != nil && w.AlertRequest.Add != nil {
		request, add := *w.AlertRequest, *w.AlertRequest.Add
		add.From, add.To = utc(add.From), utc(add.To)
		request.Add, w.AlertRequest = &add, &request
	}
	if w.AlertRequest != nil && w.AlertRequest.Ask != nil {
		request, ask := *w.AlertRequest, *w.AlertRequest.Ask
		ask.From, ask.To = utc(ask.From), utc(ask.To)
		request.Ask, w.AlertRequest = &ask, &request
	}
	data, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFormat_MeansTheSame(t *testing.T) {
	verbs := map[Verb]bool{}
	for _, text := range corpus() {
		w, err := Parse(text, testContext(t))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		verbs[w.Command.Verb] = true
		requireSame(t, text, w)
	}
	for _, s := range Specs() {
		for _, y := range s.Syntaxes {
			if !verbs[y.Verb] {
				t.Errorf("%s: no command of the test has the verb %s", s.Name, y.Verb)
			}
		}
	}
}

// A word that the grammar does not know is rejected or part of a text of the command.
func TestParse_DropsNoWord(t *testing.T) {
	for _, text := range corpus() {
		words := strings.Fields(text)
		before, err := Parse(text, testContext(t))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, token := range []string{"zzqx", "many", "EST", "42", "sev1", "--public", "INC-9", "10:00", "pm", "tomorrow", "+02:00", "@ben", "\u200bzz", "“zz”"} {
			for at := 1; at <= len(words); at++ {
				odd := strings.Join(append(append(append([]string{}, words[:at]...), token), words[at:]...), " ")
				after, err := Parse(odd, testContext(t))
				if err != nil || after.Form != "" && before.Form == "" {
					continue
				}
				if inUTC(t, after) == inUTC(t, before) && !sameOption(token, text, odd) {
					t.Errorf("%s: %q is dropped", odd, token)
				}
				if strings.Contains(token, "zz") || token == "many" {
					data, err := json.Marshal(after)
					if err != nil || !strings.Contains(strings.ToLower(string(data)), strings.Trim(token, "\u200b“”")) {
						t.Errorf("%s: %q is dropped: %s, %v", odd, token, data, err)
					}
				}
			}
		}
	}
}

// sameOption reports whether a repeated or redundant word changes nothing.
func sameOption(token, text, odd string) bool {
	for _, redundant := range []string{"23:10 pm", "22:00 pm", "23:30 pm", "17:00 pm", "to tomorrow 08:00 CET", "08:00 CET tomorrow"} {
		if strings.Contains(odd, redundant) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(text), strings.ToLower(token))
}

func TestFormat_OfForms(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	onlyForms := map[Verb]bool{VerbEditRecord: true, VerbSubmit: true, VerbConclude: true}
	for verb, test := range map[Verb]struct {
		state  FormState
		values Values
	}{
		VerbOpen:           {FormState{}, Values{"title": {"because sev9 “is” odd"}, "severity": {"sev2"}, "public": {"x"}}},
		VerbSetSeverity:    {FormState{}, Values{"severity": {"sev1"}, "text": {`because "why"`}}},
		VerbAssignRole:     {FormState{}, Values{"role": {"scribe"}, "person": {Mention("p-ada", "Ada")}}},
		VerbStepDone:       {FormState{Step: "a/b"}, Values{"text": {"at 02:31 it\nended"}, "happened_at": {"2026-11-18T15:00:00Z"}}},
		VerbStepSkip:       {FormState{Step: "INC-7 odd"}, Values{"text": {"no"}}},
		VerbNote:           {FormState{}, Values{"text": {"--audience all"}, "happened_at": {"2026-11-19T21:00:00Z"}, "audience": {"all"}}},
		VerbEvidence:       {FormState{}, Values{"name": {`the "old" disk in a rack`}, "where": {"in sha256"}, "sha256": {digest}, "happened_at": {"2026-11-18T15:00:00Z"}}},
		VerbUpdate:         {FormState{}, Values{"text": {`"`}}},
		VerbContain:        {FormState{}, Values{"text": {"“a” and “b”"}, "happened_at": {"2026-11-20T01:31:00Z"}}},
		VerbResolve:        {FormState{}, Values{"text": {"it ended because we won"}, "reason": {"because of time"}}},
		VerbEditRecord:     {FormState{}, Values{"impact": {"none"}, "root_cause": {"a key"}}},
		VerbSubmit:         {FormState{}, Values{"impact": {"none"}}},
		VerbSign:           {FormState{Expect: "sha256:" + digest}, Values{"department": {"legal"}, "attest": {"x"}}},
		VerbObject:         {FormState{Expect: "sha256:" + digest}, Values{"department": {"legal"}, "text": {"sha256:00 is wrong"}}},
		VerbAmend:          {FormState{}, Values{"text": {"at 02:31"}}},
		VerbAnswer:         {FormState{Department: "payroll"}, Values{"text": {"none"}}},
		VerbRevise:         {FormState{}, Values{"text": {"set impact x because y"}, "impact": {"none"}, "root_cause": {`a "key"`}}},
		VerbReopen:         {FormState{}, Values{"text": {"because"}}},
		VerbDismiss:        {FormState{}, Values{"text": {"ours"}, "no_personal_data": {"x"}}},
		VerbScheduleReview: {FormState{}, Values{"when": {"2027-01-05T10:00:00-05:00"}}},
		VerbConclude:       {FormState{}, Values{"attendance": {Mention("p-ada", "Ada")}, "text": {"x"}, "waiver": {"y"}}},
		VerbAddAction:      {FormState{}, Values{"kind": {"detection"}, "title": {"the owner due"}, "owner": {Mention("p-ada", "Ada")}, "due": {"2026-12-24"}}},
	} {
		form, ok := FormOf(verb)
		if !ok {
			t.Errorf("%s: no form", verb)
			continue
		}
		test.state.Incident = 7
		if verb == VerbOpen {
			test.state.Incident = 0
		}
		cmd, err := form.Command(verb, test.state, test.values, testContext(t))
		if err != nil {
			t.Errorf("%s: %v", verb, err)
			continue
		}
		if _, ok := Format(Parsed{Command: cmd}, testContext(t).Directory); !ok {
			if !onlyForms[verb] {
				t.Errorf("%s: cannot be typed", verb)
			}
			continue
		}
		requireSame(t, string(verb), Parsed{Command: cmd})
	}
	for _, s := range Specs() {
		for _, y := range s.Syntaxes {
			if y.Form != nil && reflect.ValueOf(y.Verb).String() == "" {
				t.Errorf("%s: a form without a verb", s.Name)
			}
		}
	}
}

// FuzzFormat checks that every accepted line means the same in its canonical form.
func FuzzFormat(f *testing.F) {
	for _, text := range corpus() {
		f.Add(text)
	}
	for _, text := range []string{`note "a ""b"" c"`, "note “a \" b”", "dismiss because - no-pii x", "open \"\"\"\"", "note @{person a|@{person b|c}}", "note at 630h30m ago x", "fact occurred 26 days ago 02:30 because x", "step done \"INC-7\" x",
		"maintenance add in 3 days to in 4 days when \"a\" because b", "ack ４２", "resolve x because", "evidence in in in", "fact affected as as processor", "role : me", "revise set impact \"\" because"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := Parse(text, testContext(t)); err == nil {
			requireSame(t, text, w)
		}
	})
}
