// Package exit is the one place that says which exit codes gx has and what
// they mean.
package exit

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes of every command.
const (
	OK          = 0   // success
	UserCode    = 1   // the user's own code failed, or a command could not do what was asked
	Usage       = 2   // the command, its flags or the file were not usable as given
	Build       = 3   // an image could not be built
	Host        = 4   // the host could not be started, reached, or was lost
	Interrupted = 130 // Ctrl-C or SIGTERM
)

// Doc explains the codes; it is what `gx help exit-codes` prints.
func Doc() string {
	var b strings.Builder
	for _, line := range []struct {
		code int
		text string
	}{
		{OK, "success"},
		{UserCode, "your code failed: it raised an exception, or ended with this code itself;\n     for other commands: what was asked could not be done"},
		{Usage, "usage: a wrong flag or argument, a file that can't be imported or holds no app"},
		{Build, "an image could not be built; the failing step, its file and line are shown"},
		{Host, "trouble with the host: it could not be started or reached, or it was lost"},
		{Interrupted, "interrupted by Ctrl-C or SIGTERM"},
	} {
		fmt.Fprintf(&b, "%4d %s\n", line.code, line.text)
	}
	b.WriteString("\nA Python program that calls sys.exit(N) makes `gx run` end with N.\n")
	return b.String()
}

// Error is an error that decides how the process ends.
type Error struct {
	Code int
	Err  error // nil when everything was said already
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// With gives an error a code. A nil error stays nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Err: err}
}

// Silently ends with a code and prints nothing more.
func Silently(code int) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code}
}

// Code is the code that an error asks for: UserCode where it asks for none.
func Code(err error) int {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return UserCode
}
