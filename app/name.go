package app

import (
	"fmt"
	"regexp"
	"strings"
)

// MaxName is the most bytes in the name of an environment, an app, a volume, a
// secret, a dict or a queue.
const MaxName = 64

var nameRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// CheckName says what is wrong with the name of a stored thing; kind is what it
// is, for the message: "volume". Such names are safe as names of files.
func CheckName(kind, name string) error {
	kind = article(kind)
	switch {
	case name == "":
		return fmt.Errorf("%s needs a name", kind)
	case len(name) > MaxName:
		return fmt.Errorf("the name of %s has at most %d characters, %.80q has %d", kind, MaxName, name, len(name))
	case !nameRule.MatchString(name):
		return fmt.Errorf("%q cannot be the name of %s: it has letters, digits, dashes, dots and underscores, and begins with none of dash and dot", name, kind)
	}
	return nil
}

// article puts "a" or "an" before a word.
func article(word string) string {
	if word != "" && strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}
