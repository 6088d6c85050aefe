package response

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/templates"
)

// Every provider outside of Tocsin gets redacted answers: the known ones, one that does
// not exist yet, and an identity without a provider.
func TestAnswer_UnknownProviderIsOutside(t *testing.T) {
	providers := map[incident.Provider]bool{ // true: inside
		incident.ProviderLocal: true, incident.ProviderSystem: true,
		incident.ProviderSlack: false, incident.ProviderPagerDuty: false, incident.ProviderMail: false, incident.ProviderOIDC: false,
		incident.ProviderSource: false, "teams": false, "matrix": false, "": false,
	}
	for provider, inside := range providers {
		fx := newFixture(t, func(o *Options) { o.Redact = redact.New(redact.Options{}) })
		dir := testDirectory()
		who := incident.Identity{Provider: provider, ID: "someone"}
		dir.People[0].Identities = append(dir.People[0].Identities, who)
		if err := fx.PutDirectory(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
		id := fx.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: secretText, Severity: incident.Sev3, Public: true}).Incident.ID
		if provider != incident.ProviderSystem && provider != incident.ProviderSource { // these may not add notes
			result, err := fx.Do(context.Background(), incident.Command{By: who, For: id, Verb: incident.VerbNote, Text: secretText})
			if err != nil || containsSecret(result) != inside {
				t.Errorf("%q: got result %+v, %v", provider, result, err)
			}
		}
		view, err := fx.Show(context.Background(), who, id, "")
		if err != nil {
			t.Fatalf("%s: %v", provider, err)
		}
		list, err := fx.List(context.Background(), who, incident.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		view.Directory = incident.Directory{}
		if containsSecret(view) != inside || containsSecret(list) != inside {
			t.Errorf("%q: got redacted %v and %v, want %v", provider, !containsSecret(view), !containsSecret(list), !inside)
		}
		_, err = fx.Do(context.Background(), incident.Command{By: who, For: 1, Verb: incident.VerbAssignRole, Role: "jane.doe@customer.example", Person: "p1"})
		if err != nil && strings.Contains(err.Error(), "jane.doe") && !inside {
			t.Errorf("%q: got error %v", provider, err)
		}
	}
}

// packageFunctions returns the functions of this package by name, with the receiver.
func packageFunctions(t *testing.T) map[string]*ast.FuncDecl {
	t.Helper()
	out := map[string]*ast.FuncDecl{}
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0) //nolint:staticcheck // one folder without build constraints
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range packages["response"].Files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				name := f.Name.Name
				if f.Recv != nil {
					name = receiverName(f.Recv.List[0].Type) + "." + name
				}
				out[name] = f
			}
		}
	}
	return out
}

func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return receiverName(e.X)
	}
	return ""
}

// returnsThroughAnswer reports whether every return statement of f, outside of inner
// functions, calls answer or has no data.
func returnsThroughAnswer(f *ast.FuncDecl) bool {
	ok := true
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			call, isCall := n.Results[0].(*ast.CallExpr)
			if !isCall {
				ok = false
				return false
			}
			fun := call.Fun
			if index, generic := fun.(*ast.IndexExpr); generic {
				fun = index.X
			}
			id, isName := fun.(*ast.Ident)
			ok = ok && isName && id.Name == "answer"
		}
		return true
	})
	return ok
}

