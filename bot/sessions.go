package bot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/incident"
	"tocsin/bot/web"
	"tocsin/bot/web/session"
)

// webSessions are the sessions on the pages, for the command line.
type webSessions struct{ *Bot }

// find returns the selected sessions with the directory. Login links that wait are among
// them only if links is set.
func (s webSessions) find(ctx context.Context, q control.SessionQuery, links bool) ([]session.Session, incident.Directory, error) {
	dir, err := s.Desk().Directory(ctx)
	if err != nil {
		return nil, dir, err
	}
	filter := session.Filter{ID: q.ID}
	if q.Person != "" {
		if filter.Person, err = dir.PersonNamed(q.Person); err != nil {
			return nil, dir, err
		}
	}
	list, err := s.store.Sessions(ctx, filter)
	if !links {
		list = slices.DeleteFunc(list, func(one session.Session) bool { return one.Through == session.ThroughLink })
	}
	return list, dir, err
}

// ListSessions implements [control.Sessions].
func (s webSessions) ListSessions(ctx context.Context, q control.SessionQuery) ([]control.WebSession, error) {
	list, dir, err := s.find(ctx, q, false)
	out := make([]control.WebSession, len(list))
	for n, one := range list {
		out[n] = control.WebSession{ID: one.ID, Person: one.Person, Name: dir.Name(one.Person), Through: one.Through, SecondFactor: one.SecondFactor, SignedIn: one.CreatedAt, Used: one.UsedAt, Ends: one.ExpiresAt}
	}
	return out, err
}

// EndSessions implements [control.Sessions]. It also ends login links that wait.
func (s webSessions) EndSessions(ctx context.Context, q control.SessionQuery) (ended int, err error) {
	list, _, err := s.find(ctx, q, true)
	if err != nil {
		return 0, err
	}
	if q.ID != 0 && len(list) == 0 {
		return 0, incident.Unknown("session", "there is no session %d. Use a number that `tocsin sessions list` prints", q.ID)
	}
	return s.end(ctx, list)
}

// end ends sessions and returns their number.
func (s webSessions) end(ctx context.Context, list []session.Session) (ended int, err error) {
	for _, one := range list {
		n, err := s.store.EndSessions(ctx, session.Filter{ID: one.ID, Person: one.Person})
		if err != nil {
			return ended, err
		}
		ended += n
	}
	return ended, nil
}

// NewLoginLink implements [control.Sessions].
func (s webSessions) NewLoginLink(ctx context.Context, by incident.Identity, name string) (control.LoginLink, error) {
	desk, now := s.Desk(), s.clock()
	dir, err := desk.Directory(ctx)
	if err != nil {
		return control.LoginLink{}, err
	}
	id, err := dir.PersonNamed(name)
	if err != nil {
		return control.LoginLink{}, err
	}
	person, known := dir.Person(id)
	if !known {
		return control.LoginLink{}, incident.Conflict("%s left the configuration. Add the person under people first", dir.Name(id))
	}
	if err := desk.AuditOperation(ctx, by, "login-link", "for "+person.Name, true); err != nil {
		return control.LoginLink{}, err
	}
	err = desk.Notify(ctx, fmt.Sprintf("login-link/%s/%d", person.ID, now.UnixNano()), map[string]string{"about": incident.AboutLoginLink, "person": person.Name, "by": by.ID, "at": now.UTC().Format(time.RFC3339)})
	if err != nil {
		return control.LoginLink{}, err
	}
	link, err := web.NewLoginLink(ctx, s.store, s.current.Load().config.PublicURL, person.ID, now)
	return control.LoginLink{Name: person.Name, Link: link, Expires: now.Add(web.LinkTTL).UTC()}, err
}

// endOrphanedSessions ends the sessions of people and issuers that left the configuration.
func (b *Bot) endOrphanedSessions(ctx context.Context) error {
	sessions := webSessions{b}
	list, dir, err := sessions.find(ctx, control.SessionQuery{All: true}, true)
	if err != nil {
		return err
	}
	issuers := b.current.Load().config.Web.SignIn
	list = slices.DeleteFunc(list, func(one session.Session) bool {
		_, isPerson := dir.Person(one.Person)
		_, isIssuer := issuers.Issuer(one.Through)
		return isPerson && (isIssuer || slices.Contains([]string{incident.ThroughPasskey, incident.ThroughHost, session.ThroughLink}, one.Through))
	})
	ended, err := sessions.end(ctx, list)
	if ended > 0 {
		b.log.Info("sessions ended", "component", "bot", "sessions", ended, "reason", "the person or the issuer left the configuration")
	}
	return err
}
