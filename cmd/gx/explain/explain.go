// Package explain turns failures into what a user reads: what happened, where
// in their own files, what to do. It prints nothing.
package explain

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// Exception explains what the user's Python said before it ended.
func Exception(e sdk.Exception) ui.Problem {
	p := ui.Problem{What: e.Message, Detail: e.Traceback, File: e.File, Line: e.Line, Source: e.Source, Do: e.Hint}
	if e.Type != "" && e.Kind == "user" {
		p.What = strings.TrimSuffix(e.Type+": "+e.Message, ": ")
		p.Detail = withoutEnd(p.Detail, p.What)
	}
	if p.Source == "" {
		p.Source = sourceLine(p.File, p.Line)
	}
	if p.Do == "" {
		p.Do = missing(e)
	}
	if p.Do == "" {
		p.Do = why(e)
	}
	return p
}

// why points to the container that an error names: it failed for a reason of
// its own, not by an exception of the user's code.
func why(e sdk.Exception) string {
	container := regexp.MustCompile(`\bcontainer (co-[a-z2-7]{16})\b`).FindStringSubmatch(e.Message)
	if e.Kind != "user" || container == nil {
		return ""
	}
	return "gx why " + container[1] + "   tells the container's life"
}

// withoutEnd takes the last lines off a traceback if they say what, with or
// without the name of its module: it is said below anyway.
func withoutEnd(traceback, what string) string {
	traceback = strings.TrimRight(traceback, "\n")
	rest, ok := strings.CutSuffix(traceback, what)
	if !ok {
		return traceback
	}
	line := rest[strings.LastIndexByte(rest, '\n')+1:]
	if strings.ContainsAny(line, " \t") {
		return traceback
	}
	return strings.TrimSuffix(rest, line)
}

// ExceptionCode is the exit code for a Python that could not tell its own.
func ExceptionCode(e sdk.Exception) int {
	switch e.Kind {
	case "user":
		return exit.UserCode
	case "interrupt":
		return exit.Interrupted
	default:
		return exit.Usage
	}
}

// Build explains why an image could not be built. log is what the failing step
// printed, as far as the caller has it.
func Build(label string, err error, log string) ui.Problem {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Step == nil {
		return ui.Problem{What: fmt.Sprintf("the image of %s could not be built: %v", label, err), Detail: log, Do: buildHint(err.Error() + "\n" + log)}
	}
	if len(e.Step.Log) > len(log) {
		log = e.Step.Log
	}
	name := strings.Join(strings.Fields(e.Step.Name), " ")
	cause := ": " + strings.TrimPrefix(e.Message, "failed to solve: ")
	if e.Step.Code != 0 {
		cause = fmt.Sprintf(" ended with exit status %d", e.Step.Code)
	} else if m := regexp.MustCompile(`did not complete successfully: exit code: (\d+)$`).FindStringSubmatch(e.Message); m != nil {
		cause = " ended with exit status " + m[1] // of a step whose command BuildKit's Dockerfile frontend ran
	}
	what := fmt.Sprintf("the image of %s could not be built: %s%s", label, name, cause)
	return ui.Problem{
		What:   what,
		Detail: log,
		File:   e.Step.File,
		Line:   e.Step.Line,
		Source: sourceLine(e.Step.File, e.Step.Line),
		Do:     buildHint(e.Message + "\n" + log),
	}
}

// Host explains trouble with the host.
func Host(err error, logFile string) ui.Problem {
	p := ui.Problem{What: err.Error()}
	text := err.Error()
	switch {
	case strings.Contains(text, "no space left"):
		p.Do = "gx image prune          frees what no running app uses"
	case strings.Contains(text, "permission denied"):
		p.Do = "gx doctor               says what is missing, and the command that mends it"
	default:
		p.Do = "gx doctor               checks what a host needs"
		if logFile != "" {
			p.Do += "\ngx host logs            the host's own log (" + logFile + ")"
		}
	}
	return p
}

func buildHint(text string) string {
	lower := strings.ToLower(text)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(lower, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no space left on device", "disk quota exceeded"):
		return "gx image prune          frees what no running app uses; `gx host status` shows what occupies the disk"
	case has("no matching distribution found", "could not find a version that satisfies"):
		return "check the package's name and version, and that it exists for this Python version;\n" +
			"an older Python: gx.Image.debian_slim(python_version=\"3.11\")"
	case has("unable to locate package", "has no installation candidate"):
		return "check the name of the Debian package: apt and pip often name the same thing differently"
	case has("certificate verify failed", "ssl: certificate"):
		return "gx doctor               checks which certificate authorities reach builds"
	case has("temporary failure in name resolution", "could not resolve", "network is unreachable", "connection timed out"):
		return "gx doctor               checks the network and the proxy settings"
	case has("error: command 'gcc' failed", "unable to execute 'gcc'", "error: command 'cc' failed", "gcc: not found", "command 'g++' failed"):
		return "the package is compiled here: put .apt_install(\"build-essential\") before .pip_install(...)"
	}
	return ""
}

// sourceLine reads one line of a user's file, or nothing.
func sourceLine(file string, line int) string {
	if file == "" || line < 1 {
		return ""
	}
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == line {
			return strings.TrimSpace(lines.Text())
		}
	}
	return ""
}
