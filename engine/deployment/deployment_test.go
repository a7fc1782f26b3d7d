package deployment_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/secret"
	"github.com/gx-dev/gx/engine/store"
)

// open opens a store on a clock of its own.
func open(t *testing.T) (*deployment.Store, *environment.Store, *clock.Fake, *store.DB) {
	t.Helper()
	now := clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	environments, err := environment.Open(t.Context(), db, now)
	require.NoError(t, err)
	s, err := deployment.Open(t.Context(), db, now, nil)
	require.NoError(t, err)
	return s, environments, now, db
}

func contents(file string) deployment.Contents {
	return deployment.Contents{
		Manifest: app.Manifest{Name: "one", Mounts: []app.Mount{{Files: []app.File{{Remote: "/root/a.py", SHA256: file}}}}},
		Images:   []build.Kept{{ID: "im-1", Ref: "ref", Config: build.Config{Python: "/usr/bin/python3"}}},
		Trees:    []string{"tree-" + file},
	}
}

func add(t *testing.T, s *deployment.Store, a deployment.App, file string) deployment.App {
	t.Helper()
	a, v, err := s.Add(t.Context(), 1, a, deployment.Version{Origin: "deploy", Strategy: "rolling"}, contents(file))
	require.NoError(t, err)
	require.Equal(t, a.Current, v.Number)
	return a
}

func kept(t *testing.T, s *deployment.Store, a deployment.App) (list []int) {
	t.Helper()
	versions, err := s.Versions(t.Context(), a.Key)
	require.NoError(t, err)
	for _, v := range versions {
		if v.Kept {
			list = append(list, v.Number)
		}
	}
	return list
}

func TestVersions(t *testing.T) {
	s, _, _, db := open(t)
	a := add(t, s, deployment.App{ID: "ap-1", Name: "one", Functions: map[string]string{"f": "fu-1"}}, "x")
	a.Functions["g"] = "fu-2"
	a = add(t, s, a, "y")
	require.NoError(t, s.Stop(t.Context(), a.Key, "ada"))
	require.NoError(t, s.Stop(t.Context(), a.Key, "ada"), "twice is once")

	apps, err := s.Apps(t.Context())
	require.NoError(t, err)
	require.Len(t, apps, 1)
	require.True(t, apps[0].Stopped)
	require.Equal(t, 2, apps[0].Current)
	require.Equal(t, "main", apps[0].Environment)
	require.Equal(t, map[string]string{"f": "fu-1", "g": "fu-2"}, apps[0].Functions)

	c, err := s.Contents(t.Context(), a.Key, 1)
	require.NoError(t, err)
	require.Equal(t, contents("x"), c, "all of it comes back")
	_, err = s.Contents(t.Context(), a.Key, 3)
	require.Equal(t, ask.KindNotFound, ask.Kind(err))

	history, err := s.History(t.Context(), a.Key)
	require.NoError(t, err)
	require.Len(t, history, 3)
	require.Equal(t, "stop", history[0].What)
	require.Equal(t, 2, history[0].Before)

	require.NoError(t, db.Update(t.Context(), func(tx *sql.Tx) error { return deployment.Delete(tx, a.Key) }))
	apps, err = s.Apps(t.Context())
	require.NoError(t, err)
	require.Empty(t, apps)
	history, err = s.History(t.Context(), a.Key)
	require.NoError(t, err)
	require.Empty(t, history)
}

func TestTrim(t *testing.T) {
	s, _, now, _ := open(t)
	a := deployment.App{ID: "ap-1", Name: "one"}
	for _, file := range []string{"a", "b", "c", "d"} {
		a = add(t, s, a, file)
		now.Advance(time.Hour)
	}
	dropped, err := s.Trim(t.Context(), a.Key, deployment.Retention{})
	require.NoError(t, err)
	require.Empty(t, dropped)
	dropped, err = s.Trim(t.Context(), a.Key, deployment.Retention{Versions: 3})
	require.NoError(t, err)
	require.Equal(t, []int{1}, dropped)
	_, err = s.Trim(t.Context(), a.Key, deployment.Retention{Age: 90 * time.Minute})
	require.NoError(t, err)
	require.Equal(t, []int{4}, kept(t, s, a))
	now.Advance(1000 * time.Hour)
	_, err = s.Trim(t.Context(), a.Key, deployment.Retention{Versions: 1, Age: time.Minute})
	require.NoError(t, err)
	require.Equal(t, []int{4}, kept(t, s, a), "the current one stays, however old")
	_, err = s.Contents(t.Context(), a.Key, 2)
	require.ErrorContains(t, err, "not kept any more")
}

