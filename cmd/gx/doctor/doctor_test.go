package doctor

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExamineKeepsOrder(t *testing.T) {
	second := make(chan struct{})
	results := Examine(context.Background(), []Check{
		one("first", func(context.Context) Result { <-second; return Result{Level: OK} }),
		one("second", func(context.Context) Result { close(second); return Result{Level: Fail} }),
	})
	require.Equal(t, []Result{{Name: "first", Level: OK}, {Name: "second", Level: Fail}}, results)
	require.True(t, Failed(results))
	require.False(t, Failed(results[:1]))
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	r := Disk(filepath.Join(dir, "not", "yet"))(context.Background())[0]
	require.NotEqual(t, Fail, r.Level, r.Found)
	require.Contains(t, r.Found, "free at")

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	r = Disk(file)(context.Background())[0]
	require.Equal(t, Fail, r.Level)
	require.Contains(t, r.Found, "not a folder")
	require.NotEmpty(t, r.Mend)
}
