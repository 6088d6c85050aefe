package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxFormBytes is the maximum size of a submitted form.
const maxFormBytes = 1 << 20

// formsDesk is the part of [Desk] that forms use.
type formsDesk interface {
	Head(ctx context.Context, who incident.Identity, id incident.ID) (int, error)
	Search(ctx context.Context, who incident.Identity, q incident.Search) (incident.Found, error)
	Overview(ctx context.Context, who incident.Identity) (incident.Overview, error)
	Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error)
	Document(ctx context.Context, who incident.Identity, id incident.ID, revision int, reason string) (incident.Document, error)
	OpenForm(ctx context.Context, who incident.Identity, key incident.FormKey, reads bool) (incident.FormMemory, error)
	SaveDraft(ctx context.Context, who incident.Identity, key incident.FormKey, draft incident.FormDraft) error
	CloseForm(ctx context.Context, who incident.Identity, key incident.FormKey, submitted bool) error
}

// formRoutes registers the forms of the commands.
func (s *Server) formRoutes() {
	s.private("GET /incidents/{id}/do/{verb}", s.formPage)
	s.private("POST /incidents/{id}/do/{verb}", s.submitForm)
	s.private("POST /incidents/{id}/draft/{verb}", s.saveDraft)
	s.private("GET /do/{verb}", s.formPage)
	s.private("POST /do/{verb}", s.submitForm)
}

// formData is the data of a page with a form.
type formData struct {
	Path, Back string
	ID         incident.ID
	Submit     string
	Document   []paragraph
	Fields     []formField
	Key        string
	State      string
	Shown      string // names of the inputs
	Then       string
	Drafts     string // path that saves drafts, or ""
	Problem    string
	Danger     bool
	Wide       bool
}

// pressed returns the command of an address or a button, which a form completes.
func pressed(r *http.Request) (incident.Command, error) {
	verb := incident.Verb(r.PathValue("verb"))
	if len(command.Typed(verb)) == 0 {
		return incident.Command{}, incident.Unknown("verb", "there is no such act on the pages. Go back to the incident")
	}
	var id incident.ID
	if at := r.PathValue("id"); at != "" {
		var err error
		if id, err = incident.ParseID(at); err != nil {
			return incident.Command{}, err
		}
	}
	cmd := command.Press(verb, id, r.Form["arg"])
	if fact := r.Form.Get("fact"); fact != "" {
		cmd.Fact = &incident.FactChange{Name: incident.FactName(fact)}
	}
	if person := r.Form.Get("person"); person != "" && cmd.Person == "" {
		cmd.Person = incident.PersonID(person)
	}
	cmd.Public = verb == incident.VerbRestrict && r.Form.Get("public") == "yes"
	return cmd, nil
}

// formPage shows the form of a verb.
func (s *Server) formPage(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return incident.Invalid("", "the address of the page is malformed. Go back to the incident")
	}
	given, err := pressed(r)
	if err != nil {
		return err
	}
	return s.form(w, r, v, given, nil)
}

// rejected is a submission that was not saved.
type rejected struct {
	err    error
	values command.Values
	was    map[string]string // fingerprints of the values in the submitted form
	key    string
}

