package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Plain is the Spec with what its Edits say in its own fields, for a runtime
// that does not speak CDI. It is an error if they have devices or hooks, which a
// Spec has no fields for.
func (s Spec) Plain() (Spec, error) {
	e := s.Edits
	if e == nil {
		return s, nil
	}
	if len(e.DeviceNodes)+len(e.Hooks)+len(e.AdditionalGIDs) > 0 || e.IntelRdt != nil {
		return s, errors.New("it has devices or hooks, which are not possible here")
	}
	s.Env, s.Edits = s.Environ(), nil
	s.Mounts = slices.Clone(s.Mounts)
	for _, m := range e.Mounts {
		if m.Type != "" && m.Type != "bind" {
			return s, fmt.Errorf("the mount at %s is of the kind %q, which is not possible here", m.ContainerPath, m.Type)
		}
		s.Mounts = append(s.Mounts, Mount{Source: m.HostPath, Target: m.ContainerPath, ReadOnly: slices.Contains(m.Options, "ro")})
	}
	return s, nil
}

// Environ is Env as Edits change it.
func (s Spec) Environ() []string {
	env := slices.Clone(s.Env)
	if s.Edits == nil {
		return env
	}
	for _, entry := range s.Edits.Env {
		name, _, _ := strings.Cut(entry, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, entry)
	}
	return env
}
