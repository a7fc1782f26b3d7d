package debian

import (
	"context"
	"errors"
	"fmt"
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
	opts     Options
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
	if opts.AptDir == "" {
		opts.AptDir = "/etc/apt"
	}
	if opts.Arch == "" {
		opts.Arch = debianArch(runtime.GOARCH)
	}
	if !safeName(opts.Arch) {
		return nil, fmt.Errorf("%.40q is not an architecture", opts.Arch)
	}
	if opts.Python != "" {
		if _, err := minor(opts.Python); err != nil {
			return nil, err
		}
	}
	b := &bootstrap{opts: opts, config: readAptConfig(opts.AptDir), now: time.Now(), progress: progress, close: func() {}}
	if opts.Now != nil {
		b.now = opts.Now()
	}
	sources, problem := []source(nil), error(nil)
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
	b.fetch = &fetcher{client: client}
	for _, s := range sources {
		if s.Login != nil {
			b.fetch.logins = append(b.fetch.logins, *s.Login)
		}
	}
	b.fetch.logins = append(b.fetch.logins, readLogins(opts.AptDir)...)
	return b, nil
}

// suites are those of the archives at hand, oldest first.
func (b *bootstrap) suites() []suite {
	var list []suite
	for _, a := range b.archives {
		known := false
		release, _ := splitSuite(a.Main.Suite)
		for _, s := range suites() {
			if s.Distribution == a.Distribution {
				list = append(list, s)
				known = known || s.Name == release
			}
		}
		// A release that is newer than gx, or goes by an alias, is asked.
		if !known && !oneOf(release, "stable", "oldstable", "oldoldstable", "testing", "unstable", "devel", "buster", "focal") {
			list = append(list, suite{a.Distribution, release, ""})
		}
	}
	return list
}

func (b *bootstrap) archive(s suite) archive {
	for _, a := range b.archives {
		if a.Distribution == s.Distribution {
			return a
		}
	}
	return b.archives[0]
}

// wanted is the version to look for, and whether another will do.
func (b *bootstrap) wanted() (python string, exact bool) {
	if b.opts.Python != "" {
		return b.opts.Python, true
	}
	return b.opts.Near, false
}

// lockedSuite is the suite that choose would choose, as far as that can be told
// without network.
func (b *bootstrap) lockedSuite() (suite, bool) {
	python, exact := b.wanted()
	list := b.suites()
	for _, s := range list {
		if s.Python == python && python != "" {
			return s, true
		}
	}
	for _, s := range list {
		if l := b.readLock(s); s.Python == "" && l != nil && l.Python == python {
			return s, true
		}
	}
	if exact || b.mayBeNewer(python) {
		return suite{}, false
	}
	return nearest(list, python)
}

// mayBeNewer reports whether a version is newer than every release's, so that
// only a suite that is still moving could have it.
func (b *bootstrap) mayBeNewer(python string) bool {
	newest, ok := nearest(b.suites(), "")
	return python != "" && (!ok || newer(python, newest.Python))
}

// choose picks the suite for the Python that is wanted.
func (b *bootstrap) choose(ctx context.Context) (suite, error) {
	python, exact := b.wanted()
	left := b.suites()
	if s, ok := b.lockedSuite(); ok && b.readLock(s) != nil && !b.opts.Refresh {
		return s, nil
	}
	if b.mayBeNewer(python) {
		for _, s := range left {
			if s.Python != "" {
				continue
			}
			has, err := b.pythonOf(ctx, s)
			if err != nil && ctx.Err() != nil {
				return suite{}, err
			}
			if err == nil && has == python {
				return s, nil
			}
		}
	}
	for len(left) > 0 {
		s, ok := nearest(left, python)
		if !ok || exact && s.Python != python {
			break
		}
		_, err := b.release(ctx, s)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errNotFound) {
			return suite{}, err
		}
		left = without(left, s)
	}
	versions, err := b.available(ctx)
	if err != nil {
		return suite{}, err
	}
	if !exact && len(versions) > 0 { // only moving suites are left
		last := versions[len(versions)-1]
		return suite{Distribution: last.Distribution, Name: last.Suite}, nil
	}
	return suite{}, &VersionError{Wanted: python, Available: versions}
}

func without(list []suite, s suite) []suite {
	var out []suite
	for _, t := range list {
		if t != s {
			out = append(out, t)
		}
	}
	return out
}

// available asks every suite side by side.
func (b *bootstrap) available(ctx context.Context) ([]Version, error) {
	list := b.suites()
	pythons, problems := make([]string, len(list)), make([]error, len(list))
	var wait sync.WaitGroup
	for i, s := range list {
		wait.Go(func() {
			pythons[i], problems[i] = b.pythonOf(ctx, s)
		})
	}
	wait.Wait()
	var versions []Version
	for i, s := range list {
		if problems[i] == nil {
			versions = append(versions, Version{pythons[i], s.Distribution, s.Name})
		}
	}
	if len(versions) == 0 {
		return nil, errors.Join(problems...)
	}
	sortVersions(versions)
	return versions, nil
}

// release fetches the release file of a suite itself.
func (b *bootstrap) release(ctx context.Context, s suite) (*release, error) {
	r, err := b.fetchRelease(ctx, b.archive(s).of(s)[0])
	if err != nil {
		return nil, err
	}
	if b.opts.Sources == "" && !strings.EqualFold(r.origin, s.Distribution) {
		return nil, fmt.Errorf("the archive at %s calls itself %.60q: no archive of %s is named in %s", redact(r.source.URI), r.origin, s.Distribution, b.opts.AptDir)
	}
	return r, nil
}