// Every exported method of the Desk that answers a caller with data returns it through
// answer, and outgoing is the only way to a handler. A new method or call that bypasses
// them fails this test.
func TestDesk_EveryAnswerIsRedacted(t *testing.T) {
	desk := reflect.TypeFor[*Desk]()
	identity, command := reflect.TypeFor[incident.Identity](), reflect.TypeFor[incident.Command]()
	functions := packageFunctions(t)
	checked := 0
	for n := range desk.NumMethod() {
		m := desk.Method(n)
		asks := false
		for p := range m.Type.NumIn() {
			asks = asks || m.Type.In(p) == identity || m.Type.In(p) == command
		}
		if !asks || m.Type.NumOut() < 2 || m.Type.Out(0) == reflect.TypeFor[incident.PersonID]() {
			continue
		}
		checked++
		if f := functions["Desk."+m.Name]; f == nil || !returnsThroughAnswer(f) {
			t.Errorf("Desk.%s returns data, but not every return calls answer", m.Name)
		}
	}
	if checked < 5 {
		t.Errorf("got %d methods, want at least 5", checked)
	}
	for name, f := range functions {
		ast.Inspect(f.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			inner, ok := call.Fun.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := inner.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "handler" && name != "attempt.callHandler" {
				t.Errorf("%s calls a handler. Only callHandler may, after outgoing", name)
			}
			return true
		})
	}
	source := functions["attempt.callHandler"]
	first := ""
	ast.Inspect(source.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "outgoing" || s.Sel.Name == "handler") && first == "" {
			first = s.Sel.Name
		}
		return true
	})
	if first != "outgoing" {
		t.Errorf("callHandler calls %q first, want outgoing", first)
	}
}

// plantSeeds sets every plain string of v that is not listed as an id to a text with all
// seeds.
func plantSeeds(v reflect.Value, field, text string) {
	switch v.Kind() {
	case reflect.String:
		switch {
		case v.Type() == plainString && !unredactedFields[field]:
			v.SetString(text)
		case v.Type() == plainString:
			v.SetString("sha256:abc")
		default:
			v.SetString("p1")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		plantSeeds(v.Elem(), field, text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		plantSeeds(v.Index(0), field, text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		plantSeeds(key, "", text)
		plantSeeds(value, field, text)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(startTime))
			return
		}
		for n := range v.NumField() {
			plantSeeds(v.Field(n), v.Type().Name()+"."+v.Type().Field(n).Name, text)
		}
	}
}

// documentSeeds are texts that escapes of Markdown or HTML hide from a redactor, with
// the part that must not leave. They are split for secret scanners.
var documentSeeds = map[string]string{
	"ada.b_c@corp.example":                          "b_c@corp",
	"ghp_" + "0123456789abcdefghijABCDEFGHIJ012345": "0123456789abcdefghijABCDEFGHIJ",
	"eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U":            "XgL0n3I9PlFUP0THsR8U",
	"xoxb-" + "1234567890-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx":                                                  "AbCdEfGhIjKlMnOpQrStUvWx",
	"password: correct horse battery staple":                                                                       "horse battery",
	"password=\"a*b_c|d[e]<f>&g\"":                                                                                 "a*b_c|d",
	"https://user:p_a*ss~w#rd@db.example/x":                                                                        "p_a*ss",
	"-----BEGIN PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4\n-----END PRIVATE KEY-----": "MIIBOgIBAAJBAKj34",
}

var (
	testTag      = regexp.MustCompile(`</?[A-Za-z!][^<>]*>`)
	testEscape   = regexp.MustCompile(`\\([!-/:-@\[-` + "`" + `{-~])`)
	testUnescape = func(s string) []string {
		plain := html.UnescapeString(s)
		return []string{s, plain, testTag.ReplaceAllString(plain, ""), html.UnescapeString(testTag.ReplaceAllString(s, "")),
			testEscape.ReplaceAllString(s, "$1"), testEscape.ReplaceAllString(plain, "$1")}
	}
)

// renderTemplates renders with the real templates.
func renderTemplates(p Postmortem) (incident.Document, error) {
	return templates.Postmortem(templates.Input{Incident: p.Incident, Timeline: p.Timeline, Directory: p.Directory, Revision: p.Revision, Written: p.Written, Alerts: p.Alerts, Copy: p.Copy, Withheld: p.Withheld})
}

// A document with seeds in every field of the incident and of every kind of event
// contains none of them, in Markdown, HTML and SVG.
func TestOutgoing_DocumentHasNoSeed(t *testing.T) {
	for seed, needle := range documentSeeds {
		fx := newFixture(t, func(o *Options) { o.Redact, o.RenderPostmortem = redact.New(redact.Options{}), renderTemplates })
		var brief incident.Brief
		plantSeeds(reflect.ValueOf(&brief).Elem(), "", "see "+seed+" ok")
		brief.Directory = testDirectory()
		inc := &brief.Incident
		inc.ID, inc.Submission.Document.Facts.TimeZone, inc.Submission.Document.Record.Audience = 1, "Europe/Paris", incident.AudienceAll
		inc.Signatures, inc.Objections[0].Closed = nil, startTime
		for _, team := range incident.RequiredDepartments() {
			inc.Signatures = append(inc.Signatures, incident.Signature{Department: team, By: "p1", At: startTime, Digest: inc.Submission.Digest, Attestation: seed})
		}
		inc.Submission.Document.Events = 0
		var timeline []incident.Event
		for n, kind := range incident.EventKinds() {
			e := brief.Event
			e.Seq, e.Kind, e.Audience = n+1, kind, incident.AudienceResponders
			e.Texts = map[string]incident.Text{}
			for _, name := range []string{"text", "title", "reason", "detail", "outcome", "answer", "who", "name", "where", "decisions", "attestation", "rule", "url"} {
				e.Texts[name] = incident.Text{Value: "see " + seed, Commitment: "c"}
			}
			timeline = append(timeline, e)
		}
		p := Postmortem{Incident: *inc, Timeline: timeline, Directory: brief.Directory, Revision: 1, Written: startTime, Copy: true}
		out, _, err := fx.outgoing(loadedBrief{brief: brief, postmortem: &p, digest: "sha256:abc"}, incident.Effect{Incident: 1})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.Document.Files); n < 2 {
			t.Fatalf("got %d files, want at least 2", n)
		}
		for _, file := range out.Document.Files {
			format, text := file.MediaType, file.Content
			if len(text) < 5000 {
				t.Fatalf("%s: got %d bytes", format, len(text))
			}
			for _, decoded := range testUnescape(text) {
				if at := strings.Index(decoded, needle); at >= 0 {
					t.Errorf("%s: %q left: …%q…", format, seed, decoded[max(0, at-100):min(len(decoded), at+60)])
					break
				}
			}
		}
	}
}

