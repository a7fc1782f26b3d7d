package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/thread"
)

// Overlays implements container.Overlayer.
func (r *Runtime) Overlays() {}

// overlayOptions are those of every overlay that is a mount of a container:
// directories can be renamed, and nothing ties a layer to the one that it was
// written over. What is written need not survive the machine: a layer that is to
// be kept is made durable by who keeps it.
const overlayOptions = ",redirect_dir=on,index=off,metacopy=off,xino=off"

// overlays mounts the overlays of a container's mounts in the cell, and returns
// the spec in which they are mounts of directories. hideOverlays follows once
// the container has them. It must run on the cell's thread.
func (c *running) overlays(spec container.Spec) (container.Spec, error) {
	spec.Mounts = slices.Clone(spec.Mounts)
	for i, m := range spec.Mounts {
		if m.Overlay == nil {
			continue
		}
		point, err := c.overlay(m)
		if err != nil {
			return spec, fmt.Errorf("mount %s: %w", m.Target, err)
		}
		spec.Mounts[i].Source, spec.Mounts[i].Overlay = point, nil
	}
	return spec, nil
}

// hideOverlays unmounts them in the cell, where nobody needs them any more.
func (c *running) hideOverlays() error {
	if len(c.points) == 0 {
		return nil
	}
	return c.cell.do(func() error {
		var failed error
		for _, point := range c.points {
			// What is mounted on top of an overlay is a folder of it.
			failed = errors.Join(failed, unmount(point), unmount(point))
		}
		c.points = nil
		return failed
	})
}

// overlay mounts one in the container's bundle.
func (c *running) overlay(m container.Mount) (point string, err error) {
	c.overlaid++
	point = filepath.Join(c.bundle, "overlay-"+strconv.Itoa(c.overlaid))
	// As for the root, short links stand for the directories.
	links := point + ".layers"
	for _, dir := range []string{point, links} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", fmt.Errorf("make a container's directory: %w", err)
		}
	}
	o := m.Overlay
	names := make([]string, len(o.Lower))
	for i, dir := range o.Lower {
		names[i] = strconv.FormatInt(int64(i), 36)
		if err := os.Symlink(dir, filepath.Join(links, names[i])); err != nil {
			return "", fmt.Errorf("link a layer: %w", err)
		}
	}
	options := "lowerdir=" + strings.Join(names, ":") + overlayOptions
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if o.Upper == "" {
		flags |= unix.MS_RDONLY
	} else {
		if err := errors.Join(os.Symlink(o.Upper, filepath.Join(links, "upper")), os.Symlink(o.Work, filepath.Join(links, "work"))); err != nil {
			return "", fmt.Errorf("link a layer: %w", err)
		}
		options += ",upperdir=upper,workdir=work,volatile"
	}
	if err := unix.Chdir(links); err != nil {
		return "", fmt.Errorf("enter a container's directory: %w", err)
	}
	err = unix.Mount("overlay", point, "overlay", flags, options)
	if err := errors.Join(err, unix.Chdir("/")); err != nil {
		return "", fmt.Errorf("an overlay of %d layers: %w", len(o.Lower), err)
	}
	c.points = append(c.points, point)
	if o.SubPath == "" {
		return point, nil
	}
	return point, c.narrow(point, o.SubPath)
}

