package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// Environment is the whole environment. It resolves ExtraEnv: call it at the last
// moment, and keep what it returns out of logs.
func (s Spec) Environment() []string { return environment(s.Env, s.ExtraEnv) }

// Environment is that of Spec.
func (s ExecSpec) Environment() []string { return environment(s.Env, s.ExtraEnv) }

func environment(env []string, extra func() []string) []string {
	if extra == nil {
		return env
	}
	return append(env[:len(env):len(env)], extra()...)
}

var validID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Validate checks what every runtime demands of a Spec: an id, a command,
// standard output and error, absolute paths, mounts of things that exist, no
// negative limit, a known network.
func (s Spec) Validate() error {
	switch {
	case !validID.MatchString(s.ID):
		return fmt.Errorf("%q is no container id: use a-z, 0-9 and -, at most 64", s.ID)
	case len(s.Args) == 0 || s.Args[0] == "":
		return errors.New("the container has no command")
	case s.Stdout == nil || s.Stderr == nil:
		return errors.New("the container has no standard output or error")
	case !(s.CPU >= 0) || s.Memory < 0 || s.Pids < 0 || s.Disk < 0:
		return errors.New("a limit is negative")
	case s.Dir != "" && !filepath.IsAbs(s.Dir):
		return fmt.Errorf("the working directory %q is not absolute", s.Dir)
	}
	switch s.Network {
	case NetworkOutbound, NetworkNone, NetworkHost:
	default:
		return fmt.Errorf("unknown kind of network %q", s.Network)
	}
	for _, dir := range s.Root.Lower {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("the layer %q is not an absolute path", dir)
		}
	}
	for _, m := range s.Mounts {
		if m.Overlay != nil {
			if err := m.Overlay.validate(); err != nil {
				return fmt.Errorf("the overlay at %q: %w", m.Target, err)
			}
			m.Source = m.Overlay.Lower[0]
		}
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) == "/" {
			return fmt.Errorf("the mount of %q at %q needs two absolute paths", m.Source, m.Target)
		}
		if _, err := os.Stat(m.Source); err != nil {
			return fmt.Errorf("what is to be mounted at %s: %w", m.Target, err)
		}
	}
	return nil
}

func (o *Overlay) validate() error {
	least := 1
	if o.Upper == "" {
		least = 2
	}
	if len(o.Lower) < least {
		return fmt.Errorf("it has %d layers below; it needs %d", len(o.Lower), least)
	}
	dirs := slices.Clone(o.Lower)
	if o.Upper != "" {
		dirs = append(dirs, o.Upper, o.Work)
	}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("the layer %q is not an absolute path", dir)
		}
	}
	return nil
}
