// Package local finds the user's own host, and starts it when a command needs
// one. It knows where a host keeps its files and how two binaries of different
// versions come to terms, and nothing of what a host does.
package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Dirs are the places of a user's host.
type Dirs struct {
	State   string // what must survive: GX_STATE_DIR, else $XDG_DATA_HOME/gx, else ~/.local/share/gx
	Runtime string // sockets: GX_RUNTIME_DIR, else $XDG_RUNTIME_DIR/gx, else /run/gx for root, else gx-UID in the temporary folder
	Socket  string // Runtime/host.sock
	LogFile string // State/host.log
	Lock    string // State/host.lock
	Config  string // config.toml in GX_CONFIG_DIR, else $XDG_CONFIG_HOME/gx, else ~/.config/gx
}

// socketMax is the longest path that a unix socket's address holds on every
// system gx runs on.
const socketMax = 103

// Paths tells the places for an environment.
func Paths(getenv func(string) string) (Dirs, error) {
	home := getenv("HOME")
	var d Dirs
	switch {
	case getenv("GX_STATE_DIR") != "":
		d.State = getenv("GX_STATE_DIR")
	case getenv("XDG_DATA_HOME") != "":
		d.State = filepath.Join(getenv("XDG_DATA_HOME"), "gx")
	case home != "":
		d.State = filepath.Join(home, ".local", "share", "gx")
	default:
		return Dirs{}, errors.New("nowhere to keep gx's state: neither HOME nor GX_STATE_DIR is set")
	}
	switch {
	case getenv("GX_RUNTIME_DIR") != "":
		d.Runtime = getenv("GX_RUNTIME_DIR")
	case getenv("XDG_RUNTIME_DIR") != "":
		d.Runtime = filepath.Join(getenv("XDG_RUNTIME_DIR"), "gx")
	case os.Getuid() == 0:
		d.Runtime = "/run/gx"
	default:
		d.Runtime = filepath.Join(os.TempDir(), "gx-"+strconv.Itoa(os.Getuid()))
	}
	switch {
	case getenv("GX_CONFIG_DIR") != "":
		d.Config = filepath.Join(getenv("GX_CONFIG_DIR"), "config.toml")
	case getenv("XDG_CONFIG_HOME") != "":
		d.Config = filepath.Join(getenv("XDG_CONFIG_HOME"), "gx", "config.toml")
	case home != "":
		d.Config = filepath.Join(home, ".config", "gx", "config.toml")
	}
	for _, dir := range []*string{&d.State, &d.Runtime, &d.Config} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return Dirs{}, err
		}
		*dir = abs
	}
	d.Socket = filepath.Join(d.Runtime, "host.sock")
	if len(d.Socket) > socketMax {
		return Dirs{}, fmt.Errorf("the socket's path %s has %d bytes, and %d are possible: set GX_RUNTIME_DIR to a shorter folder", d.Socket, len(d.Socket), socketMax)
	}
	d.LogFile = filepath.Join(d.State, "host.log")
	d.Lock = filepath.Join(d.State, "host.lock")
	return d, nil
}

// Make creates the folders for their user alone, and refuses a runtime folder
// that somebody else has put there, or could put something into.
func (d Dirs) Make() error {
	if err := os.MkdirAll(d.State, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	if err := os.MkdirAll(d.Runtime, 0o700); err != nil {
		return fmt.Errorf("making the runtime folder: %w", err)
	}
	if err := os.MkdirAll(d.Temp(), 0o700); err != nil {
		return fmt.Errorf("making the folder for temporary files: %w", err)
	}
	return private(d.Runtime)
}

// Temp is the folder for a host's temporary files, whose content no host needs
// that starts.
func (d Dirs) Temp() string { return filepath.Join(d.State, "tmp") }
