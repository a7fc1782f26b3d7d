// Package service has the user's service manager keep a host running: systemd,
// by a unit of the user. It knows the unit and who manages it, and nothing of
// what a host does.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Name is the unit's.
const Name = "gx-host.service"

// ErrNone is in the chain of errors about a machine whose services systemd does
// not manage.
var ErrNone = errors.New("systemd does not manage this user's services")

// Unit is what the unit says.
type Unit struct {
	Exe string   // the gx binary
	Env []string // KEY=VALUE, beyond what a service has by itself
}

// Text is the unit file. The host stays while it is idle, comes back when it
// crashes, and ends its apps in order when the machine does.
func (u Unit) Text() string {
	var b strings.Builder
	b.WriteString(`[Unit]
Description=gx host: runs deployed apps
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=` + quote(u.Exe) + ` host start --foreground --stand-by
Restart=on-failure
RestartSec=1
KillMode=mixed
TimeoutStopSec=90
Delegate=yes
Environment=GX_IDLE_TIMEOUT=876000h
`)
	for _, kv := range u.Env {
		fmt.Fprintf(&b, "Environment=%s\n", quote(kv))
	}
	b.WriteString(`
[Install]
WantedBy=default.target
`)
	return b.String()
}

// quote writes a word as unit files have them: systemd.syntax(7),
// systemd.service(5).
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$", "\n", `\n`).Replace(word) + `"`
}

// Path is where the unit file is.
func Path(getenv func(string) string) (string, error) {
	dir := getenv("XDG_CONFIG_HOME")
	if dir == "" {
		if getenv("HOME") == "" {
			return "", errors.New("nowhere to put a unit: neither HOME nor XDG_CONFIG_HOME is set")
		}
		dir = filepath.Join(getenv("HOME"), ".config")
	}
	return filepath.Join(dir, "systemd", "user", Name), nil
}

// Available returns an error with ErrNone in its chain if systemd does not
// manage the user's services.
func Available(ctx context.Context) error {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return fmt.Errorf("%w: there is no systemctl", ErrNone)
	}
	if out, err := systemctl(ctx, "show", "--property=Version"); err != nil {
		return fmt.Errorf("%w: %s", ErrNone, firstLine(out, err))
	}
	return nil
}

// Install writes the unit and has it started, now and whenever the user's
// services are.
func Install(ctx context.Context, path string, u Unit) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of units: %w", err)
	}
	if err := os.WriteFile(path+".new", []byte(u.Text()), 0o644); err != nil {
		return fmt.Errorf("writing the unit: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the unit: %w", err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", Name}, {"restart", Name}} {
		if out, err := systemctl(ctx, args...); err != nil {
			return fmt.Errorf("systemctl --user %s: %s", strings.Join(args, " "), firstLine(out, err))
		}
	}
	return nil
}

// Uninstall ends the service and removes the unit. It reports whether there was
// one.
func Uninstall(ctx context.Context, path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if Available(ctx) == nil {
		if out, err := systemctl(ctx, "disable", "--now", Name); err != nil {
			return true, fmt.Errorf("systemctl --user disable --now %s: %s", Name, firstLine(out, err))
		}
	}
	if err := os.Remove(path); err != nil {
		return true, fmt.Errorf("removing the unit: %w", err)
	}
	if Available(ctx) == nil {
		if out, err := systemctl(ctx, "daemon-reload"); err != nil {
			return true, fmt.Errorf("systemctl --user daemon-reload: %s", firstLine(out, err))
		}
	}
	return true, nil
}

// Lingers reports whether the user's services run while nobody is logged in.
func Lingers(ctx context.Context, user string) bool {
	out, err := exec.CommandContext(ctx, "loginctl", "show-user", user, "--property=Linger", "--value").Output()
	return err == nil && strings.TrimSpace(string(out)) == "yes"
}

func systemctl(ctx context.Context, args ...string) ([]byte, error) {
	return exec.CommandContext(ctx, "systemctl", append([]string{"--user"}, args...)...).CombinedOutput()
}

func firstLine(out []byte, err error) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	if len(line) == 0 {
		return err.Error()
	}
	return string(line)
}
