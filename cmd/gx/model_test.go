//go:build linux

package main_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestModel runs every program in testdata/model, several at once, on one host.
// Each is an app whose local entrypoint asserts all that it is about and prints
// "ok" at last. Its first comment may say how it is run:
//
//	# both         also with modal in the place of gx
//	# exit: 1      it has to end with this exit code (0)
//	# limit: 240   seconds after which it hangs (180), however slow the machine is
//	# alone        after the others, and with no other beside it
func TestModel(t *testing.T) {
	l := newLab(t)
	programs, err := filepath.Glob("testdata/model/*.py")
	if err != nil || len(programs) == 0 {
		t.Fatalf("there are no programs to run: %v", err)
	}
	var alone []program
	t.Run("shared", func(t *testing.T) {
		for _, path := range programs {
			p := readProgram(t, path)
			if p.alone {
				alone = append(alone, p)
				continue
			}
			p.each(t, func(t *testing.T, p program) {
				t.Parallel()
				l.runProgram(t, p)
			})
		}
	})
	t.Run("alone", func(t *testing.T) {
		for _, p := range alone {
			p.each(t, l.runProgram)
		}
	})
}

// program is a file of testdata/model.
type program struct {
	name, text  string
	exit        int
	limit       time.Duration
	both, alone bool
}

var sdkName = regexp.MustCompile(`\b(import|from) gx\b|\bgx\.`)

func readProgram(t *testing.T, path string) program {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := program{name: strings.TrimSuffix(filepath.Base(path), ".py"), text: string(text), limit: 3 * time.Minute}
	for line := range strings.Lines(p.text) {
		said, comment := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !comment {
			break
		}
		key, value, _ := strings.Cut(strings.TrimSpace(said), ":")
		n, _ := strconv.Atoi(strings.TrimSpace(value))
		switch key {
		case "both":
			p.both = true
		case "alone":
			p.alone = true
		case "exit":
			p.exit = n
		case "limit":
			p.limit = time.Duration(n) * time.Second
		}
	}
	return p
}

// each runs a test of the program as it is, and where it says so of the same
// program that imports modal.
func (p program) each(t *testing.T, f func(*testing.T, program)) {
	t.Run(p.name, func(t *testing.T) { f(t, p) })
	if !p.both {
		return
	}
	p.text = sdkName.ReplaceAllStringFunc(p.text, func(s string) string { return strings.Replace(s, "gx", "modal", 1) })
	t.Run(p.name+"/modal", func(t *testing.T) { f(t, p) })
}

// runProgram runs a program by gx run, in a folder of its own.
func (l *lab) runProgram(t *testing.T, p program) {
	t.Helper()
	dir := t.TempDir()
	file := p.name + ".py"
	if err := os.WriteFile(filepath.Join(dir, file), []byte(p.text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), p.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.gx, "run", file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), l.env()...)
	cmd.Env = append(cmd.Env, "HOME="+dir, "PATH="+filepath.Dir(l.gx)+string(os.PathListSeparator)+os.Getenv("PATH"))
	// The user's Python is in the same group, and says by SIGABRT where it is.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(cmd.Env, "PYTHONFAULTHANDLER=1")
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGABRT) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	lines := strings.Split(strings.TrimRight(stdout.String(), "\n"), "\n")
	var exited *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil && !errors.As(err, &exited):
	case cmd.ProcessState.ExitCode() != p.exit:
		err = errors.New(cmd.ProcessState.String() + ", not exit status " + strconv.Itoa(p.exit))
	case p.exit == 0 && lines[len(lines)-1] != "ok":
		err = errors.New(`the last line of its output is not "ok"`)
	default:
		err = nil
	}
	if err != nil {
		t.Errorf("after %v: %v\n-- stdout --\n%s-- stderr --\n%s", time.Since(began).Round(time.Millisecond), err, &stdout, &stderr)
	}
}