// form shows the form for the rest of a command. After a rejected submission it shows the
// error and the typed values.
func (s *Server) form(w http.ResponseWriter, r *http.Request, v visitor, given incident.Command, back *rejected) error {
	spec, ok := command.PageForm(given)
	if !ok {
		return incident.Invalid("verb", "this act needs no form. Use its button on the page of %s", given.For)
	}
	key := rand.Text()
	if back != nil {
		key = back.key
	}
	reader := chat.Reader{Desk: readableDesk{s.Desk()}, Who: v.identity(), Via: incident.ViaWeb, Now: s.Now()}
	c, err := reader.FormContext(r.Context(), spec, given, key)
	if err != nil {
		return err
	}
	if c.Directory.People == nil {
		if c.Directory, err = s.Desk().Directory(r.Context()); err != nil {
			return err
		}
	}
	if back != nil && !spec.Edits {
		c.Memory.Draft = incident.FormDraft{} // the form shows the submitted values
	}
	f := spec.Open(c)
	for n, field := range f.Fields {
		if field.Name == "person" && field.Value == "" {
			f.Fields[n].Value = string(given.Person)
		}
	}
	state, err := json.Marshal(f.State)
	if err != nil {
		return err
	}
	data := formData{Path: r.URL.Path, Back: "/", ID: given.For, Submit: spec.Submit, Key: key, State: string(state),
		Then: r.Form.Get("then"), Danger: slices.Contains(dangerous, given.Verb), Wide: spec.Edits}
	if given.For != 0 {
		data.Back = incidentPath(given.For)
	}
	if spec.KeepsDrafts() && given.For != 0 {
		data.Drafts = incidentPath(given.For) + "/draft/" + string(given.Verb)
	}
	data.fill(f, c.Directory, back)
	status := http.StatusOK
	if back != nil {
		status = http.StatusUnprocessableEntity
		if refused := new(incident.Error); !errors.As(back.err, &refused) {
			return back.err
		}
	}
	return s.render(w, v, status, "form", spec.Title, data)
}

// maxListedOthers is the number of incidents that a form offers.
const maxListedOthers = 200

// readableDesk lists only the incidents that the person may read.
type readableDesk struct{ Desk }

// List implements [chat.Desk].
func (d readableDesk) List(ctx context.Context, who incident.Identity, _ incident.Filter) ([]incident.Summary, error) {
	found, err := d.Search(ctx, who, incident.Search{Statuses: unended(), Limit: maxListedOthers})
	if err != nil {
		return nil, err
	}
	out := make([]incident.Summary, len(found.Incidents))
	for n, i := range found.Incidents {
		out[n] = i.Summary
	}
	return out, nil
}

// dangerous are the verbs whose button warns.
var dangerous = []incident.Verb{incident.VerbDismiss, incident.VerbErase, incident.VerbExclude, incident.VerbObject, incident.VerbAmend, incident.VerbRevoke, incident.VerbBreakGlass, incident.VerbReleaseLegalHold}

// submitForm gives the command of a submitted form, or of a button that needs no form.
func (s *Server) submitForm(w http.ResponseWriter, r *http.Request, v visitor) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		return incident.Invalid("", "the form is malformed or has more than 1 MiB. Nothing was saved")
	}
	given, err := pressed(r)
	if err != nil {
		return err
	}
	then := r.PostForm.Get("then")
	if !r.PostForm.Has("state") {
		if _, ok := command.PageForm(given); ok && (command.AsksForm(given) || !hasForm(given)) {
			r.PostForm.Del("key")
			http.Redirect(w, r, r.URL.Path+"?"+r.PostForm.Encode(), http.StatusSeeOther) //nolint:gosec // the path of this form
			return nil
		}
		given.Key = s.key(v, r)
		return s.act(w, r, v, given, then)
	}
	in, err := s.submission(r, v, given.Verb)
	if err != nil {
		return err
	}
	in.cmd.Key = s.key(v, r)
	if in.err == nil {
		if next, _ := command.PageForm(in.cmd); next != in.spec {
			return s.form(w, r, v, in.cmd, nil)
		}
		if in.cmd.Verb == incident.VerbEditRecord && len(in.cmd.Record)+len(in.cmd.Confirm) == 0 {
			s.notify(r.Context(), "No change: the closing record already has this text.")
			http.Redirect(w, r, localPath(cmp.Or(then, incidentPath(in.cmd.For))), http.StatusSeeOther) //nolint:gosec // a path of this website
			return s.closeForm(r.Context(), v, in)
		}
		in.err = s.act(w, r, v, in.cmd, then)
	}
	if in.err == nil {
		return s.closeForm(r.Context(), v, in)
	}
	if incident.CodeOf(in.err) == "" {
		return in.err
	}
	s.keep(r, v, in)
	return s.form(w, r, v, in.given, &rejected{in.err, in.typed, in.was, in.view})
}