// narrow mounts a folder of an overlay over its root. Links in it lead nowhere
// but into it.
func (c *running) narrow(point, folder string) error {
	root, err := unix.Open(point, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	t := &tree{cell: c.cell, root: root}
	at, err := t.point(filepath.Clean("/"+folder), true)
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("there is no folder %q in it, and it is read-only", folder)
	}
	if err != nil {
		return fmt.Errorf("open the folder %q of it: %w", folder, err)
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%q in it is not a folder", folder)
	}
	part, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("open the folder %q of it: %w", folder, err)
	}
	defer unix.Close(part)
	return unix.MoveMount(part, "", unix.AT_FDCWD, point, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// remountLimit is how long a container may stand still, and be waited for to do
// so.
const remountLimit = 30 * time.Second

// Remount implements container.Remounter.
func (c *running) Remount(ctx context.Context, target string, next func() (container.Mount, error)) (err error) {
	c.remounting.Lock()
	defer c.remounting.Unlock()
	namespace, err := c.mountNamespace()
	if err != nil {
		return err
	}
	defer namespace.Close()
	ctx, cancel := context.WithTimeout(ctx, remountLimit)
	defer cancel()
	thaw, err := c.group.Freeze(ctx)
	if err != nil {
		return fmt.Errorf("stop the container: %w", err)
	}
	defer func() { err = errors.Join(err, thaw()) }()
	old, err := c.detach(namespace, target)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	overlay, err := c.detached(next)
	if err == nil {
		err = put(namespace, overlay, target)
		unix.Close(overlay)
	}
	if err != nil {
		return errors.Join(err, put(namespace, old, target))
	}
	return nil
}

// mountNamespace opens that of the container.
func (c *running) mountNamespace() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.init < 0 {
		return nil, errors.New("the container has ended")
	}
	// A pidfd stands for its process' namespaces.
	fd, err := unix.FcntlInt(uintptr(c.init), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "container"), nil
}

// detach unmounts what is at target if nobody uses it, and returns it, mounted
// nowhere.
func (c *running) detach(namespace *os.File, target string) (old int, err error) {
	old = -1
	err = within(namespace, func() error {
		var err error
		if old, err = unix.OpenTree(unix.AT_FDCWD, target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return fmt.Errorf("open %s in the container: %w", target, err)
		}
		return unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	})
	if err != nil && old >= 0 {
		unix.Close(old)
	}
	if errors.Is(err, unix.EBUSY) {
		return -1, &container.BusyError{Names: c.users(target)}
	}
	if err != nil {
		return -1, fmt.Errorf("unmount %s in the container: %w", target, err)
	}
	return old, nil
}

// detached makes the next overlay, mounted nowhere.
func (c *running) detached(next func() (container.Mount, error)) (fd int, err error) {
	m, err := next()
	if err != nil {
		return -1, err
	}
	defer func() {
		if failed := c.hideOverlays(); err == nil && failed != nil {
			unix.Close(fd)
			err = failed
		}
	}()
	err = c.cell.do(func() error {
		point, err := c.overlay(m)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		if fd, err = unix.OpenTree(unix.AT_FDCWD, point, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return err
		}
		attr := unix.MountAttr{Attr_set: bindAttrs, Propagation: unix.MS_PRIVATE}
		if m.ReadOnly {
			attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
		}
		return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr)
	})
	return fd, err
}

// put puts a mount that is mounted nowhere into the container.
func put(namespace *os.File, mount int, target string) error {
	return within(namespace, func() error {
		if err := unix.MoveMount(mount, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s in the container: %w", target, err)
		}
		return nil
	})
}

// within runs f on a thread of its own, in the mount namespace of a process.
func within(process *os.File, f func() error) error {
	return thread.Do(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("prepare to enter a container: %w", err)
		}
		if err := unix.Setns(int(process.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter a container: %w", err)
		}
		return f()
	})
}

// users names what of a mount is in use, by the processes of the container.
func (c *running) users(target string) []string {
	const most = 20
	var names []string
	note := func(name string) {
		if len(names) < most && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	inside := func(p string) bool { return p == target || strings.HasPrefix(p, target+"/") }
	for _, pid := range c.group.Pids() {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		if dir, err := os.Readlink(filepath.Join(proc, "cwd")); err == nil && inside(dir) {
			note(dir + " (a process' working directory)")
		}
		fds, _ := os.ReadDir(filepath.Join(proc, "fd"))
		for _, fd := range fds {
			if p, err := os.Readlink(filepath.Join(proc, "fd", fd.Name())); err == nil && inside(p) {
				note(strings.TrimSuffix(p, " (deleted)"))
			}
		}
		maps, _ := os.ReadFile(filepath.Join(proc, "maps"))
		for line := range strings.Lines(string(maps)) {
			if at := strings.IndexByte(line, '/'); at >= 0 && inside(strings.TrimSpace(line[at:])) {
				note(strings.TrimSpace(line[at:]) + " (mapped)")
			}
		}
	}
	if len(names) == 0 {
		names = []string{target}
	}
	return names
}
