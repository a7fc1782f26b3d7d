package debian

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

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
		if b.readLock(s) != nil && !b.opts.Refresh {
			return s, nil
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
		return nil, problems[0] // they are most likely alike
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
