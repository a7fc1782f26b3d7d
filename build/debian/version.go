package debian

import "strings"

// compareVersions orders two package versions as dpkg does: epoch, upstream
// version, revision. It returns a negative number, zero or a positive one.
func compareVersions(a, b string) int {
	epochA, upstreamA, revisionA := splitVersion(a)
	epochB, upstreamB, revisionB := splitVersion(b)
	if c := compareDigits(epochA, epochB); c != 0 {
		return c
	}
	if c := comparePart(upstreamA, upstreamB); c != 0 {
		return c
	}
	return comparePart(revisionA, revisionB)
}

// splitVersion splits epoch:upstream-revision.
func splitVersion(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = e, rest
	}
	upstream = v
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		upstream, revision = v[:i], v[i+1:]
	}
	return epoch, upstream, revision
}

// comparePart compares two upstream versions or two revisions: alternating
// runs of other characters, by weight, and of digits, by value.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for (a != "" && !isDigit(a[0])) || (b != "" && !isDigit(b[0])) {
			if c := weight(a) - weight(b); c != 0 {
				return c
			}
			// Equal weights of a non-digit: both have one to take off.
			a, b = a[1:], b[1:]
		}
		var digitsA, digitsB string
		digitsA, a = cutDigits(a)
		digitsB, b = cutDigits(b)
		if c := compareDigits(digitsA, digitsB); c != 0 {
			return c
		}
	}
	return 0
}

// weight is the order of a string's first character among non-digits: ~ before
// the end, the end before letters, letters before all else.
func weight(s string) int {
	switch {
	case s == "" || isDigit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case s[0]|0x20 >= 'a' && s[0]|0x20 <= 'z':
		return int(s[0])
	default:
		return int(s[0]) + 256
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// compareDigits compares two decimal numbers of any length; "" is 0.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// upstreamVersion is a version without epoch, revision and the build's
// suffixes: 3.11.2 of 3.11.2-1+b1.
func upstreamVersion(v string) string {
	_, upstream, _ := splitVersion(v)
	if i := strings.IndexAny(upstream, "~+"); i >= 0 {
		upstream = upstream[:i]
	}
	return upstream
}

// minorVersion is the first two numbers of an upstream version: 3.11.
func minorVersion(v string) string {
	parts := strings.SplitN(upstreamVersion(v), ".", 3)
	if len(parts) < 2 {
		return v
	}
	return parts[0] + "." + parts[1]
}
