package runc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/cgroup"
	"github.com/gx-dev/gx/engine/container/network"
)

// berth is a container that has all but a purpose: control groups, network
// namespace, mounts, and a process that was forked from the template and waits
// there for an order. A template keeps one ready, for its next container will
// most likely be as its last.
type berth struct {
	*running
	spec    container.Spec // what it was made for
	address string
	resolv  []byte
	tree    *os.File      // of the mounts
	channel *net.UnixConn // to the process
}

// fits says whether a berth that was made for one container serves another.
func (b *berth) fits(spec container.Spec) bool {
	a := b.spec
	return a.CPU == spec.CPU && a.Memory == spec.Memory && a.Pids == spec.Pids && a.Disk == spec.Disk &&
		a.Network == spec.Network && a.Dir == spec.Dir && reflect.DeepEqual(a.Root, spec.Root) && reflect.DeepEqual(a.Mounts, spec.Mounts)
}

// berth returns the one that is ready if it fits, else a new one.
func (t *template) berth(ctx context.Context, spec container.Spec) (*berth, error) {
	select {
	case b := <-t.spare:
		if b.fits(spec) && len(b.status) == 0 {
			return b, nil
		}
		t.scrap(b)
	default:
	}
	return t.build(ctx, spec)
}

// refill makes a berth ahead, in the background, unless one is ready or about
// to be.
func (t *template) refill(spec container.Spec) {
	if slices.ContainsFunc(spec.Mounts, func(m container.Mount) bool { return m.Overlay != nil }) {
		return // the next container has one of its own
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing || t.building || len(t.spare) > 0 {
		return
	}
	t.building = true
	t.forks.Go(func() {
		select { // the container that has just begun comes first
		case <-time.After(refillDelay):
		case <-t.gone:
		}
		b, err := t.build(context.Background(), spec)
		t.mu.Lock()
		t.building = false
		closing := t.closing
		keep := err == nil && !closing
		if keep {
			t.spare <- b // has room: nobody else builds one
		}
		t.mu.Unlock()
		switch {
		case err != nil && closing: // no wonder
		case err != nil:
			t.runtime.cfg.Log.Warn("nothing could be made ahead for the next container", "container", t.id, "error", err)
		case !keep:
			t.scrap(b)
		}
	})
}

// scrap removes a berth that no container will have.
func (t *template) scrap(b *berth) {
	b.release()
	if err := b.clear(context.Background()); err != nil {
		t.runtime.cfg.Log.Error("what was made ahead for a container is not wholly removed", "container", t.id, "error", err)
	}
}

// refillDelay is how long a template waits after a fork before it prepares the
// next one.
const refillDelay = 30 * time.Millisecond

// build makes a berth.
func (t *template) build(ctx context.Context, spec container.Spec) (_ *berth, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit) // its program may be stuck
	defer cancel()
	named := spec
	t.mu.Lock()
	t.berths++
	named.ID = t.id + "." + strconv.Itoa(t.berths) // no container's name has a point
	t.mu.Unlock()
	c := t.runtime.newRunning(t.cell, named)
	c.orphaned, c.orphan = t.gone, errTemplateGone
	b := &berth{running: c, spec: spec}
	defer func() {
		if err != nil {
			b.release()
			err = errors.Join(err, c.clear(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.Mkdir(c.bundle, 0o700); err != nil {
		return nil, fmt.Errorf("make a container's directory: %w", err)
	}
	grouped := make(chan error, 1)
	go func() { grouped <- c.group.Create(limits(spec)) }()
	namespace, sys, err := t.plug(ctx, b)
	if sys >= 0 {
		defer unix.Close(sys)
	}
	if namespace != nil && b.endpoint == nil { // else it is the endpoint's
		defer namespace.Close()
	}
	if err := errors.Join(err, <-grouped); err != nil {
		return nil, err
	}
	err = t.cell.do(func() error {
		if err := c.layers.mount(spec.Root.Lower, func(string) error { return nil }); err != nil {
			return err
		}
		planted, err := c.overlays(spec)
		if err != nil {
			return err
		}
		whole, err := plant(c, planted, sys)
		if err != nil {
			return err
		}
		b.tree = os.NewFile(uintptr(whole), "tree")
		// The copy is what counts from here on. A tmpfs below the layers stays.
		return unmount(c.layers.target)
	})
	if err := errors.Join(err, c.hideOverlays()); err != nil {
		return nil, err
	}
	entrances, err := c.group.Entrances()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, f := range entrances {
			f.Close()
		}
	}()
	return b, t.man(ctx, b, namespace, entrances)
}

// man forks the process, and waits until it is in place.
func (t *template) man(ctx context.Context, b *berth, namespace *os.File, entrances []*os.File) error {
	channel, socket, err := socketPair()
	if err != nil {
		return err
	}
	b.channel = channel
	files := []*os.File{socket, b.tree}
	if namespace != nil {
		files = append(files, namespace)
	}
	status := make(chan unix.WaitStatus, 1)
	b.status = status
	a, err := t.ask(ctx, request{Fork: &forkRequest{Namespace: namespace != nil}}, status, append(files, entrances...)...)
	socket.Close()
	if err != nil {
		return err
	}
	if b.init, err = unix.FcntlInt(a.file.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		b.init = -1
	}
	a.file.Close()
	stop := b.bound(ctx)
	defer stop()
	text := make([]byte, 64<<10)
	n, err := channel.Read(text)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the new process ended before it was in place: %w", err)
	}
	var said struct {
		Placed bool   `json:"placed"`
		Error  string `json:"error"`
	}
	if err := json.Unmarshal(text[:n], &said); err != nil || !said.Placed {
		return fmt.Errorf("the new process is not in place: %s", cmp.Or(said.Error, "it does not say why"))
	}
	return nil
}

// bound limits what is said to the process and heard from it.
func (b *berth) bound(ctx context.Context) (stop func() bool) {
	_ = b.channel.SetDeadline(time.Now().Add(startLimit))
	return context.AfterFunc(ctx, func() { _ = b.channel.SetDeadline(time.Unix(1, 0)) })
}

// plug makes the network namespace, nil for the host's, and a sysfs that shows
// it, or -1. A namespace that is not the berth's endpoint's is the caller's.
func (t *template) plug(ctx context.Context, b *berth) (namespace *os.File, sys int, err error) {
	if b.spec.Network == container.NetworkHost {
		b.resolv, _ = os.ReadFile("/etc/resolv.conf")
		return nil, -1, nil
	}
	if namespace, err = t.namespace(ctx); err != nil {
		return nil, -1, err
	}
	inside := network.Loopback
	if b.spec.Network == container.NetworkOutbound {
		net, err := t.runtime.outbound(ctx)
		if err != nil {
			return namespace, -1, err
		}
		if b.endpoint, err = net.AttachTo(ctx, namespace); err != nil {
			return namespace, -1, err
		}
		b.resolv, b.address = net.ResolvConf(), b.endpoint.Address().String()
		inside = func() error { return nil }
	}
	sys, err = sysfs(namespace, inside)
	return namespace, sys, err
}

// name gives the berth's files of /etc the container's name.
func (b *berth) name(spec container.Spec) error {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_DIRECTORY, Resolve: unix.RESOLVE_IN_ROOT}
	root := int(b.tree.Fd())
	etc, err := unix.Openat2(root, "etc", &how)
	if errors.Is(err, unix.ENOENT) {
		if err = unix.Mkdirat(root, "etc", 0o755); err == nil {
			etc, err = unix.Openat2(root, "etc", &how)
		}
	}
	if err != nil {
		return fmt.Errorf("open a container's /etc: %w", err)
	}
	defer unix.Close(etc)
	for name, text := range etcFiles(hostnameOf(spec), b.address, b.resolv) {
		// The image's own may be a link to somewhere.
		if err := unix.Unlinkat(etc, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("replace a container's /etc/%s: %w", name, err)
		}
		fd, err := unix.Openat(etc, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
		if err != nil {
			return fmt.Errorf("make a container's /etc/%s: %w", name, err)
		}
		file := os.NewFile(uintptr(fd), name)
		_, err = file.WriteString(text)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write a container's /etc/%s: %w", name, err)
		}
	}
	return nil
}

// release closes what is of use until the process has its order, or ends it.
func (b *berth) release() {
	if b.tree != nil {
		b.tree.Close()
	}
	if b.channel != nil {
		b.channel.Close()
	}
}

func limits(spec container.Spec) cgroup.Limits {
	l := cgroup.Limits{CPU: spec.CPU, Memory: spec.Memory, Pids: spec.Pids}
	if l.Pids == 0 {
		l.Pids = defaultPids
	}
	return l
}