// The output of the renderer and the arguments of notices are redacted too.
func TestOutgoing_RedactsWhatIsAdded(t *testing.T) {
	const added = "jane.doe@customer.example"
	fx := newFixture(t, func(o *Options) {
		o.Redact = redact.New(redact.Options{})
		o.RenderPostmortem = func(Postmortem) (incident.Document, error) {
			return incident.Document{Files: []incident.File{{Title: "by " + added, Content: "by " + added}, {Content: "and by " + added}, {Content: "also by " + added}}}, nil
		}
	})
	b, e, err := fx.outgoing(loadedBrief{postmortem: &Postmortem{}}, incident.Effect{Args: map[string]string{"about": "mail to " + added}})
	if err != nil || containsSecret(*b.Document) || containsSecret(e.Args) {
		t.Errorf("got document %+v, args %v, %v", b.Document, e.Args, err)
	}
	if _, e, _ = fx.outgoing(loadedBrief{}, incident.Effect{Incident: 1, Args: map[string]string{"people": added}}); e.Args["people"] != added {
		t.Errorf("got args %v, want the ids of people", e.Args)
	}
}

// A field of an event that is not listed as an id or constant is redacted, and so is the
// key of a map that people can choose.
func TestRedactedCopy_UnlistedFieldsAndKeys(t *testing.T) {
	e := incident.Event{Fields: map[string]string{"person": "p1", "added_later": "jane.doe@customer.example", "kind": "jane.doe@customer.example"}}
	got := redactedCopy(redact.New(redact.Options{}), e).Fields
	if got["person"] != "p1" || got["added_later"] != "[email]" || got["kind"] != "[email]" {
		t.Errorf("got fields %v", got)
	}
	f := incident.Facts{Aware: map[string]incident.Instant{"jane.doe@customer.example": {}}}
	if _, ok := redactedCopy(redact.New(redact.Options{}), f).Aware["[email]"]; !ok {
		t.Error("the key of a fact is not redacted")
	}
}