func TestEnvironmentsTakeTheirAppsAlong(t *testing.T) {
	s, environments, _, _ := open(t)
	require.NoError(t, environments.Create(t.Context(), "dev"))
	id, err := environments.ID(t.Context(), "dev")
	require.NoError(t, err)
	_, _, err = s.Add(t.Context(), id, deployment.App{ID: "ap-1", Name: "one"}, deployment.Version{}, contents("x"))
	require.NoError(t, err)
	add(t, s, deployment.App{ID: "ap-2", Name: "one"}, "x")
	_, _, err = s.Add(t.Context(), id, deployment.App{ID: "ap-3", Name: "one"}, deployment.Version{}, contents("x"))
	require.Error(t, err, "there is one of this name")
	require.NoError(t, environments.Rename(t.Context(), "dev", "test"))
	apps, err := s.Apps(t.Context())
	require.NoError(t, err)
	require.Equal(t, "test", apps[0].Environment)
	require.NoError(t, environments.Delete(t.Context(), "test"))
	apps, err = s.Apps(t.Context())
	require.NoError(t, err)
	require.Len(t, apps, 1)
	require.Equal(t, "ap-2", apps[0].ID)
}

func TestTags(t *testing.T) {
	require.NoError(t, deployment.CheckTag("v1.2 (büild)"))
	require.Error(t, deployment.CheckTag("a\nb"))
	require.Error(t, deployment.CheckTag(strings.Repeat("x", 101)))
}

func TestSourceDigest(t *testing.T) {
	m := contents("x").Manifest
	same := contents("x").Manifest
	same.Name, same.SDK = "other", "9"
	require.Equal(t, deployment.SourceDigest(m), deployment.SourceDigest(same))
	same.Mounts[0].Files[0].Mode = 0o755
	require.NotEqual(t, deployment.SourceDigest(m), deployment.SourceDigest(same))
	require.NotEqual(t, deployment.SourceDigest(m), deployment.SourceDigest(contents("y").Manifest))
}

func TestCompare(t *testing.T) {
	before := deployment.Contents{
		Manifest: app.Manifest{
			Functions: []app.Function{
				{Name: "same", Timeout: 300},
				{Name: "changed", Timeout: 300, Line: 7, Scaling: app.Scaling{Max: 2}, GPU: []string{"T4"}},
				{Name: "gone"},
			},
			Images: []app.Image{{Steps: []app.Step{{Op: app.OpDebianSlim}, {Op: app.OpPip, Packages: []string{"numpy"}}, {Op: app.OpWorkdir, Path: "/x"}}}},
			Mounts: []app.Mount{{Files: []app.File{{Remote: "/root/a.py", SHA256: "1"}, {Remote: "/root/b.py", SHA256: "2"}}}},
		},
		Images: []build.Kept{{ID: "im-1", Ref: "1"}},
	}
	after := deployment.Contents{
		Manifest: app.Manifest{
			Functions: []app.Function{
				{Name: "same", Timeout: 300, Image: 1},
				{Name: "changed", Timeout: 60, Line: 9, Scaling: app.Scaling{Max: 3}, Image: 1},
				{Name: "new"},
			},
			Images: []app.Image{{}, {Steps: []app.Step{{Op: app.OpDebianSlim}, {Op: app.OpPip, Packages: []string{"torch"}}, {Op: app.OpWorkdir, Path: "/x"}}}},
			Mounts: []app.Mount{{Files: []app.File{{Remote: "/root/a.py", SHA256: "3"}, {Remote: "/root/c.py", SHA256: "2"}}}},
		},
		Images: []build.Kept{{ID: "im-0", Ref: "0"}, {ID: "im-2", Ref: "2"}},
	}
	d := deployment.Compare(before, after, build.StepName, func(path, before, after string) string { return path + before + after })
	require.Equal(t, api.Diff{
		Added: []string{"new"}, Removed: []string{"gone"},
		Settings: []api.SettingChange{
			{Function: "changed", Setting: "gpu", Before: `["T4"]`},
			{Function: "changed", Setting: "scaling.max", Before: "2", After: "3"},
			{Function: "changed", Setting: "timeout", Before: "300", After: "60"},
		},
		Images: []api.ImageChange{{Functions: []string{"same", "changed"}, Before: "im-1", After: "im-2", Removed: []string{"pip_install numpy"}, Added: []string{"pip_install torch"}}},
		Files: []api.FileChange{
			{Path: "/root/a.py", Change: "changed", Text: "/root/a.py13"},
			{Path: "/root/b.py", Change: "removed", Text: "/root/b.py2"},
			{Path: "/root/c.py", Change: "added", Text: "/root/c.py2"},
		},
	}, d)
	require.True(t, deployment.Compare(before, before, build.StepName, nil).Same())
	again := before
	again.Images = []build.Kept{{ID: "im-1", Ref: "another"}}
	require.True(t, deployment.Compare(before, again, build.StepName, nil).Images[0].Rebuilt, "the same recipe, forced")
}

