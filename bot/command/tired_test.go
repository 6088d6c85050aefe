package command_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	. "tocsin/bot/command"
)

// People type at night, on phones, and from memory. Each line is understood, or the
// error names the part that was not.
func TestParse_TiredInput(t *testing.T) {
	for text, want := range map[string]string{
		// understood: the canonical form
		"ack, on it": `ack INC-42 "on it"`, "Ack.": "ack INC-42", "/incident ack": "ack INC-42", "incident ack inc 7": "ack INC-7", "ack INC‑７": "ack INC-7", "ac\u200bk": "ack INC-42", "ack sev 1": "ack INC-42 sev1",
		"SEV 1 because prod is down": `severity INC-42 sev1 because "prod is down"`, "sev-1": "severity INC-42 sev1", "severity p1": "severity INC-42 sev1", "severity １": "severity INC-42 sev1",
		"open Sev1: keys leaked": `open sev1 "keys leaked"`, "open —public “Keys leaked”": `open --public "Keys leaked"`, "open sev1 sev1 x": `open sev1 "x"`, "open “Keys leaked": `open "“Keys leaked"`,
		"fact timezone europe/zurich": "fact INC-42 time_zone Europe/Zurich", "fact personaldata confirmed because x": `fact INC-42 personal_data confirmed because "x"`,
		"fact affected “Example SA” as processor, 1 200 because x": `fact INC-42 affected "Example SA" processor 1200 because "x"`, "fact affected us controller 1’200 people because x": `fact INC-42 affected "us" controller 1200 because "x"`,
		"fact affected us controller 1.2k because x": `fact INC-42 affected "us" controller 1200 because "x"`, "fact affected us controller 2 million because x": `fact INC-42 affected "us" controller 2000000 because "x"`,
		"sign as legal": "sign INC-42 legal", "object because it is wrong": `object INC-42 "it is wrong"`, "erase 17/text and 18/text because x": `erase INC-42 17/text 18/text because "x"`,
		"review on 24 november at 10 o’clock": "review INC-42 2026-11-24T10:00:00+01:00", "delegate legal @ada 2026-12-01": "delegate INC-42 legal ada@example.com until 2026-12-02T00:00:00+01:00",
		"evidence disk at 02:31 in s3": `evidence INC-42 at 2026-11-20T02:31:00+01:00 "disk" in "s3"`, "step done rotate-key: it is gone": `step INC-42 done rotate-key "it is gone"`, "help fact aware": "help fact",
		"action add detection a rule owner me due in 2 months": `action INC-42 add detection "a rule" owner ada@example.com due 2027-01-20`,
		"timeline NOTES, since yesterday 10:00":                "timeline INC-42 notes since 2026-11-19T10:00:00+01:00", "timeline #12": "!unknown filter", "timeline notes facts": "!given twice", "timeline by": "!timeline needs a person", "timeline before x": `!"x" is not the number of an entry`,
		"mine": "!Use ack to take the incident, or my to see", "tiemline": `!Did you mean "timeline"?`, "contian": `!Did you mean "contain" or "confirm"?`, "playbok list": `!Did you mean "playbook"?`, "playbook strat x": `!Did you mean "start"?`,
		// rejected: a part of the error, after a "!"
		"ack 42": `!Type INC-42`, "severity sev1 sev2": "!two severities: sev1 and sev2", "open sev1 sev2 x": "!two severities", "severity sev1 INC-7": "!INC-7 stands at the end. Type it after severity", "severity INC-7 sev1 INC-8": `!"INC-8" at the end`,
		"open sev1 --private x": `!unknown flag "--private"`, "open keys leaked --public": `!"--public" stands at the end`, "note --audience all --audience responders x": "!given twice", "exclude @ada --remove --new-channel because x": "!exclude each other", "exclude @ada --new-channel --remove because x": "!exclude each other",
		"contain at 2.31 disabled": `!"2.31"`, "note at ~02:31 x": "!not an exact time", "note at about 02:31 x": "!Type at 02:31", "fact occurred 02:31 log shows it": `!"log shows it"`, "fact occurred last night because x": `!"last night"`,
		"fact personal-data maybe 3000ish": `!unknown value "maybe"`, "fact personal_data suspected 3000 people because x": `!"3000 people" before "because"`, "fact affected Example SA processor many because x": `!"many" is not a number of people`,
		"fact affected us controller ~1200 because x": `!"~1200"`, `fact affected "Example SA processor 12 because x`: "!is not closed", `evidence "disk image in s3`: "!is not closed", "evidence disk sha256 abc": `!"abc" is not a SHA-256`,
		"role commander @ada @ben": `!"@ben"`, "done rotate-key": "!step done or action done", "delegate legal @ada for good": `!"good"`, "review tomorrow 10:00 with @ada": `!"with @ada"`, "review next tuesday 10:00": "!2026-11-24 or 2026-12-01",
		"review conclude with @ada and @ben: x": `!"and @ben"`, "action done a1, a2": `!"a2" is a second action item`, "action add detection x owner @ada due eod friday": `!"eod friday" is not a date`, "maintenance add 2h because x": "!the condition is missing",
		"maintenance end M3 M4": `!"M4" at the end`, "grant @ada she needs it": `!"she needs it"`, "grant Ada Lovelase because x": `!"Lovelase"`, "legal-hold relase because x": `!"relase" before "because"`, "legal-hold release INC-7 because x": "!INC-7 stands before",
		"involve legal, security": `!"security" at the end`, "public please": `!"please" at the end`, "restrict because x": `!"because x" at the end`, "record submit now": `!"now" at the end`, "merge INC-41 INC-42 INC-43": `!"INC-43"`, "revise set impact a set impact b because x": "!",
		`revise set impact "a" set impact "b" because x`: "!set twice", "alerts dropped today": `!"today"`, "explain A17 A18": `!"A18"`, "withdraw O1 O2": `!"O2"`, "record show INC-7 INC-8": "!INC-8", "status INC-7 INC-8": "!",
	} {
		w, err := Parse(text, testContext(t))
		if fragment, rejected := strings.CutPrefix(want, "!"); rejected {
			if err == nil && fragment != "" || err != nil && !strings.Contains(err.Error(), fragment) {
				t.Errorf("%s: got %+v, %v, want an error with %s", text, w.Command, err, fragment)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, _ := Format(w, testContext(t).Directory); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestParse_IncidentAfterTheWord writes the incident before and after the word that selects
// the verb, as in "delegate end INC-7 legal".
func TestParse_IncidentAfterTheWord(t *testing.T) {
	tried := 0
	for _, spec := range Specs() {
		if !spec.NeedsIncident || spec.Name == "legal-hold" || spec.Name == "alerts" { // which have an error that names the order
			continue
		}
		for _, y := range spec.Syntaxes {
			for _, example := range spec.Examples {
				for _, word := range y.Words {
					rest, ok := strings.CutPrefix(example+" ", spec.Name+" "+word+" ")
					if !ok || strings.Contains(example, "INC-") || strings.Contains(example, "…") {
						continue
					}
					tried++
					before, err := Parse(spec.Name+" INC-7 "+word+" "+rest, testContext(t))
					after, errAfter := Parse(spec.Name+" "+word+" INC-7 "+rest, testContext(t))
					if fmt.Sprint(err) != fmt.Sprint(errAfter) || !reflect.DeepEqual(before, after) {
						t.Errorf("%s: got %+v, %v after the word, want %+v, %v", example, after, errAfter, before, err)
					}
				}
			}
		}
	}
	if tried < 10 {
		t.Errorf("got %d examples with a word, want at least 10", tried)
	}
}
