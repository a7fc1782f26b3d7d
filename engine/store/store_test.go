package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/store"
)

const schema = `CREATE TABLE things (name TEXT PRIMARY KEY, value INTEGER NOT NULL)`

func open(t *testing.T, path string) *store.DB {
	t.Helper()
	db, err := store.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.NoError(t, db.Migrate(t.Context(), "things", schema))
	return db
}

func put(ctx context.Context, db *store.DB, name string, value int) error {
	return db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO things VALUES (?, ?)`, name, value)
		return err
	})
}

func count(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	require.NoError(t, db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM things`).Scan(&n))
	return n
}

func TestPersists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%.db") // no character of a path is special
	db := open(t, path)
	require.NoError(t, put(t.Context(), db, "a", 1))
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
	require.ErrorIs(t, put(t.Context(), db, "b", 1), store.ErrClosed)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.NoError(t, db.Sync(), "there is nothing to flush")
	require.Equal(t, 1, count(t, open(t, path)))
}

func TestReadersCannotWrite(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	_, err := db.Read().ExecContext(t.Context(), `INSERT INTO things VALUES ('a', 1)`)
	require.ErrorContains(t, err, "readonly")
}

// TestFailuresStayAlone has many updates at once, of which every third fails
// after it has written and one panics: those that share a commit with them are kept.
func TestFailuresStayAlone(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	mistake := errors.New("mistake")
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			err := db.Update(t.Context(), func(tx *sql.Tx) error {
				if _, err := tx.Exec(`INSERT INTO things VALUES (?, ?)`, strconv.Itoa(i), i); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return mistake
				case 2:
					panic("a bug")
				}
				return nil
			})
			switch i % 3 {
			case 0:
				if err != nil {
					t.Errorf("update %d: %v", i, err)
				}
			case 1:
				if !errors.Is(err, mistake) {
					t.Errorf("update %d: %v", i, err)
				}
			case 2:
				if err == nil || !strings.Contains(err.Error(), "a bug") {
					t.Errorf("update %d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, 100, count(t, db))
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path)
	require.NoError(t, put(t.Context(), db, "a", 1))
	require.NoError(t, db.Migrate(t.Context(), "things", schema, `ALTER TABLE things ADD COLUMN note TEXT`))
	require.NoError(t, db.Migrate(t.Context(), "others", `CREATE TABLE others (name TEXT)`))
	require.Equal(t, 1, count(t, db))
	require.ErrorContains(t, db.Migrate(t.Context(), "things", schema), "older than the one that wrote it")
	err := db.Migrate(t.Context(), "others", `CREATE TABLE others (name TEXT)`, `CREATE TABLE more (a TEXT); nonsense`)
	require.ErrorContains(t, err, "step 2")
	_, err = db.Read().ExecContext(t.Context(), `SELECT * FROM more`)
	require.Error(t, err, "half a migration is none")
}

// TestKilled kills a process that writes, and finds all that was acknowledged.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriter$")
		cmd.Env = append(os.Environ(), "GX_STORE_TEST="+path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		acknowledged, line, one := 0, "", make([]byte, 1)
		for acknowledged < 50 {
			_, err := out.Read(one)
			require.NoError(t, err)
			if one[0] != '\n' {
				line += string(one)
				continue
			}
			n, err := strconv.Atoi(line)
			require.NoError(t, err, line)
			acknowledged, line = acknowledged+1, ""
			_ = n
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		db := open(t, path)
		require.GreaterOrEqual(t, count(t, db), 50)
		require.NoError(t, db.Update(t.Context(), func(tx *sql.Tx) error {
			var verdict string
			if err := tx.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil {
				return err
			}
			require.Equal(t, "ok", verdict)
			_, err := tx.Exec(`DELETE FROM things`)
			return err
		}))
		require.NoError(t, db.Close())
	}
}

// TestWriter is the process that is killed.
func TestWriter(t *testing.T) {
	path := os.Getenv("GX_STORE_TEST")
	if path == "" {
		t.Skip("it is run by TestKilled")
	}
	db := open(t, path)
	for i := 0; ; i++ {
		if err := put(t.Context(), db, strconv.Itoa(i), i); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(i) + "\n")
	}
}

func BenchmarkUpdate(b *testing.B) {
	db, err := store.Open(filepath.Join(b.TempDir(), "db"))
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(b.Context(), "things", schema))
	i := 0
	b.SetParallelism(16)
	var mu sync.Mutex
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			i++
			n := i
			mu.Unlock()
			if err := put(b.Context(), db, strconv.Itoa(n), n); err != nil {
				b.Error(err)
			}
		}
	})
}

// TestFull has updates that share a commit meet a full disk, which makes SQLite
// roll back more than the one statement: what is reported is what happened.
func TestFull(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"))
	limit := func(pages string) {
		t.Helper()
		require.NoError(t, db.Update(t.Context(), func(tx *sql.Tx) error {
			var n int
			return tx.QueryRow(`PRAGMA max_page_count = ` + pages).Scan(&n)
		}))
	}
	for range 5 {
		limit("1")
		// The first holds the writer until the others wait, so that they share a commit.
		hold, held := make(chan struct{}), make(chan struct{})
		first := make(chan error, 1)
		go func() {
			first <- db.Update(t.Context(), func(*sql.Tx) error { close(held); <-hold; return nil })
		}()
		<-held
		results := make([]error, 9)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() {
				results[i] = db.Update(t.Context(), func(tx *sql.Tx) error {
					value := `1`
					if i == 4 { // more than the file may have
						value = `zeroblob(100000)`
					}
					_, err := tx.Exec(`INSERT INTO things VALUES (?, `+value+`)`, i)
					return err
				})
			})
			for db.Waiting() <= i {
				runtime.Gosched()
			}
		}
		close(hold)
		all.Wait()
		require.NoError(t, <-first)
		there := map[int]bool{}
		rows, err := db.Read().QueryContext(t.Context(), `SELECT name FROM things`)
		require.NoError(t, err)
		for rows.Next() {
			var n int
			require.NoError(t, rows.Scan(&n))
			there[n] = true
		}
		require.NoError(t, errors.Join(rows.Err(), rows.Close()))
		for i, err := range results {
			require.Equal(t, err == nil, there[i], "update %d: %v", i, err)
		}
		require.Error(t, results[4])
		limit("1000000")
		require.NoError(t, db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM things`)
			return err
		}), "it goes on when there is room")
	}
}
