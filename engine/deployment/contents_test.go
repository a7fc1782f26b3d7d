package deployment_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/secret"
	"github.com/gx-dev/gx/engine/store"
)

// The values of secrets are there for who runs a version, and for nobody else.
func TestSecretsOfAVersion(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(filepath.Join(dir, "db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	now := clock.NewFake(time.Unix(1e9, 0))
	environments, err := environment.Open(t.Context(), db, now)
	require.NoError(t, err)
	id, err := environments.ID(t.Context(), "")
	require.NoError(t, err)
	s, err := deployment.Open(t.Context(), db, now, secret.NewVault(filepath.Join(dir, "key")))
	require.NoError(t, err)

	contents := func(value string) deployment.Contents {
		return deployment.Contents{Manifest: app.Manifest{Version: 1, Name: "a",
			Functions: []app.Function{{Name: "f", Secrets: []app.Secret{{Name: "named"}, {Values: map[string]string{"TOKEN": value}}}}},
			Images:    []app.Image{{Steps: []app.Step{{Op: app.OpRun, Secrets: []app.Secret{{Values: map[string]string{"BUILD": value}}}}}}},
		}}
	}
	a, _, err := s.Add(t.Context(), id, deployment.App{ID: "ap-1", Name: "a"}, deployment.Version{Origin: "deploy"}, contents("planted-1"))
	require.NoError(t, err)
	_, _, err = s.Add(t.Context(), id, a, deployment.Version{Origin: "deploy"}, contents("planted-2"))
	require.NoError(t, err)
	var list []deployment.Contents
	for number, value := range map[int]string{1: "planted-1", 2: "planted-2"} {
		c, err := s.Contents(t.Context(), a.Key, number)
		require.NoError(t, err)
		require.Equal(t, contents(value).Manifest, c.Manifest)
		list = append(list, c)
	}
	diff := deployment.Compare(list[0], list[1], func(app.Step) string { return "" }, nil)
	require.Empty(t, diff.Settings, "a value is nothing to be shown")

	rows, err := db.Read().Query(`SELECT contents FROM deployed_versions`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var blob []byte
		require.NoError(t, rows.Scan(&blob))
		r, err := gzip.NewReader(bytes.NewReader(blob))
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NotContains(t, string(text), "planted")
		require.Contains(t, string(text), "named")
	}
	require.NoError(t, rows.Err())
}
