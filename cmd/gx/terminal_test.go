//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const interruptedApp = `
import time

import gx

app = gx.App("terminal-test")


@app.function()
def forever():
    print("container is up")
    time.sleep(3600)


@app.local_entrypoint()
def main():
    forever.remote()
`

// testTerminal presses Ctrl-C as a person does: the terminal sends the signal
// to gx and to Python, and what they print comes back through it.
func testTerminal(t *testing.T, l *lab) {
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, []byte(interruptedApp), 0o600))

	for _, presses := range []int{1, 2} {
		t.Run(fmt.Sprint("presses ", presses), func(t *testing.T) {
			term := openTerminal(t, l.command("run", file))
			term.await(t, "container is up")
			begun := time.Now()
			for range presses {
				term.press(t, "\x03")
			}
			require.Equal(t, 130, term.wait(t))
			require.Less(t, time.Since(begun), 15*time.Second)
			require.NotContains(t, term.text(), "Traceback", "what the user did themselves is no error")
			require.NotContains(t, l.output(t, l.command("container", "list", "--json")), "forever")
		})
	}
}

// testShell uses a shell in a container as a person does.
func testShell(t *testing.T, l *lab) {
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, []byte(interruptedApp), 0o600))
	term := openTerminal(t, l.command("shell", file+"::forever"))
	term.await(t, "# ")
	term.press(t, "stty size; tty\n")
	term.await(t, "30 100")
	term.await(t, "/dev/pts/")
	require.NoError(t, unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 90}))
	require.NoError(t, term.cmd.Process.Signal(syscall.SIGWINCH))
	term.press(t, "until stty size | grep '40 90'; do sleep 0.1; done; echo re''sized\n")
	term.await(t, "resized")
	term.press(t, "sleep 1000 || echo inter''rupted\n")
	time.Sleep(200 * time.Millisecond) // either way it is interrupted: by the shell, or in it
	term.press(t, "\x03")
	term.press(t, "exit 7\n")
	require.Equal(t, 7, term.wait(t))
	require.NotContains(t, l.output(t, l.command("container", "list", "--json")), "forever")
}

// terminal is a command at the end of a pseudo-terminal.
type terminal struct {
	cmd    *exec.Cmd
	master *os.File
	copied sync.WaitGroup

	mu   sync.Mutex
	seen bytes.Buffer
}

func openTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	term := &terminal{cmd: cmd, master: master}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	slave.Close()
	term.copied.Add(1)
	go func() {
		defer term.copied.Done()
		_, _ = io.Copy(term, master)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); master.Close(); term.copied.Wait() })
	return term
}

func (term *terminal) Write(p []byte) (int, error) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.seen.Write(p)
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.seen.String()
}

func (term *terminal) await(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(term.text(), text) }, 2*time.Minute, 20*time.Millisecond,
		"%q did not appear", text)
}

func (term *terminal) press(t *testing.T, keys string) {
	t.Helper()
	_, err := term.master.WriteString(keys)
	require.NoError(t, err)
}

// wait returns the command's exit code, when all that it has printed is here.
func (term *terminal) wait(t *testing.T) int {
	t.Helper()
	_ = term.cmd.Wait()
	copied := make(chan struct{})
	go func() { defer close(copied); term.copied.Wait() }()
	select {
	case <-copied: // nobody has the terminal any more
	case <-time.After(time.Minute):
		t.Error("the terminal is still somebody's")
	}
	if t.Failed() {
		t.Log(term.text())
	}
	return term.cmd.ProcessState.ExitCode()
}
