package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// A label is one part of a host name.
const maxLabel = 63

var labelRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckLabel says what is wrong with a label that a user chose.
func CheckLabel(label string) error {
	if !labelRule.MatchString(label) {
		return fmt.Errorf("label=%.100q cannot be a part of a URL's host name: it has 1 to %d small letters, digits and dashes, and no dash at either end", label, maxLabel)
	}
	return nil
}

// DefaultLabel is the label of an endpoint whose user chose none: the names of
// the app, the function and, of a class, the method, and -dev if the app ends
// with its session.
func DefaultLabel(appName, function, method string, dev bool) string {
	parts := make([]string, 0, 4)
	for _, part := range []string{appName, function, method} {
		if part = slug(part); part != "" {
			parts = append(parts, part)
		}
	}
	if dev {
		parts = append(parts, "dev")
	}
	label := strings.Join(parts, "-")
	if len(label) <= maxLabel {
		return label
	}
	// The whole name decides, so that names which begin alike stay apart.
	sum := sha256.Sum256([]byte(label))
	tail := "-" + hex.EncodeToString(sum[:])[:6]
	if dev {
		tail += "-dev"
	}
	return strings.TrimRight(label[:maxLabel-len(tail)], "-") + tail
}

// slug makes a name a part of a label.
func slug(name string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(name) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			if dash && b.Len() > 0 {
				b.WriteByte('-')
			}
			dash = false
			b.WriteRune(c)
			continue
		}
		dash = true
	}
	return b.String()
}
