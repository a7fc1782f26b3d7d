package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/remote/client"
)

// Options say which host is wanted.
type Options struct {
	StateDir, RuntimeDir string        // "" = as package local's Paths says
	Runtime              string        // "runc", "process" or "" = whatever a running host uses, or is best
	IdleTimeout          time.Duration // of a host that is started; 0 = the default
	Version, Build       string        // of the client's binary
	Exe                  string        // the binary to start
	Notice               func(string)  // told what the user should know; may be nil
}

// startWait is how long a host may take to be ready.
const startWait = 60 * time.Second

// Ensure connects to the user's host and starts it if it is not running. A
// host of another build, or with another runtime than wanted, is replaced if
// it is idle; a busy one is used if its version is the same, and is otherwise
// an error that says what to do.
func Ensure(ctx context.Context, o Options) (*client.Client, error) {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	dirs, err := Paths(func(key string) string {
		switch {
		case key == "GX_STATE_DIR" && o.StateDir != "":
			return o.StateDir
		case key == "GX_RUNTIME_DIR" && o.RuntimeDir != "":
			return o.RuntimeDir
		}
		return os.Getenv(key)
	})
	if err != nil {
		return nil, err
	}
	address := "unix://" + dirs.Socket
	for range 3 {
		c, err := client.Dial(ctx, address)
		if err == nil {
			fits, err := o.settle(ctx, c)
			if err != nil || !fits {
				c.Close()
			}
			if err != nil {
				return nil, err
			}
			if fits {
				return c, nil
			}
		} else if !client.Gone(err) {
			return nil, err
		}
		if err := start(ctx, dirs, o); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("hosts of different versions keep replacing each other: two gx binaries are in use at once")
}

// settle decides whether a running host will do; if not, it has ended.
func (o Options) settle(ctx context.Context, c *client.Client) (fits bool, err error) {
	host, err := c.Host(ctx)
	var refused *api.Error
	switch {
	case client.Gone(err):
		return false, nil // it ended while it was asked
	case errors.As(err, &refused) && refused.Code == "not_found":
		host.Version = "an earlier version" // which could not be asked this
	case err != nil:
		return false, err
	case host.Ending:
		return false, c.WaitGone(ctx)
	}
	otherBuild := host.Build != o.Build
	otherRuntime := o.Runtime != "" && o.Runtime != "auto" && host.Runtime != o.Runtime
	if !otherBuild && !otherRuntime {
		return true, nil
	}
	err = c.StopHost(ctx, false)
	switch {
	case err == nil && otherBuild:
		o.Notice(fmt.Sprintf("replaced the idle host of %s by one of %s", describe(host.Version, host.Build, o), o.Version))
		return false, nil
	case err == nil:
		o.Notice(fmt.Sprintf("replaced the idle host, whose runtime was %s", host.Runtime))
		return false, nil
	case errors.As(err, &refused) && refused.Code == "busy" && otherRuntime:
		return false, fmt.Errorf("the running host uses the runtime %s and has apps running; `gx host stop --force` ends them, then run this again", host.Runtime)
	case errors.As(err, &refused) && refused.Code == "busy" && host.Version == o.Version:
		o.Notice("the running host is of another build of this version; it is replaced once it is idle")
		return true, nil
	case errors.As(err, &refused) && refused.Code == "busy":
		return false, fmt.Errorf("the running host is of version %s, this is %s, and it has apps running; wait for them, or end them by `gx host stop --force`", host.Version, o.Version)
	}
	return false, err
}

func describe(version, build string, o Options) string {
	if version == o.Version {
		return "another build (" + build + ")"
	}
	return version
}
