//go:build linux

package runc

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gx-dev/gx/engine/container"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	r, err := New(context.Background(), Config{Dir: filepath.Join(dir, "d"), RunDir: filepath.Join(dir, "r"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	low := filepath.Join(dir, "low")
	for _, d := range []string{"usr", "etc", "tmp", "root"} {
		os.MkdirAll(filepath.Join(low, d), 0o755)
	}
	for _, d := range []string{"bin", "lib", "lib64", "sbin"} {
		os.Symlink("usr/"+d, filepath.Join(low, d))
	}
	rd, wr, _ := os.Pipe()
	c, err := r.Start(context.Background(), container.Spec{ID: "a", Root: container.Root{Lower: []string{low}}, Args: []string{"sh", "-c", "id; cat /etc/hosts /etc/resolv.conf; ip a; ip r; mount; cat /proc/self/status | grep -E 'Cap|Sec|NoN'; cat /proc/self/cgroup; ls -l /dev; exit 7"},
		Env: []string{"PATH=/usr/bin:/bin:/sbin:/usr/sbin"}, Mounts: []container.Mount{{Source: "/usr", Target: "/usr", ReadOnly: true}}, Stdout: wr, Stderr: wr, Memory: 100 << 20, CPU: 1})
	wr.Close()
	b, _ := io.ReadAll(rd)
	t.Logf("%s", b)
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	t.Logf("%+v", c.Exit())
	s, _ := c.Stats()
	t.Logf("%+v", s)
}