func TestText(t *testing.T) {
	text := deployment.Text("/root/a.py", strings.NewReader("a\nb\n"), strings.NewReader("a\nc\n"))
	require.Contains(t, text, "-b\n+c\n")
	require.Contains(t, text, "--- a/root/a.py")
	require.Contains(t, deployment.Text("/x", nil, strings.NewReader("new\n")), "+new")
	require.Empty(t, deployment.Text("/x", strings.NewReader("a\x00"), strings.NewReader("b")), "no text")
	require.Empty(t, deployment.Text("/x", strings.NewReader(strings.Repeat("x", 300<<10)), nil), "too long")
}

// TestAddIsWholeOrNothing has the caller give up: what was asked for is not half
// there.
func TestAddIsWholeOrNothing(t *testing.T) {
	s, _, _, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.Add(ctx, 1, deployment.App{ID: "ap-1", Name: "one"}, deployment.Version{}, contents("x"))
	apps, failed := s.Apps(t.Context())
	require.NoError(t, failed)
	if err != nil {
		require.Empty(t, apps)
	} else {
		require.Len(t, apps, 1)
	}
}

// TestSecretsOfOtherVersions moves what is kept of a version to another one, as
// somebody can who writes into the database: its secrets do not open there.
func TestSecretsOfOtherVersions(t *testing.T) {
	db, err := store.Open(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = environment.Open(t.Context(), db, clock.Real{})
	require.NoError(t, err)
	s, err := deployment.Open(t.Context(), db, clock.Real{}, secret.NewVault(filepath.Join(t.TempDir(), "key")))
	require.NoError(t, err)
	secrets := func(value string) deployment.Contents {
		c := contents("x")
		c.Manifest.Functions = []app.Function{{Name: "f", Secrets: []app.Secret{{Values: map[string]string{"TOKEN": value}}}}}
		return c
	}
	var keys []int64
	for _, id := range []string{"ap-1", "ap-2"} {
		a := deployment.App{ID: id, Name: id}
		for _, value := range []string{"first of " + id, "second of " + id} {
			a, _, err = s.Add(t.Context(), 1, a, deployment.Version{}, secrets(value))
			require.NoError(t, err)
		}
		keys = append(keys, a.Key)
		c, err := s.Contents(t.Context(), a.Key, 2)
		require.NoError(t, err)
		require.Equal(t, "second of "+id, c.Manifest.Functions[0].Secrets[0].Values["TOKEN"])
	}
	for _, from := range []struct {
		key    int64
		number int
	}{{keys[0], 1}, {keys[1], 2}} {
		require.NoError(t, db.Update(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE deployed_versions SET contents = (SELECT contents FROM deployed_versions WHERE app = ? AND number = ?) WHERE app = ? AND number = 2`, from.key, from.number, keys[0])
			return err
		}))
		_, err = s.Contents(t.Context(), keys[0], 2)
		require.ErrorContains(t, err, "is something else")
		require.NotContains(t, err.Error(), " of ap-2")
	}
}
