package response

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The limits of a search. The titles are encrypted, so a search for words reads them one by
// one.
const (
	searchPage  = 50
	searchBatch = 500
	maxSearched = 20_000
)

// Search returns the incidents that match and that the reader may read, the last changed one
// first. Of the others it returns nothing, not even their number.
func (d *Desk) Search(ctx context.Context, who incident.Identity, q incident.Search) (incident.Found, error) {
	var out incident.Found
	var reader incident.Person
	var known bool
	err := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		if reader, known = dir.Resolve(who); known {
			out, err = d.search(r, d.readerEnv(reader.ID, dir), q)
		}
		return err
	})
	if err != nil {
		return answer(d, who, incident.Found{}, fmt.Errorf("search incidents: %w", err))
	}
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: reader.ID, Handle: who, Action: "list", Allowed: known})
	})
	switch {
	case err != nil:
		return answer(d, who, incident.Found{}, fmt.Errorf("audit search: %w", err))
	case !known:
		return answer(d, who, incident.Found{}, incident.NotLinked(who))
	}
	out.Sources = slices.Sorted(slices.Values(d.Sources))
	if d.Playbooks != nil {
		for _, p := range d.Playbooks.List() {
			out.Playbooks = append(out.Playbooks, p.Name)
		}
	}
	return answer(d, who, out, nil)
}

func (d *Desk) search(r Reader, env incident.Env, q incident.Search) (incident.Found, error) {
	out := incident.Found{Directory: env.Directory}
	size := q.Limit
	if size <= 0 {
		size = searchPage
	}
	if person, _ := env.Directory.Person(env.Actor); !person.Responder {
		q.Readers = readersOf(env)
	}
	q.Limit = size + 1
	if len(q.Words) > 0 {
		q.Limit = searchBatch
	}
	for searched := 0; searched < maxSearched; {
		batch, err := r.Search(q)
		if err != nil {
			return out, err
		}
		for _, s := range batch {
			if !hasWords(s.Title, q.Words) {
				continue
			}
			found, readable, err := d.found(r, s, env)
			switch {
			case err != nil:
				return out, err
			case !readable:
				continue
			case len(out.Incidents) == size:
				out.More = true
				return out, nil
			}
			out.Incidents = append(out.Incidents, found)
		}
		if len(batch) < q.Limit {
			return out, nil
		}
		searched += len(batch)
		q.Before = batch[len(batch)-1].Position()
	}
	return out, nil
}

// found returns an incident of a list if the person may read it.
func (d *Desk) found(r Reader, s incident.Summary, env incident.Env) (incident.FoundIncident, bool, error) {
	inc, err := r.Incident(s.ID)
	if err != nil {
		return incident.FoundIncident{}, false, fmt.Errorf("read %s: %w", s.ID, err)
	}
	if !inc.MayRead(env.Directory, env.Actor, env.Now) {
		return incident.FoundIncident{}, false, nil
	}
	if inc, err = readableWork(r, inc, env); err != nil {
		return incident.FoundIncident{}, false, err
	}
	return incident.FoundIncident{Summary: s, Tasks: inc.Tasks(env)}, true, nil
}

// readersOf returns the marks of the restricted incidents that a person without the duty of a
// responder can read.
func readersOf(env incident.Env) []incident.Mark {
	out := []incident.Mark{{Kind: incident.MarkPerson, Value: string(env.Actor)}, {Kind: incident.MarkReader, Value: string(env.Actor)}}
	for _, t := range env.Directory.Teams {
		if env.Directory.Represents(env.Actor, t.Name, env.Now) {
			out = append(out, incident.Mark{Kind: incident.MarkDepartment, Value: string(t.Name)})
		}
	}
	return out
}

// hasWords reports whether a title has all words, without regard to case.
func hasWords(title string, words []string) bool {
	title = strings.ToLower(text.Line(title))
	for _, word := range words {
		if !strings.Contains(title, strings.ToLower(word)) {
			return false
		}
	}
	return true
}

// Head returns the number of the last event of an incident. It writes nothing to the audit log:
// the person has the page open, and an open page asks every few seconds.
func (d *Desk) Head(ctx context.Context, who incident.Identity, id incident.ID) (seq int, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		person, known := dir.Resolve(who)
		if !known {
			return incident.NotLinked(who)
		}
		inc, err := r.Incident(id)
		if err != nil {
			return err
		}
		if !inc.MayRead(dir, person.ID, d.Now()) {
			return incident.NoAccess(id)
		}
		seq = inc.Head.Seq
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read the head of %s: %w", id, err)
	}
	return answer(d, who, seq, err)
}