// pythonOf returns the Python of a suite that the archive has.
func (b *bootstrap) pythonOf(ctx context.Context, s suite) (string, error) {
	r, err := b.release(ctx, s)
	if err != nil || s.Python != "" {
		return s.Python, err
	}
	text, err := b.packages(ctx, r, "main")
	if err != nil {
		return "", err
	}
	x := newIndex(b.opts.Arch)
	if err := x.add(text, ""); err != nil {
		return "", err
	}
	p := x.packages["python3"]
	if p == nil {
		return "", fmt.Errorf("%s has no python3 for %s", s.Name, b.opts.Arch)
	}
	return minorVersion(p.version), nil
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
	return Base{
		LayoutDir: dir, Digest: string(digest), Configure: configureScript(l), Env: environment(),
		Distribution: l.Distribution, Suite: l.Suite, Arch: l.Arch,
		Python: l.Python, PythonPath: "/usr/bin/python" + l.Python, PythonVersion: l.Version,
		Packages: l.Packages, Key: key, Size: size, Resolved: l.Resolved, Notes: l.Notes,
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

// resolve turns a suite into a list of packages.
func (b *bootstrap) resolve(ctx context.Context, s suite) (*lock, error) {
	b.report(Progress{Phase: PhaseResolve, Text: fmt.Sprintf("reading the package indexes of %s %s", s.Distribution, s.Name)})
	l := &lock{Format: layoutFormat, Origin: b.origin(s), Distribution: s.Distribution, Suite: s.Name, Arch: b.opts.Arch, Resolved: b.now.UTC()}
	sources := b.archive(s).of(s)
	releases := make([]*release, len(sources))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, src := range sources {
		group.Go(func() (err error) {
			if i == 0 {
				releases[i], err = b.release(groupCtx, s)
				return err
			}
			releases[i], err = b.fetchRelease(groupCtx, src)
			if errors.Is(err, errNotFound) {
				return nil // noted below
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	x, err := b.readIndexes(ctx, sources, releases, l)
	if err != nil {
		return nil, err
	}
	python := x.packages["python3"]
	if python == nil {
		return nil, fmt.Errorf("%s has no python3 for %s", s.Name, b.opts.Arch)
	}
	l.Python, l.Version = minorVersion(python.version), upstreamVersion(python.version)
	packages, err := x.resolve(roots())
	if err != nil {
		return nil, fmt.Errorf("resolving %s %s: %w", s.Distribution, s.Name, err)
	}
	for _, p := range packages {
		locked, err := p.locked()
		if err != nil {
			return nil, err
		}
		l.Packages = append(l.Packages, locked)
	}
	return l, nil
}

// readIndexes downloads the package indexes of the releases side by side, and
// notes the sources in the lock.
func (b *bootstrap) readIndexes(ctx context.Context, sources []source, releases []*release, l *lock) (*index, error) {
	texts := make([][]byte, len(sources)*2)
	group, groupCtx := errgroup.WithContext(ctx)
	for i, r := range releases {
		if r == nil {
			l.Notes = append(l.Notes, fmt.Sprintf("%s has no suite %s: the base is without it.", redact(sources[i].URI), sources[i].Suite))
			continue
		}
		l.Notes = append(l.Notes, r.notes...)
		if r.source.Login != nil {
			l.Notes = append(l.Notes, fmt.Sprintf("The password in the address of %s does not become part of the image: apt in it may be refused.", r.source.URI))
		}
		locked, err := b.lockSource(r)
		if err != nil {
			return nil, err
		}
		l.Sources = append(l.Sources, locked)
		for j, component := range components(l.Distribution) {
			if !contains(r.source.Components, component) {
				continue
			}
			group.Go(func() (err error) {
				texts[i*2+j], err = b.packages(groupCtx, r, component)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	x := newIndex(b.opts.Arch)
	for i, text := range texts {
		if err := x.add(text, sources[i/2].URI); err != nil {
			return nil, fmt.Errorf("reading the package index of %s: %w", sources[i/2].Suite, err)
		}
	}
	if len(x.packages) == 0 {
		return nil, fmt.Errorf("%s has no packages for %s", sources[0].Suite, b.opts.Arch)
	}
	x.seal()
	return x, nil
}

// components are the parts of an archive that a base is made of. Ubuntu keeps
// pip outside of its main one.
func components(distribution string) []string {
	if distribution == "ubuntu" {
		return []string{"main", "universe"}
	}
	return []string{"main"}
}

// lockSource describes a source for the image's own apt.
func (b *bootstrap) lockSource(r *release) (lockSource, error) {
	s := r.source
	out := lockSource{URI: s.URI, Suite: s.Suite, Components: s.Components, Trusted: s.Trusted, ValidUntil: s.ValidUntil && b.config.checksValidUntil()}
	own := s.Key != "" || len(s.SignedBy) == 0 && len(b.opts.Keyrings) > 0
	for _, by := range s.SignedBy {
		own = own || filepath.IsAbs(by) && !strings.Contains(filepath.Base(by), "-archive-")
	}
	if own && !s.Trusted {
		keys, err := keysFor(s, b.opts.AptDir, b.opts.Keyrings)
		if err != nil {
			return out, err
		}
		if out.Key, err = armored(keys); err != nil {
			return out, fmt.Errorf("copying the archive's keys: %w", err)
		}
	}
	return out, nil
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
	return b.writeLayout(ctx, l, dir)
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
