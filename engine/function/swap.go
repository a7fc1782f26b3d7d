package function

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/wire"
)

const (
	// stagePatience is how long a container may take to find out whether it can
	// exchange code. One that computes without a pause answers late.
	stagePatience = 3 * time.Second
	// maxStage is how many bytes of newer files a container is sent; for more it is
	// replaced.
	maxStage = 2 << 20
)

// Swap has newer code ready in the function's containers, which go on: what
// they have loaded stays. The versions differ in the bodies of functions alone.
// Where a container cannot do so, why says the reason, and the function is
// prepared as by Replace.
func (f *Function) Swap(ctx context.Context, next *Version) (c *Change, why string, err error) {
	c = f.Turn(next)
	f.mu.Lock()
	var members []*member
	for _, m := range f.members {
		if m.state == ready && !m.leaves() && !f.closing {
			members = append(members, m)
		}
	}
	f.stages++
	number := f.stages
	f.mu.Unlock()
	answers := make(chan staged, len(members))
	for _, m := range members {
		if why, err = m.stage(next, number, answers); err != nil || why != "" {
			break
		}
	}
	if err == nil && why == "" {
		why = f.await(ctx, members, answers)
	}
	if err == nil && why == "" && ctx.Err() == nil {
		c.swaps = members
		return c, "", nil
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Abort()
		return nil, "", fmt.Errorf("preparing newer code for %s: %w", f.Name(), err)
	}
	f.log.Info("containers are replaced, because code cannot be exchanged in them", "reason", why)
	c, err = f.Replace(ctx, next)
	return c, why, err
}

// staged is what a container says of a change; why is "" if it is ready for it.
type staged struct {
	m   *member
	why string
}

// stage tells the container of newer code.
func (m *member) stage(next *Version, number uint32, answers chan<- staged) (why string, err error) {
	files, why, err := newer(m.version(), next)
	if err != nil || why != "" {
		return why, err
	}
	fr, err := wire.JSON(wire.Stage, number, 0, wire.StageBody{Files: files, Functions: next.Functions})
	if err != nil {
		return "", fmt.Errorf("telling a container of newer code: %w", err)
	}
	m.f.mu.Lock()
	m.staging = staging{number: number, answers: answers}
	m.conn.Queue(fr)
	m.f.mu.Unlock()
	m.conn.Flush()
	return "", nil
}

// staging is the change that a container was asked about last.
type staging struct {
	number  uint32
	answers chan<- staged // has room
}

// stagedBy takes a container's answer.
func (m *member) stagedBy(fr wire.Frame) error {
	var body wire.StagedBody
	if err := fr.Decode(&body); err != nil {
		return err
	}
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	if m.staging.answers != nil && m.staging.number == fr.Call {
		m.staging.answers <- staged{m, body.Refused}
		m.staging.answers = nil
	}
	return nil
}

// await waits until every container has answered, or has ended, and says why
// code cannot be exchanged.
func (f *Function) await(ctx context.Context, members []*member, answers <-chan staged) (why string) {
	late := make(chan struct{})
	timer := f.host.Clock.AfterFunc(stagePatience, func() { close(late) })
	defer timer.Stop()
	left := map[*member]bool{}
	for _, m := range members {
		left[m] = true
	}
	for len(left) > 0 {
		var one *member
		for one = range left {
			break
		}
		select {
		case s := <-answers:
			if s.why != "" {
				return s.why
			}
			delete(left, s.m)
		case <-one.gone:
			delete(left, one)
		case <-late:
			return fmt.Sprintf("a container of it was busy for %v", stagePatience)
		case <-ctx.Done():
			return ""
		}
	}
	return ""
}

// newer are the files in which a version differs from another, by path in the
// container: contents, nil = it has gone.
func newer(before, next *Version) (files map[string][]byte, why string, err error) {
	files = map[string][]byte{}
	size := 0
	for _, path := range slices.Sorted(maps.Keys(next.Files)) {
		now := next.Files[path]
		if old, ok := before.Files[path]; ok && old.SHA256 == now.SHA256 || now.Dir {
			continue
		}
		if size += int(min(now.Size, maxStage+1)); size > maxStage {
			return nil, fmt.Sprintf("more than %d MiB of files have changed", maxStage>>20), nil
		}
		text, err := next.read(path)
		if err != nil {
			return nil, "", err
		}
		files[path] = text
	}
	for path := range before.Files {
		if _, ok := next.Files[path]; !ok {
			files[path] = nil
		}
	}
	return files, "", nil
}

// read reads one of the version's files, as the store keeps it.
func (v *Version) read(path string) ([]byte, error) {
	var failed error
	for _, dir := range v.Sources {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "/"))))
		if err == nil {
			if text == nil {
				text = []byte{}
			}
			return text, nil
		}
		failed = err
	}
	return nil, fmt.Errorf("reading %s, to bring containers up to date: %w", path, failed)
}

// swap has the containers that are ready for it go on with the version's code,
// and returns them. f.mu is held.
func (c *Change) swap() (swapped []*member) {
	for _, m := range c.swaps {
		if m.state != ready || m.leaves() {
			continue
		}
		m.conn.Queue(wire.Frame{Header: wire.Header{Type: wire.Swap, Call: m.staging.number}})
		m.current.Store(c.next)
		swapped = append(swapped, m)
	}
	return swapped
}
