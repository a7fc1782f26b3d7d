package app

import (
	"fmt"
	"regexp"
)

// MaxName is the most bytes in the name of an environment, an app, a volume, a
// secret, a dict or a queue.
const MaxName = 64

var nameRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// CheckName says what is wrong with the name of a stored thing; kind is what it
// is, for the message: "volume". Such names are safe as names of files.
func CheckName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a %s needs a name", kind)
	case len(name) > MaxName:
		return fmt.Errorf("the name of a %s has at most %d characters, %.80q has %d", kind, MaxName, name, len(name))
	case !nameRule.MatchString(name):
		return fmt.Errorf("%q cannot be the name of a %s: it has letters, digits, dashes, dots and underscores, and begins with none of dash and dot", name, kind)
	}
	return nil
}
