package app

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of a secret.
const (
	MaxSecretKeys  = 256
	MaxSecretValue = 32 << 10  // bytes of one value
	MaxSecretBytes = 256 << 10 // of all names and values
)

// Secret is a set of environment variables whose values must not be seen: one
// that the host keeps, by its name, or the values themselves. Of several the
// later ones win.
type Secret struct {
	Name        string            `json:"name,omitempty"`        // of one that the host keeps
	Environment string            `json:"environment,omitempty"` // of the name; "" = the app's
	Required    []string          `json:"required,omitempty"`    // variables that it must have
	Values      map[string]string `json:"values,omitempty"`      // of one without a name; of one with a name what it was found to be, never in a manifest
}

// Variables are the variables of secrets whose values are known.
func Variables(secrets []Secret) map[string]string {
	all := map[string]string{}
	for _, s := range secrets {
		maps.Copy(all, s.Values)
	}
	return all
}

// WithoutValues are the secrets with the names of their variables alone.
func WithoutValues(secrets []Secret) []Secret {
	secrets = slices.Clone(secrets)
	for i := range secrets {
		names := map[string]string{}
		for name := range secrets[i].Values {
			names[name] = ""
		}
		secrets[i].Values = names
	}
	return secrets
}

var variableRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// CheckVariable says what is wrong with the name of an environment variable.
func CheckVariable(name string) error {
	switch {
	case len(name) > 256:
		return fmt.Errorf("%.80q... cannot be the name of an environment variable: it has %d characters, at most 256 are allowed", name, len(name))
	case !variableRule.MatchString(name):
		return fmt.Errorf("%.80q cannot be the name of an environment variable: it has letters, digits and underscores, and begins with no digit", name)
	}
	return nil
}

// CheckValues says what is wrong with the variables of a secret. It shows no value.
func CheckValues(values map[string]string) error {
	if len(values) > MaxSecretKeys {
		return fmt.Errorf("a secret has at most %d variables, not %d", MaxSecretKeys, len(values))
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if err := CheckVariable(name); err != nil {
			return err
		}
		if len(value) > MaxSecretValue {
			return fmt.Errorf("the value of %s has %d bytes; at most %d are allowed: put what is larger into a volume", name, len(value), MaxSecretValue)
		}
		if strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("the value of %s has a zero byte, which an environment variable cannot have", name)
		}
		total += len(name) + len(value)
	}
	if total > MaxSecretBytes {
		return fmt.Errorf("a secret has at most %d bytes in all its variables, not %d", MaxSecretBytes, total)
	}
	return nil
}

// Withheld are the values of a manifest's secrets, in the order in which they
// are met: those of functions, then those of images' steps. Whoever keeps a
// manifest keeps them apart from it, encrypted.
type Withheld []map[string]string

// Empty reports whether there are no values.
func (w Withheld) Empty() bool {
	for _, values := range w {
		if len(values) > 0 {
			return false
		}
	}
	return true
}

// Withhold is the manifest without the values of secrets, which may be kept and
// shown, and those values. The manifest itself stays as it is.
func (m Manifest) Withhold() (Manifest, Withheld) {
	var held Withheld
	m.eachSecret(func(s *Secret) {
		held = append(held, s.Values)
		s.Values = nil
	})
	return m, held
}

// Restore is the manifest that Withhold was asked of.
func (m Manifest) Restore(held Withheld) (Manifest, error) {
	at := 0
	m.eachSecret(func(s *Secret) {
		if at < len(held) {
			s.Values = held[at]
		}
		at++
	})
	if at != len(held) {
		return m, fmt.Errorf("the manifest has %d secrets, and the values of %d were kept: they do not belong together", at, len(held))
	}
	return m, nil
}

// eachSecret replaces all that leads to secrets by copies, and changes those.
func (m *Manifest) eachSecret(change func(*Secret)) {
	each := func(secrets []Secret) []Secret {
		secrets = slices.Clone(secrets)
		for i := range secrets {
			change(&secrets[i])
		}
		return secrets
	}
	m.Functions = slices.Clone(m.Functions)
	for i := range m.Functions {
		m.Functions[i].Secrets = each(m.Functions[i].Secrets)
	}
	m.Images = slices.Clone(m.Images)
	for i := range m.Images {
		m.Images[i].Steps = slices.Clone(m.Images[i].Steps)
		for j := range m.Images[i].Steps {
			m.Images[i].Steps[j].Secrets = each(m.Images[i].Steps[j].Secrets)
		}
	}
}
