package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// downloads is how many files are downloaded at once.
const downloads = 8

// roots are the packages that a base has besides the distribution's core.
func roots() []string {
	return []string{"apt", "ca-certificates", "python3", "python3-pip", "python3-venv"}
}

// Bootstrap makes the base that opts describe, or finds it. Progress is called
// from one goroutine at a time and may be nil. Two calls for the same base at
// once, also in different processes, do the work once. It can be cancelled at
// any point and continues later where it stopped.
//
// A Python that the archive doesn't have is a *VersionError; a machine on which
// no archive is named is a *NoArchiveError; an archive that can't be reached
// is an *UnreachableError.
func Bootstrap(ctx context.Context, opts Options, progress func(Progress)) (Base, error) {
	if opts.Tarball != "" {
		return fromTarball(ctx, opts, progress)
	}
	b, err := newBootstrap(opts, progress)
	if err != nil {
		return Base{}, err
	}
	defer b.close()
	// A finished base is found without waiting for one that is being made.
	if s, ok := b.lockedSuite(); ok && !opts.Refresh {
		if base, ok := b.finished(s); ok {
			return base, nil
		}
	}
	var base Base
	err = exclusively(ctx, b.opts.Dir, func() error {
		b.sweep()
		s, err := b.choose(ctx)
		if err != nil {
			return err
		}
		base, err = b.make(ctx, s)
		return err
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return Base{}, fmt.Errorf("making a Debian base image: %w", err)
	}
	return base, nil
}

// Available lists the Pythons for which the archive has a suite, by version. It
// asks the archive for each suite's release file, and for the package index of
// suites that are still moving; suites that can't be asked are left out,
// unless none can.
func Available(ctx context.Context, opts Options) ([]Version, error) {
	b, err := newBootstrap(opts, nil)
	if err != nil {
		return nil, err
	}
	defer b.close()
	var versions []Version
	err = exclusively(ctx, b.opts.Dir, func() error {
		versions, err = b.available(ctx)
		return err
	})
	return versions, err
}

// Clean deletes what Bootstrap left in dir and can make again: downloads, and
// with all also the finished layouts. Locks stay, so that a base that is made
// again is the same one. It waits for a bootstrap that is under way. It
// returns how many bytes were freed.
func Clean(ctx context.Context, dir string, all bool) (int64, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var freed int64
	err := exclusively(ctx, dir, func() error {
		folders := []string{"debs", "indexes"}
		if all {
			folders = append(folders, "bases")
		}
		for _, name := range folders {
			size, err := treeSize(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
			freed += size
		}
		return nil
	})
	return freed, err
}

func treeSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

// bootstrap is one call of Bootstrap.
type bootstrap struct {
	opts     Options // with defaults filled in
	asked    string  // Options.Python, of which opts has the first two numbers
	config   aptConfig
	fetch    *fetcher
	now      time.Time
	archives []archive
	close    func()

	mu       sync.Mutex
	progress func(Progress)
	phase    Progress
}

func newBootstrap(opts Options, progress func(Progress)) (*bootstrap, error) {
	if opts.Dir == "" {
		return nil, errors.New("debian: Options.Dir is empty")
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	opts.Dir = dir
	if opts.AptDir == "" {
		opts.AptDir = "/etc/apt"
	}
	if opts.Arch == "" {
		opts.Arch = debianArch(runtime.GOARCH)
	}
	if !safeName(opts.Arch) {
		return nil, fmt.Errorf("%.40q is not an architecture", opts.Arch)
	}
	asked := opts.Python
	for _, version := range []*string{&opts.Python, &opts.Near} {
		if *version == "" {
			continue
		}
		n, err := minor(*version)
		if err != nil {
			return nil, err
		}
		*version = fmt.Sprintf("3.%d", n)
	}
	b := &bootstrap{opts: opts, asked: asked, config: readAptConfig(opts.AptDir), now: time.Now(), progress: progress, close: func() {}}
	if opts.Now != nil {
		b.now = opts.Now()
	}
	var sources []source
	var problem error
	looked := opts.AptDir
	if opts.Sources != "" {
		looked = "gx's configuration"
		if sources, problem = parseSources([]byte(opts.Sources), looked); problem != nil {
			return nil, problem
		}
	} else {
		var problems []error
		sources, problems = machineSources(opts.AptDir)
		problem = errors.Join(problems...)
	}
	if b.archives = findArchives(sources, opts.Arch); len(b.archives) == 0 {
		return nil, &NoArchiveError{Looked: looked, Problems: problem}
	}
	client := opts.Client
	if client == nil {
		client = newClient(b.config)
		b.close = client.CloseIdleConnections
	}
	var logins []login
	for _, s := range sources {
		if s.Login != nil {
			logins = append(logins, *s.Login)
		}
	}
	b.fetch = newFetcher(client, append(logins, readLogins(opts.AptDir)...))
	return b, nil
}

// sweep removes what killed bootstraps left half made. What it can't remove it
// leaves to the next.
func (b *bootstrap) sweep() {
	for _, folder := range []string{"bases", "locks"} {
		left, _ := filepath.Glob(filepath.Join(b.opts.Dir, folder, ".new-*"))
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
}

// finished returns the base of a suite if its lock and layout are there.
func (b *bootstrap) finished(s suite) (Base, bool) {
	l := b.readLock(s)
	if l == nil {
		return Base{}, false
	}
	base, err := b.base(l)
	return base, err == nil
}

// base describes a finished layout.
func (b *bootstrap) base(l *lock) (Base, error) {
	key := keyOf(l.Packages)
	dir := layoutDir(b.opts.Dir, key)
	digest, size, err := findLayout(dir)
	if err != nil {
		return Base{}, err
	}
	notes := append([]string(nil), l.Notes...)
	if strings.Count(b.asked, ".") > 1 && b.asked != l.Version {
		notes = append(notes, fmt.Sprintf("Python %s was asked for; %s has %s.", b.asked, l.Suite, l.Version))
	}
	return Base{
		LayoutDir: dir, Digest: string(digest), Configure: configureScript(l), Env: environment(),
		Distribution: l.Distribution, Suite: l.Suite, Arch: l.Arch,
		Python: l.Python, PythonPath: "/usr/bin/python" + l.Python, PythonVersion: l.Version,
		Packages: l.Packages, Key: key, Size: size, Resolved: l.Resolved, Notes: notes,
	}, nil
}

// make carries out the first stage for a suite. The folder is locked.
func (b *bootstrap) make(ctx context.Context, s suite) (Base, error) {
	l := b.readLock(s)
	if l != nil && !b.opts.Refresh {
		if base, err := b.base(l); err == nil {
			return base, nil
		}
		err := b.build(ctx, l)
		if err == nil {
			return b.base(l)
		}
		if !errors.Is(err, errNotFound) {
			return Base{}, err
		}
		// Archives drop packages that have been replaced: there is nothing to
		// make the locked base of any more.
		b.report(Progress{Phase: PhaseResolve, Text: "the locked packages are no longer in the archive; resolving anew"})
	}
	l, err := b.resolve(ctx, s)
	if err != nil {
		return Base{}, err
	}
	if err := b.build(ctx, l); err != nil {
		return Base{}, err
	}
	// The lock comes last: it promises that its packages could be had.
	if err := b.writeLock(s, l); err != nil {
		return Base{}, fmt.Errorf("keeping the lock of %s: %w", s.Name, err)
	}
	return b.base(l)
}

// build downloads and unpacks the packages of a lock.
func (b *bootstrap) build(ctx context.Context, l *lock) error {
	dir := layoutDir(b.opts.Dir, keyOf(l.Packages))
	if _, _, err := findLayout(dir); err == nil {
		return nil
	}
	var total int64
	for _, p := range l.Packages {
		total += p.Size
	}
	b.report(Progress{Phase: PhaseDownload, Text: fmt.Sprintf("downloading %d packages", len(l.Packages)), Total: total})
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(downloads)
	for _, p := range l.Packages {
		group.Go(func() error {
			return b.fetch.file(groupCtx, p.URL, b.debPath(p), p.SHA256, p.Size, b.moved)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	b.report(Progress{Phase: PhaseUnpack, Text: fmt.Sprintf("unpacking %d packages", len(l.Packages)), Total: total})
	return writeLayout(dir, l.Arch, "gx: packages of "+l.Distribution+" "+l.Suite, func(w io.Writer) error {
		return b.unpack(ctx, l, w)
	})
}

func (b *bootstrap) debPath(p Package) string {
	return filepath.Join(b.opts.Dir, "debs", p.SHA256+".deb")
}

// report begins a phase.
func (b *bootstrap) report(p Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phase = p
	if b.progress != nil {
		b.progress(p)
	}
}

// moved adds bytes to the phase.
func (b *bootstrap) moved(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.phase.Current += n
	if b.progress != nil && b.phase.Phase != "" {
		b.progress(b.phase)
	}
}
