package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoFreezer means that the machine has nothing to stop a group with.
var ErrNoFreezer = errors.New("no control group hierarchy here can freeze processes")

// Freeze stops every process of the group, and returns once they stand still.
// If that takes longer than ctx allows they go on. thaw has them go on.
func (g Group) Freeze(ctx context.Context) (thaw func() error, err error) {
	f, err := g.freezer()
	if err != nil {
		return nil, err
	}
	if err := f.write(f.freeze); err != nil {
		return nil, fmt.Errorf("freeze control group %s: %w", g.path, err)
	}
	thaw = func() error { return f.write(f.thaw) }
	for wait := 100 * time.Microsecond; !f.frozen(); wait = min(2*wait, 10*time.Millisecond) {
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("freeze control group %s: %w", g.path, ctx.Err()), thaw())
		case <-time.After(wait):
		}
	}
	return thaw, nil
}

// freezer is how a hierarchy freezes.
type freezer struct {
	file         string
	freeze, thaw string
	frozen       func() bool
}

func (f freezer) write(text string) error { return os.WriteFile(f.file, []byte(text), 0) }

// freezer finds the hierarchy that has the group's processes and can freeze.
func (g Group) freezer() (freezer, error) {
	if dir, ok := g.dir1("freezer"); ok && len(readPids(filepath.Join(dir, "cgroup.procs"))) > 0 {
		file := filepath.Join(dir, "freezer.state")
		return freezer{file: file, freeze: "FROZEN", thaw: "THAWED", frozen: func() bool {
			text, _ := os.ReadFile(file)
			return strings.TrimSpace(string(text)) == "FROZEN"
		}}, nil
	}
	if dir := g.dir2(); g.sys.v2 != "" && len(readPids(filepath.Join(dir, "cgroup.procs"))) > 0 {
		return freezer{file: filepath.Join(dir, "cgroup.freeze"), freeze: "1", thaw: "0", frozen: func() bool {
			return readKey(dir, "cgroup.events", "frozen") == 1
		}}, nil
	}
	return freezer{}, ErrNoFreezer
}
