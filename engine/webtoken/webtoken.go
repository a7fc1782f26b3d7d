// Package webtoken keeps the tokens of web endpoints that require one: pairs of
// a key, which names the token, and a secret, of which only a digest is kept. It
// knows nothing of requests.
package webtoken

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/store"
)

// Limits.
const (
	maxTokens = 1000
	maxNote   = 200 // bytes
)

const schema = `
CREATE TABLE web_tokens (
	key     TEXT PRIMARY KEY,
	digest  BLOB NOT NULL, -- SHA-256 of the secret, which is random: it cannot be guessed from it
	note    TEXT NOT NULL,
	created REAL NOT NULL  -- seconds since 1970
) STRICT;
`

// Token is what is known of a token later.
type Token struct {
	Key     string  `json:"key"`
	Note    string  `json:"note"`
	Created float64 `json:"created"` // seconds since 1970
}

// Store keeps the tokens.
type Store struct {
	db    *store.DB
	clock clock.Clock
}

// Open opens the store of tokens in the host's database.
func Open(ctx context.Context, db *store.DB, clock clock.Clock) (*Store, error) {
	if err := db.Migrate(ctx, "web tokens", schema); err != nil {
		return nil, err
	}
	return &Store{db: db, clock: clock}, nil
}

// Create makes a token. Nobody can find out its secret later.
func (s *Store) Create(ctx context.Context, note string) (t Token, secret string, err error) {
	if len(note) > maxNote {
		return t, "", ask.Refused("a note has at most %d bytes, and this one has %d", maxNote, len(note))
	}
	t = Token{Key: "wk-" + random(10), Note: note, Created: store.Seconds(s.clock.Now())}
	secret = "ws-" + random(20)
	digest := sha256.Sum256([]byte(secret))
	err = s.db.Update(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM web_tokens`).Scan(&n); err != nil {
			return err
		}
		if n >= maxTokens {
			return ask.Refused("this host has %d web tokens, which is the limit: `gx web token delete` removes one", n)
		}
		_, err := tx.Exec(`INSERT INTO web_tokens (key, digest, note, created) VALUES (?, ?, ?, ?)`, t.Key, digest[:], t.Note, t.Created)
		return err
	})
	return t, secret, err
}

func random(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// Allowed reports whether a token is one of this host.
func (s *Store) Allowed(ctx context.Context, key, secret string) bool {
	var known []byte
	if err := s.db.Read().QueryRowContext(ctx, `SELECT digest FROM web_tokens WHERE key = ?`, key).Scan(&known); err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(known, digest[:]) == 1
}

// List lists the tokens, the oldest first.
func (s *Store) List(ctx context.Context) ([]Token, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT key, note, created FROM web_tokens ORDER BY created, key`)
	if err != nil {
		return nil, fmt.Errorf("listing the web tokens: %w", err)
	}
	defer rows.Close()
	list := []Token{}
	for rows.Next() {
		var t Token
		if err := rows.Scan(&t.Key, &t.Note, &t.Created); err != nil {
			return nil, fmt.Errorf("listing the web tokens: %w", err)
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// Delete deletes a token: requests with it are refused from now on.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.db.Update(ctx, func(tx *sql.Tx) error {
		done, err := tx.Exec(`DELETE FROM web_tokens WHERE key = ?`, key)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ask.NotFound("there is no web token %.80q", key))
		}
		return nil
	})
}

// Operations implements ask.Service. Containers may use none of them.
//
//	web_token.create  note  {"key": ..., "secret": ...}
//	web_token.list    {}    {"tokens": [Token]}
//	web_token.delete  key   {}
func (s *Store) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"web_token.create": outside(func(ctx context.Context, p params) (any, error) {
			t, secret, err := s.Create(ctx, p.Note)
			return map[string]string{"key": t.Key, "secret": secret}, err
		}),
		"web_token.list": outside(func(ctx context.Context, _ params) (any, error) {
			list, err := s.List(ctx)
			return map[string]any{"tokens": list}, err
		}),
		"web_token.delete": outside(func(ctx context.Context, p params) (any, error) { return nil, s.Delete(ctx, p.Key) }),
	}
}

type params struct {
	Note string `json:"note"`
	Key  string `json:"key"`
}

func outside(do func(context.Context, params) (any, error)) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p params
		if q.From.Container != "" {
			return ask.Answer{}, ask.Refused("web tokens are not for containers to see")
		}
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		result, err := do(ctx, p)
		if err != nil {
			return ask.Answer{}, err
		}
		return ask.Answer{Result: result}, nil
	}
}
