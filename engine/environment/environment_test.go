package environment_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
)

func open(t *testing.T) (*environment.Store, *store.DB) {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s, err := environment.Open(t.Context(), db, clock.Real{})
	require.NoError(t, err)
	return s, db
}

func names(t *testing.T, s *environment.Store) (list []string) {
	t.Helper()
	all, err := s.List(t.Context())
	require.NoError(t, err)
	for _, e := range all {
		list = append(list, e.Name)
	}
	return list
}

// TestUnknown has somebody name an environment that is not there: the error names
// those that are.
func TestUnknown(t *testing.T) {
	s, _ := open(t)
	_, err := s.ID(t.Context(), "nowhere")
	require.Equal(t, ask.KindNotFound, ask.Kind(err))
	require.ErrorContains(t, err, "which has main; `gx environment create nowhere` makes it")
	for i := range 12 {
		require.NoError(t, s.Create(t.Context(), "e"+strconv.Itoa(10+i)))
	}
	_, err = s.ID(t.Context(), "nowhere")
	require.ErrorContains(t, err, "which has main, e10, e11, e12, e13, e14, e15, e16, e17, e18, 3 more;")
}

func TestLife(t *testing.T) {
	s, db := open(t)
	ctx := t.Context()
	require.NoError(t, s.Create(ctx, "dev"))
	require.NoError(t, s.Create(ctx, "alpha"))
	require.Equal(t, []string{"main", "alpha", "dev"}, names(t, s))
	main, err := s.ID(ctx, "")
	require.NoError(t, err)
	same, err := s.ID(ctx, "main")
	require.NoError(t, err)
	require.Equal(t, main, same)
	dev, err := s.ID(ctx, "dev")
	require.NoError(t, err)
	require.NotEqual(t, main, dev)

	// What belongs to an environment goes with it, and survives its renaming.
	require.NoError(t, db.Migrate(ctx, "things", `CREATE TABLE things (environment INTEGER NOT NULL REFERENCES environments (id) ON DELETE CASCADE, name TEXT)`))
	require.NoError(t, db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO things VALUES (?, 'a'), (?, 'b')`, dev, main)
		return err
	}))
	things := func() (n int) {
		require.NoError(t, db.Read().QueryRow(`SELECT count(*) FROM things`).Scan(&n))
		return n
	}
	require.NoError(t, s.Rename(ctx, "dev", "test"))
	require.Equal(t, 2, things())
	var told int64
	s.OnDelete(func(id int64) { told = id })
	busy := errors.New("busy")
	s.Guard(func(string) error { return busy })
	require.ErrorIs(t, s.Delete(ctx, "test"), busy)
	busy = nil
	require.NoError(t, s.Delete(ctx, "test"))
	require.Equal(t, dev, told)
	require.Equal(t, 1, things())
	require.NoError(t, s.Create(ctx, "test"))
	again, err := s.ID(ctx, "test")
	require.NoError(t, err)
	require.NotEqual(t, dev, again, "an id is never given twice")
}

func TestRefusals(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	require.NoError(t, s.Create(ctx, "dev"))
	for kind, errs := range map[string][]error{
		ask.KindExists:   {s.Create(ctx, "dev"), s.Create(ctx, "main"), s.Rename(ctx, "dev", "main")},
		ask.KindNotFound: {s.Delete(ctx, "other"), s.Rename(ctx, "other", "x"), s.Delete(ctx, strings.Repeat("x", 300))},
		ask.KindRefused: {s.Delete(ctx, "main"), s.Delete(ctx, ""), s.Rename(ctx, "main", "x"), s.Create(ctx, ""), s.Create(ctx, ".."),
			s.Create(ctx, "a/b"), s.Create(ctx, "ü"), s.Create(ctx, strings.Repeat("x", 300)), s.Rename(ctx, "dev", "a/b")},
	} {
		for _, err := range errs {
			require.Error(t, err)
			require.Equal(t, kind, ask.Kind(err), "%v", err)
			require.Less(t, len(err.Error()), 400)
		}
	}
	require.Equal(t, []string{"main", "dev"}, names(t, s))
}
