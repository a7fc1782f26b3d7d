package venv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gx-dev/gx/redact"
)

// logTail is how much of a command's output its error carries, in bytes.
const logTail = 32 << 10

// command runs a command and passes its output on in whole lines, on the
// caller's goroutine, without what the mask hides. It returns the end of that
// output, and the command's error. On cancellation the command's whole process group is killed.
func command(ctx context.Context, environ []string, dir string, mask *redact.Mask, output func(string), args ...string) (tail string, err error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = environ, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	// A process that the command left behind must not hold the build up.
	cmd.WaitDelay = 2 * time.Second
	out := &chunkWriter{chunks: make(chan []byte), closed: make(chan struct{})}
	defer close(out.closed)
	cmd.Stdout, cmd.Stderr = out, out
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	var pending, kept []byte
	for running := true; running; {
		select {
		case chunk := <-out.chunks:
			pending = append(pending, chunk...)
		case err = <-ended: // all that it wrote has been received
			running = false
		}
		if i := bytes.LastIndexByte(pending, '\n'); i >= 0 || len(pending) > 64<<10 {
			if i < 0 { // a line that never ends
				i = mask.Cut(pending) - 1
			}
			lines := mask.Bytes(pending[:i+1])
			output(strings.ToValidUTF8(string(lines), "\uFFFD"))
			kept = keepTail(kept, lines)
			pending = append([]byte(nil), pending[i+1:]...)
		}
	}
	if pending = mask.Bytes(pending); len(pending) > 0 {
		output(strings.ToValidUTF8(string(pending), "\uFFFD") + "\n")
		kept = keepTail(kept, append(pending, '\n'))
	}
	if cmd.Process != nil {
		// What it left running would outlive the build.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the command itself had ended well
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return strings.ToValidUTF8(string(kept), "\uFFFD"), err
}

func keepTail(kept, more []byte) []byte {
	kept = append(kept, more...)
	if over := len(kept) - logTail; over > 0 {
		kept = append([]byte(nil), kept[over:]...)
	}
	return kept
}

// chunkWriter hands copies of what is written to another goroutine, while that
// one listens.
type chunkWriter struct {
	chunks chan []byte
	closed chan struct{}
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	select {
	case w.chunks <- append([]byte(nil), p...):
		return len(p), nil
	case <-w.closed:
		return 0, io.ErrClosedPipe
	}
}
