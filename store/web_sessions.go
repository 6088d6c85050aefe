package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"tocsin/bot/incident"
	"tocsin/bot/web/session"
)

var _ session.Store = (*Store)(nil)

// webSessionRow is a row of the table web_sessions.
type webSessionRow struct {
	ID           int64
	TokenHash    string
	Person       string
	Through      string
	SecondFactor bool
	CreatedAt    time.Time
	UsedAt       time.Time
	ExpiresAt    time.Time
	SealedBody   []byte
}

func (r webSessionRow) session() session.Session {
	return session.Session{ID: r.ID, TokenHash: r.TokenHash, Person: incident.PersonID(r.Person), Through: r.Through, SecondFactor: r.SecondFactor,
		CreatedAt: r.CreatedAt.UTC(), UsedAt: r.UsedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC()}
}

// FindSession implements [session.Store].
func (s *Store) FindSession(ctx context.Context, tokenHash string) (out session.Session, found bool, err error) {
	err = s.view(ctx, func(db *gorm.DB) error {
		var rows []webSessionRow
		if err := db.Raw("SELECT * FROM web_sessions WHERE token_hash = ? AND expires_at > ?", tokenHash, s.now()).Scan(&rows).Error; err != nil || len(rows) == 0 {
			return err
		}
		out, found = rows[0].session(), true
		out.TokenHash = tokenHash
		var body json.RawMessage
		err := s.unseal("web_sessions", tokenHash, "sealed_body", rows[0].SealedBody, &body)
		out.Body = body
		return err
	})
	if err != nil {
		return session.Session{}, false, fmt.Errorf("read session: %w", err)
	}
	return out, found, nil
}

// PutSession implements [session.Store].
func (s *Store) PutSession(ctx context.Context, w session.Session) error {
	err := s.tx(ctx, func(t *tx) error {
		sealed, err := s.seal("web_sessions", w.TokenHash, "sealed_body", json.RawMessage(w.Body))
		if err != nil {
			return err
		}
		return t.db.Exec("INSERT INTO web_sessions (token_hash, person, through, second_factor, created_at, used_at, expires_at, sealed_body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			w.TokenHash, string(w.Person), w.Through, w.SecondFactor, dbTime(w.CreatedAt), dbTime(w.UsedAt), dbTime(w.ExpiresAt), sealed).Error
	})
	if err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	return nil
}

// UpdateSession implements [session.Store].
func (s *Store) UpdateSession(ctx context.Context, w session.Session) error {
	err := s.tx(ctx, func(t *tx) error {
		sealed, err := s.seal("web_sessions", w.TokenHash, "sealed_body", json.RawMessage(w.Body))
		if err != nil {
			return err
		}
		return t.db.Exec("UPDATE web_sessions SET person = ?, through = ?, second_factor = ?, created_at = ?, used_at = ?, expires_at = ?, sealed_body = ? WHERE token_hash = ?",
			string(w.Person), w.Through, w.SecondFactor, dbTime(w.CreatedAt), dbTime(w.UsedAt), dbTime(w.ExpiresAt), sealed, w.TokenHash).Error
	})
	if err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	return nil
}

// TouchSession implements [session.Store].
func (s *Store) TouchSession(ctx context.Context, tokenHash string, used, expires time.Time) error {
	err := s.tx(ctx, func(t *tx) error {
		return t.db.Exec("UPDATE web_sessions SET used_at = ?, expires_at = ? WHERE token_hash = ? AND used_at < ?", dbTime(used), dbTime(expires), tokenHash, dbTime(used)).Error
	})
	if err != nil {
		return fmt.Errorf("prolong session: %w", err)
	}
	return nil
}

// DropSession implements [session.Store]. It also deletes sessions that expired.
func (s *Store) DropSession(ctx context.Context, tokenHash string) error {
	err := s.tx(ctx, func(t *tx) error {
		return t.db.Exec("DELETE FROM web_sessions WHERE token_hash = ? OR expires_at <= ?", tokenHash, s.now()).Error
	})
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// PruneSessions deletes the sessions that expired.
func (s *Store) PruneSessions(ctx context.Context) error {
	err := s.tx(ctx, func(t *tx) error {
		return t.db.Exec("DELETE FROM web_sessions WHERE expires_at <= ?", s.now()).Error
	})
	if err != nil {
		return fmt.Errorf("prune sessions: %w", err)
	}
	return nil
}

// Sessions implements [session.Store].
func (s *Store) Sessions(ctx context.Context, f session.Filter) ([]session.Session, error) {
	where, args := s.sessionFilter(f)
	var rows []webSessionRow
	err := s.view(ctx, func(db *gorm.DB) error {
		return db.Raw("SELECT id, token_hash, person, through, second_factor, created_at, used_at, expires_at FROM web_sessions WHERE "+where+" ORDER BY created_at DESC, id DESC", args...).Scan(&rows).Error
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	out := make([]session.Session, len(rows))
	for n, row := range rows {
		out[n] = row.session()
	}
	return out, nil
}

// EndSessions implements [session.Store].
func (s *Store) EndSessions(ctx context.Context, f session.Filter) (n int, err error) {
	where, args := s.sessionFilter(f)
	err = s.tx(ctx, func(t *tx) error {
		result := t.db.Exec("DELETE FROM web_sessions WHERE "+where, args...)
		n = int(result.RowsAffected)
		return result.Error
	})
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return n, nil
}

// sessionFilter returns the condition of a filter.
func (s *Store) sessionFilter(f session.Filter) (string, []any) {
	where, args := []string{"person <> ''", "expires_at > ?"}, []any{s.now()}
	add := func(condition string, value any) {
		where, args = append(where, condition), append(args, value)
	}
	if f.ID != 0 {
		add("id = ?", f.ID)
	}
	if f.Person != "" {
		add("person = ?", string(f.Person))
	}
	if len(f.Through) > 0 {
		add("through IN ?", f.Through)
	}
	if !f.Since.IsZero() {
		add("created_at >= ?", dbTime(f.Since))
	}
	return strings.Join(where, " AND "), args
}
