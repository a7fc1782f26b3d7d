package debian

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

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
	l.Python = minorVersion(python.version)
	interpreter := x.packages["python"+l.Python]
	if interpreter == nil {
		return nil, fmt.Errorf("%s has no python%s for %s", s.Name, l.Python, b.opts.Arch)
	}
	l.Version = upstreamVersion(interpreter.version)
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