// hasForm reports whether the chat has a form for the command.
func hasForm(c incident.Command) bool {
	_, ok := command.FormFor(c)
	return ok
}

// submission is a submitted form.
type submission struct {
	spec         *command.FormSpec
	given        incident.Command // that the form was opened for
	cmd          incident.Command
	err          error // about the values
	typed        command.Values
	changed      command.Values // without the sparse fields that were not changed
	was          map[string]string
	view, placed string
}

// submission reads a submitted form.
func (s *Server) submission(r *http.Request, v visitor, verb incident.Verb) (submission, error) {
	in := submission{typed: command.Values{}, changed: command.Values{}, was: map[string]string{}, view: r.PostForm.Get("key"), placed: r.PostForm.Get("order")}
	var state command.FormState
	if err := json.Unmarshal([]byte(r.PostForm.Get("state")), &state); err != nil || in.view == "" {
		return in, incident.Invalid("", "an older version of Tocsin showed this form, and nothing was saved. Open the form again")
	}
	in.given = state.Given(verb)
	at, err := incident.ParseID(r.PathValue("id"))
	if r.PathValue("id") != "" && (err != nil || at != state.Incident) {
		return in, incident.Invalid("", "the form belongs to another incident, and nothing was saved. Open the form again")
	}
	var ok bool
	if in.spec, ok = command.PageForm(in.given); !ok {
		return in, incident.Invalid("verb", "there is no such form. Go back to the incident")
	}
	dir, err := s.Desk().Directory(r.Context())
	if err != nil {
		return in, err
	}
	people := peopleFields(in.spec)
	for _, name := range strings.Fields(r.PostForm.Get("shown")) {
		given := slices.Clone(r.PostForm["f-"+name])
		for n, value := range given {
			given[n] = strings.ReplaceAll(value, "\r\n", "\n")
		}
		in.typed[name] = given
		if was := r.PostForm.Get("was-" + name); was != "" {
			if in.was[name] = was; len(given) == 0 || fingerprint(given[0]) == was {
				continue
			}
		}
		in.changed[name] = given
		if people[name] {
			in.changed[name] = mentions(given, dir)
		}
	}
	pc := command.Context{Incident: state.Incident, Who: v.ID, By: v.identity(), Directory: dir, Now: s.Now()}
	in.cmd, in.err = in.spec.Command(verb, state, in.changed, pc)
	if in.cmd.Verb == "" {
		in.cmd.Verb = verb
	}
	return in, nil
}

// peopleFields returns the names of the fields that name people.
func peopleFields(spec *command.FormSpec) map[string]bool {
	out := map[string]bool{}
	for _, f := range spec.Fields {
		out[f.Name] = f.Kind == command.KindPerson || f.Kind == command.KindPeople
	}
	return out
}

// mentions returns people as the grammar of commands names them.
func mentions(ids []string, dir incident.Directory) []string {
	var out []string
	for _, id := range ids {
		if id == "" {
			continue
		}
		out = append(out, command.Mention(incident.PersonID(id), dir.Name(incident.PersonID(id))))
	}
	return out
}

// key returns the idempotency key of a submission: the same form with the same values counts
// once.
func (s *Server) key(v visitor, r *http.Request) string {
	key := r.PostForm.Get("key")
	if key == "" {
		key = rand.Text()
	}
	values := r.PostForm.Encode()
	return "web/" + string(v.ID) + "/" + text.SHA256(r.URL.Path + "\n" + key + "\n" + values)[:32]
}

// fingerprint returns a short hash that shows whether a field changed.
func fingerprint(value string) string { return text.SHA256(strings.TrimSpace(value))[:16] }
