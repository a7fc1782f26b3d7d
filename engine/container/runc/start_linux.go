package runc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gx-dev/gx/engine/container"
)

// Start implements container.Runtime. A start whose context ends returns after
// what was begun is undone, some tens of milliseconds later.
func (r *Runtime) Start(ctx context.Context, spec container.Spec) (container.Container, error) {
	if err := spec.Validate(); err != nil {
		return nil, fmt.Errorf("start container %s: %w", spec.ID, err)
	}
	if len(spec.Root.Lower) == 0 {
		return nil, fmt.Errorf("start container %s: it has no file system: this runtime needs an image with layers, not a virtual environment", spec.ID)
	}
	if err := r.reserve(spec.ID); err != nil {
		return nil, fmt.Errorf("start container %s: %w", spec.ID, err)
	}
	c, err := r.start(ctx, r.bestBinary, spec, nil)
	r.settle(spec.ID, c)
	if err != nil {
		return nil, fmt.Errorf("start container %s: %w", spec.ID, err)
	}
	go c.wait(context.WithoutCancel(ctx))
	return c, nil
}

// start starts a container; with a socket, which becomes its descriptor 3, one
// that others will be forked from.
func (r *Runtime) start(ctx context.Context, binary string, spec container.Spec, socket *os.File) (_ *running, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cell, err := r.cell(ctx)
	if err != nil {
		return nil, err
	}
	c := r.newRunning(cell, spec)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.clear(context.WithoutCancel(ctx)))
		}
	}()
	warm := make(chan struct{})
	go func() {
		defer close(warm)
		r.cgroups.Warm()
	}()
	defer func() { <-warm }()

	if err := r.prepare(ctx, c, spec, socket != nil); err != nil {
		return nil, err
	}
	cell.begin()
	defer cell.end()
	if err := r.execute(ctx, binary, c, spec, socket); err != nil {
		return nil, err
	}
	pid, err := readPid(filepath.Join(c.bundle, pidFile))
	if err != nil {
		return nil, err
	}
	c.status = cell.status(pid)
	c.pid = c.findInit(pid)
	if err := c.hideOverlays(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Files of a bundle, the directory from which the OCI runtime starts one
// container.
const (
	configFile    = "config.json"
	logFile       = "log.json"
	pidFile       = "pid"
	namespaceFile = "netns"
)

// prepare makes everything that the OCI runtime is pointed at.
func (r *Runtime) prepare(ctx context.Context, c *running, spec container.Spec, template bool) error {
	if err := os.Mkdir(c.bundle, 0o700); err != nil {
		return fmt.Errorf("make a container's directory: %w", err)
	}
	at := place{rootfs: c.layers.target, cgroup: c.group.Path(), template: template}
	var resolv []byte
	var address string
	switch spec.Network {
	case container.NetworkOutbound:
		net, err := r.outbound(ctx)
		if err != nil {
			return err
		}
		if template { // its network namespace has to be of its user namespace, which is yet to be made
			resolv = net.ResolvConf()
			break
		}
		if c.endpoint, err = net.Attach(ctx); err != nil {
			return err
		}
		at.namespace = c.namespace
		resolv, address = net.ResolvConf(), c.endpoint.Address().String()
		if err := os.WriteFile(c.namespace, nil, 0o600); err != nil {
			return fmt.Errorf("make a container's directory: %w", err)
		}
	case container.NetworkHost:
		resolv, _ = os.ReadFile("/etc/resolv.conf") // without one, names go unresolved as on the host
	}
	err := c.cell.do(func() (err error) {
		if c.endpoint != nil {
			if err := c.cell.bind(c.endpoint.Namespace(), c.namespace); err != nil {
				return err
			}
		}
		if spec, err = c.overlays(spec); err != nil {
			return err
		}
		return c.layers.mount(spec.Root.Lower, func(upper string) error {
			return writeEtc(upper, spec, address, resolv)
		})
	})
	if err != nil {
		return err
	}
	oci, err := r.ociSpec(spec, at)
	if err != nil {
		return err
	}
	config, err := json.Marshal(oci)
	if err != nil {
		return fmt.Errorf("encode a container's configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.bundle, configFile), config, 0o600); err != nil {
		return fmt.Errorf("write a container's configuration: %w", err)
	}
	return nil
}

// writeEtc puts the container's own files of /etc into the writable layer.
func writeEtc(upper string, spec container.Spec, address string, resolv []byte) error {
	etc := filepath.Join(upper, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		return fmt.Errorf("make a container's directory: %w", err)
	}
	for name, text := range etcFiles(hostnameOf(spec), address, resolv) {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write a container's /etc/%s: %w", name, err)
		}
	}
	return nil
}

// execute runs the OCI runtime, which ends when the container's first process
// is being executed.
func (r *Runtime) execute(ctx context.Context, binary string, c *running, spec container.Spec, socket *os.File) error {
	// Cut off in the middle it would leave processes that are in no control
	// group yet, so a cancelled start goes on to where it can be undone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer cancel()
	args := []string{
		"--root", r.stateDir(), "--log", filepath.Join(c.bundle, logFile), "--log-format", "json",
		"run", "--detach", "--bundle", c.bundle, "--pid-file", filepath.Join(c.bundle, pidFile),
	}
	var extra []*os.File
	if socket != nil {
		args, extra = append(args, "--preserve-fds", "1"), []*os.File{socket}
	}
	cmd := exec.CommandContext(ctx, binary, append(args, spec.ID)...)
	cmd.ExtraFiles = extra
	cmd.Dir = c.bundle
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
	// Of a session of its own: a terminal's Ctrl-C is for gx alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.cell.do(cmd.Start); err != nil {
		return fmt.Errorf("run %s: %w", binary, err)
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("%s did not start the container within %v", binary, startLimit)
	}
	// The configuration has the container's secrets in it.
	if rmErr := os.Remove(filepath.Join(c.bundle, configFile)); rmErr != nil {
		return fmt.Errorf("remove a container's configuration: %w", rmErr)
	}
	if err == nil {
		return nil
	}
	text, _ := os.ReadFile(filepath.Join(c.bundle, logFile))
	if cause := lastError(text); cause != "" {
		return fmt.Errorf("%s: %s", filepath.Base(binary), cause)
	}
	return fmt.Errorf("%s: %w", binary, err)
}

// lastError finds the last error in an OCI runtime's log of JSON lines.
func lastError(log []byte) string {
	var last string
	for line := range bytes.Lines(log) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && entry.Level == "error" {
			last = entry.Msg
		}
	}
	return strings.TrimPrefix(last, "runc run failed: ")
}

func readPid(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read a container's pid: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read a container's pid: %w", err)
	}
	return pid, nil
}

func hostnameOf(spec container.Spec) string {
	if spec.Hostname != "" {
		return spec.Hostname
	}
	return spec.ID
}
