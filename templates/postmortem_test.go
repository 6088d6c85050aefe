package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"html"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

var update = flag.Bool("update", false, "update the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for n := range min(len(g), len(w)) {
		if g[n] != w[n] {
			t.Fatalf("%s, line %d:\ngot  %s\nwant %s\n(run go test ./templates -update)", name, n+1, g[n], w[n])
		}
	}
	t.Fatalf("%s: got %d lines, want %d", name, len(g), len(w))
}

func TestPostmortem(t *testing.T) {
	w := signedIncident(t)
	doc, err := Postmortem(w.input())
	if err != nil {
		t.Fatal(err)
	}
	if doc.Digest != w.inc.Submission.Digest || doc.Revision != 1 {
		t.Errorf("got revision %d and digest %s, want 1 and %s", doc.Revision, doc.Digest, w.inc.Submission.Digest)
	}
	golden(t, "postmortem.md", contentOf(doc, "text/markdown"))
	golden(t, "postmortem.html", contentOf(doc, "text/html"))
	if again, _ := Postmortem(w.input()); !reflect.DeepEqual(again, doc) {
		t.Error("equal inputs give different documents")
	}
	for _, external := range []string{"<script", "http://", "https://", "src=", "@import", "url("} {
		if strings.Contains(contentOf(doc, "text/html"), external) {
			t.Errorf("the page contains the external reference %q", external)
		}
	}
	for _, file := range doc.Files {
		format, text := file.MediaType, file.Content
		if strings.Contains(text, "Privileged") {
			t.Errorf("%s contains a note for legal and security", format)
		}
		if !strings.Contains(text, "Recorded, restricted") {
			t.Errorf("%s does not mention the restricted note", format)
		}
	}
}

func TestPostmortem_DigestMatchesEmbeddedJSON(t *testing.T) {
	w := signedIncident(t)
	doc, err := Postmortem(w.input())
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(contentOf(doc, "text/markdown"), "\n```json\n")
	line, _, ok := strings.Cut(rest, "\n```\n")
	sum := sha256.Sum256([]byte(line))
	if got := "sha256:" + hex.EncodeToString(sum[:]); !ok || got != doc.Digest {
		t.Errorf("got digest %s of the JSON in the file, want %s", got, doc.Digest)
	}
	if strings.Count(contentOf(doc, "text/markdown"), "```json\n") != 1 {
		t.Error("got more than one block of JSON, want 1")
	}
}

// TestPostmortem_Checkpoint requires the checkpoint as it was signed, in every format that
// shows it.
func TestPostmortem_Checkpoint(t *testing.T) {
	const note = "tocsin/0123456789abcdef\n7\nAbCd+/0123456789abcdef0123456789abcdef01234=\ntime 2026-11-30T03:04:05Z\nlast-incident 42\n\n\u2014 tocsin/0123456789abcdef AbCd+/0123=\n"
	in := signedIncident(t).input()
	without, err := Postmortem(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Checkpoint = note
	with, err := Postmortem(in)
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range with.Files {
		if shown := html.UnescapeString(f.Content); !strings.Contains(shown, note) || !strings.Contains(shown, "tocsin verify --checkpoint FILE") {
			t.Errorf("%s: got no checkpoint in %s", f.Name, f.Content)
		}
		if strings.Contains(without.Files[n].Content, "--checkpoint") {
			t.Errorf("%s: got text about a checkpoint without one", f.Name)
		}
	}
}

func TestPostmortem_RejectsUnsignedInput(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		code   incident.Code
	}{
		"no submission":     {func(in *Input) { in.Incident.Submission = nil }, incident.CodeConflict},
		"another record":    {func(in *Input) { in.Incident.Submission.Document.Record.Impact = "None." }, incident.CodeStale},
		"another fact":      {func(in *Input) { in.Incident.Submission.Document.Facts.PersonalData = incident.PersonalNo }, incident.CodeStale},
		"another revision":  {func(in *Input) { in.Revision = 2 }, incident.CodeStale},
		"signature missing": {func(in *Input) { in.Incident.Signatures = in.Incident.Signatures[1:] }, incident.CodeConflict},
		"older digest":      {func(in *Input) { in.Incident.Signatures[0].Digest = "sha256:00" }, incident.CodeConflict},
		"timeline cut":      {func(in *Input) { in.Timeline = in.Timeline[:10] }, incident.CodeStale},
		"timeline replaced": {func(in *Input) { in.Timeline[in.Incident.Submission.Document.Events-1].Hash = "00" }, incident.CodeStale},
	} {
		t.Run(name, func(t *testing.T) {
			in := signedIncident(t).input()
			c.change(&in)
			if doc, err := Postmortem(in); incident.CodeOf(err) != c.code {
				t.Errorf("got %v and %d files, want code %q", err, len(doc.Files), c.code)
			}
		})
	}
}

