package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ReadyFD is the descriptor on which a host that was started in the
// background says "ready", or why it cannot be. Environment variable
// ReadyEnv is set when there is one.
const (
	ReadyFD  = 3
	ReadyEnv = "GX_READY_FD"
)

// start starts a host in the background and waits until it is ready. Another
// that was quicker is as good.
func start(ctx context.Context, dirs Dirs, o Options) error {
	if err := dirs.Make(); err != nil {
		return err
	}
	log, err := os.OpenFile(dirs.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the host's log: %w", err)
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	said, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer said.Close()

	args := []string{"host", "start", "--foreground"}
	if o.Runtime != "" {
		args = append(args, "--runtime", o.Runtime)
	}
	if o.IdleTimeout > 0 {
		args = append(args, "--idle-timeout", o.IdleTimeout.String())
	}
	command := func(attr *syscall.SysProcAttr) *exec.Cmd {
		// Not CommandContext: the host outlives the command that starts it.
		cmd := exec.Command(o.Exe, args...) //nolint:noctx
		cmd.Dir = "/"
		cmd.Stdout, cmd.Stderr = log, log
		cmd.ExtraFiles = []*os.File{ready}
		cmd.Env = append(environ(os.Environ()), fmt.Sprintf("%s=%d", ReadyEnv, ReadyFD),
			"GX_STATE_DIR="+dirs.State, "GX_RUNTIME_DIR="+dirs.Runtime, "TMPDIR="+dirs.Temp())
		if dirs.Config != "" {
			cmd.Env = append(cmd.Env, "GX_CONFIG_DIR="+filepath.Dir(dirs.Config)) // relative paths mean another place there
		}
		cmd.SysProcAttr = attr
		return cmd
	}
	cmd := command(detached())
	err = cmd.Start()
	if err != nil {
		// Perhaps a root without the right to make namespaces, or a kernel that
		// has made too many: the host will say what that means for containers.
		cmd = command(&syscall.SysProcAttr{Setsid: true})
		err = cmd.Start()
	}
	if err != nil {
		_ = ready.Close()
		return fmt.Errorf("starting the host: %w", err)
	}
	_ = ready.Close()
	go func() { _ = cmd.Wait() }() // reaps it if it ends before this process does

	word, err := firstLine(ctx, said)
	switch {
	case err == nil && (word == "ready" || word == "running"):
		return nil
	case err == nil && word != "":
		return fmt.Errorf("the host did not start: %s", word)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("the host was not ready within %v; its log is %s", startWait, dirs.LogFile)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("the host ended while it started; the end of its log, %s:\n%s", dirs.LogFile, logSince(dirs.LogFile, begin))
}

// firstLine waits for what the host says on its pipe.
func firstLine(ctx context.Context, r *os.File) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })()
	line, err := bufio.NewReader(r).ReadString('\n')
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return strings.TrimSpace(line), err
}

// logSince reads the last lines that were written after an offset.
func logSince(path string, begin int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		begin = max(begin, info.Size()-4096)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, begin, 4096))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}