// The document and its JSON contain restricted texts only if its audience is legal
// and security.
func TestPostmortem_RestrictedEvents(t *testing.T) {
	for _, audience := range []incident.Audience{incident.AudienceAll, incident.AudienceResponders, incident.AudienceLegalSecurity} {
		w := submittedIncident(t, "A title")
		w.at(26*60+12).do("ben", incident.Command{Verb: incident.VerbAmend, Text: "audience", Record: map[string]string{"audience": string(audience)}})
		secret := incident.AudienceLegalSecurity
		w.do("elena", incident.Command{Verb: incident.VerbSetFact, Audience: secret, Text: "canary-fact", Fact: &incident.FactChange{Name: incident.FactAware, Regime: "nis2", Value: "2026-11-24T02:31:00Z"}})
		w.do("elena", incident.Command{Verb: incident.VerbEvidence, Audience: secret, Evidence: &incident.Evidence{Name: "canary-evidence", Where: "canary-place"}})
		w.do("elena", incident.Command{Verb: incident.VerbAddAction, Audience: secret, Action: &incident.Action{Kind: incident.ActionProcess, Title: "canary-action", Owner: "elena", Due: startTime.AddDate(0, 1, 0)}})
		w.do("ben", incident.Command{Verb: incident.VerbSubmit})
		w.do("elena", incident.Command{Verb: incident.VerbObject, Audience: secret, Department: incident.Legal, Expect: w.inc.Submission.Digest, Text: "canary-objection"})
		w.do("elena", incident.Command{Verb: incident.VerbWithdraw, Audience: secret, Item: "O2", Text: "canary-withdrawal"})
		w.sign()
		doc, err := Postmortem(w.input())
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range doc.Files {
			format, text := file.MediaType, file.Content
			if got, want := strings.Contains(text, "canary"), audience == secret; got != want {
				n := max(strings.Index(text, "canary"), 0)
				t.Errorf("%s for %s: got restricted texts %v, want %v: %q", format, audience, got, want, text[n:min(n+80, len(text))])
			}
		}
	}
}

// A revision names the revision that it replaces. Later events are in the appendix.
func TestPostmortem_Revision(t *testing.T) {
	w := signedIncident(t)
	w.do("", incident.Command{Verb: incident.VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: 1})
	first := w.inc.Submission.Digest
	w.at(29*60).do("chloe", incident.Command{Verb: incident.VerbRevise, Text: "the forensics report", Record: map[string]string{"root_cause": "Another one."}})
	w.sign()
	w.do("chloe", incident.Command{Verb: incident.VerbNote, Text: "later note"})
	doc, err := Postmortem(w.input())
	if err != nil {
		t.Fatal(err)
	}
	if doc.Revision != 2 || !strings.Contains(contentOf(doc, "text/markdown"), first) || !strings.Contains(contentOf(doc, "text/markdown"), "(superseded)") || !strings.Contains(contentOf(doc, "text/html"), "(superseded)") {
		t.Error("the second revision does not name the first")
	}
	body, appendix, ok := strings.Cut(contentOf(doc, "text/markdown"), "## Appendix: events after the record was frozen")
	if !ok || strings.Contains(body, "later note") || !strings.Contains(appendix, "later note") {
		t.Error("the later note is not only in the appendix")
	}
}

func TestDrawTimeline(t *testing.T) {
	few := newTestIncident(t)
	few.do("ada", incident.Command{Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev4})
	few.inc.Submission = &incident.Submission{Digest: "none"}
	many := signedIncident(t)
	for n := range 300 {
		at := startTime.Add(time.Duration(n*n) * time.Second)
		many.do("ada", incident.Command{Verb: incident.VerbNote, Text: "note", HappenedAt: at})
	}
	for name, w := range map[string]*testIncident{"few": few, "many": many, "one": {inc: few.inc, events: few.events[:1], dir: few.dir}, "none": {inc: few.inc}} {
		d := pageBuilder{Input: Input{Incident: w.inc, Timeline: w.events, Directory: w.dir}, showRestricted: true}.drawTimeline(w.events)
		drawn := len(d.Dots) + len(d.Milestones)
		for _, c := range d.Clusters {
			drawn += c.Count
		}
		events := len(w.events)
		for n, e := range w.events {
			if e.Kind == incident.EventApproved {
				events = n + 1
			}
		}
		if drawn != events {
			t.Errorf("%s: got %d drawn events, want %d", name, drawn, events)
		}
		for _, s := range d.Milestones {
			if s.X < svgLeft || s.X > svgRight {
				t.Errorf("%s: got a milestone at %d, want it from %d to %d", name, s.X, svgLeft, svgRight)
			}
		}
		for n := 1; n < len(d.Ticks); n++ {
			if d.Ticks[n].X-d.Ticks[n-1].X < 60 {
				t.Errorf("%s: got ticks at %d and %d, want at least 60 between", name, d.Ticks[n-1].X, d.Ticks[n].X)
			}
		}
	}
}

func TestProseHTML_AllowsOnlyHarmlessMarkup(t *testing.T) {
	got := string(proseHTML("# no heading\n\n- **bold** [link](https://example.com) <b>raw</b> ![i](x)\n- `code`\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n\nhttps://example.com"))
	for _, bad := range []string{"<h1", "<a", "<b>", "<script", "<img", "<table"} {
		if strings.Contains(got, bad) {
			t.Errorf("got %s in %s", bad, got)
		}
	}
	for _, good := range []string{"# no heading", "<strong>bold</strong>", "<code>code</code>", "<li>", "[link](https://example.com)"} {
		if !strings.Contains(got, good) {
			t.Errorf("got no %s in %s", good, got)
		}
	}
}

// The evidence of the postmortem says why a file has no hash and how its original changed.
func TestPostmortem_Custody(t *testing.T) {
	in := signedIncident(t).input()
	e := &in.Incident.Evidence[0]
	e.SHA256, e.NotHashed = "", "the download ended after 8 of 2000 bytes"
	e.Changes = []incident.EvidenceChange{{How: incident.EvidenceEdited, At: startTime}, {How: incident.EvidenceDeleted, At: startTime.Add(time.Minute)}}
	doc, err := Postmortem(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range doc.Files {
		for _, want := range []string{"none: the download ended after 8 of 2000 bytes", "original edited " + formatUTC(startTime) + ", original deleted "} {
			if !strings.Contains(file.Content, want) {
				t.Errorf("%s: got no %q", file.MediaType, want)
			}
		}
	}
}
