package runc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
)

// tree is the mount tree of a container that is forked: what an OCI runtime
// mounts for one that is started, save /proc and /dev/mqueue, which show the
// namespaces of who mounts them and are the container's own to mount. It is
// built on the cell's thread.
type tree struct {
	cell *cell
	root int // of the overlay
}

// deviceFiles are the files in a container's /dev, by minor number of major 1
// and 5.
var deviceFiles = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

var deviceLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
	{"/proc/kcore", "core"}, {"pts/ptmx", "ptmx"},
}

const (
	tmpFlags  = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	readOnly  = tmpFlags | unix.MS_RDONLY
	attrTmp   = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	bindAttrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// plant mounts everything below a container's mounted root and returns the
// whole as a detached tree, which is mounted nowhere and lives as long as the
// descriptor is open or it has been put somewhere. sys is a detached sysfs, or
// -1 for the host's own. It must run on the cell's thread.
func plant(c *running, spec container.Spec, sys int) (_ int, err error) {
	root, err := unix.Open(c.layers.target, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a container's root: %w", err)
	}
	defer unix.Close(root)
	t := &tree{cell: c.cell, root: root}
	if err := errors.Join(t.directory("/proc"), t.devices(spec), t.system(c, sys)); err != nil {
		return -1, err
	}
	for _, m := range spec.Mounts {
		attrs := uint64(bindAttrs)
		if m.ReadOnly {
			attrs |= unix.MOUNT_ATTR_RDONLY
		}
		if err := t.bind(m.Source, m.Target, attrs, 0); err != nil {
			return -1, fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	if err := t.directory(workDir(spec)); err != nil {
		return -1, fmt.Errorf("make the working directory %s: %w", spec.Dir, err)
	}
	// Detached mounts know no path, and the copy has all that is below.
	whole, err := unix.OpenTree(unix.AT_FDCWD, c.layers.target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("copy a container's mounts: %w", err)
	}
	private := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	rootOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV}
	err = errors.Join(unix.MountSetattr(whole, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &private),
		unix.MountSetattr(whole, "", unix.AT_EMPTY_PATH, &rootOnly))
	if err != nil {
		unix.Close(whole)
		return -1, fmt.Errorf("set the attributes of a container's mounts: %w", err)
	}
	return whole, nil
}

func workDir(spec container.Spec) string {
	if spec.Dir == "" {
		return "/"
	}
	return spec.Dir
}

// devices makes /dev.
func (t *tree) devices(spec container.Spec) error {
	dev, err := t.mount("/dev", "tmpfs", unix.MS_NOSUID|unix.MS_STRICTATIME, "mode=755,size=65536k")
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	var failed error
	for _, d := range deviceFiles {
		failed = errors.Join(failed, unix.Mknodat(dev, d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor))),
			unix.Fchmodat(dev, d.name, 0o666, 0))
	}
	for _, l := range deviceLinks {
		failed = errors.Join(failed, unix.Symlinkat(l[0], dev, l[1]))
	}
	for _, name := range []string{"pts", "shm", "mqueue"} {
		failed = errors.Join(failed, unix.Mkdirat(dev, name, 0o755))
	}
	if failed != nil {
		return fmt.Errorf("make a container's devices: %w", failed)
	}
	shm := "mode=1777"
	if spec.Memory > 0 {
		shm += ",size=" + strconv.FormatInt(spec.Memory, 10)
	}
	return errors.Join(
		t.mountOnly("/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
		t.mountOnly("/dev/shm", "tmpfs", tmpFlags, shm))
}

// system makes /sys with what is masked there, and the control groups.
func (t *tree) system(c *running, sys int) error {
	if sys < 0 {
		if err := t.bind("/sys", "/sys", attrTmp|unix.MOUNT_ATTR_RDONLY, unix.AT_RECURSIVE); err != nil {
			return fmt.Errorf("mount the host's /sys: %w", err)
		}
	} else {
		at, err := t.point("/sys", true)
		if err != nil {
			return fmt.Errorf("make /sys: %w", err)
		}
		err = unix.MoveMount(sys, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
		unix.Close(at)
		if err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
	}
	for _, path := range maskedPaths {
		if !strings.HasPrefix(path, "/sys/") {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := t.mountOnly(path, "tmpfs", readOnly, ""); err != nil {
			return err
		}
	}
	views := c.group.Views()
	const groups = "/sys/fs/cgroup"
	if dir, ok := views[""]; ok {
		return t.bind(dir, groups, attrTmp|unix.MOUNT_ATTR_RDONLY, 0)
	}
	if err := t.mountOnly(groups, "tmpfs", tmpFlags, "mode=755"); err != nil {
		return err
	}
	for name, dir := range views {
		if err := t.bind(dir, filepath.Join(groups, name), attrTmp|unix.MOUNT_ATTR_RDONLY, 0); err != nil {
			return fmt.Errorf("show the control group of %s: %w", name, err)
		}
	}
	sealed := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	at, err := t.point(groups, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := unix.MountSetattr(at, "", unix.AT_EMPTY_PATH, &sealed); err != nil {
		return fmt.Errorf("make %s read-only: %w", groups, err)
	}
	return nil
}

// mount mounts a new file system and returns its root.
func (t *tree) mount(path, kind string, flags uintptr, data string) (int, error) {
	at, err := t.point(path, true)
	if err != nil {
		return -1, fmt.Errorf("make %s: %w", path, err)
	}
	defer unix.Close(at)
	// The thread's own /proc is that of the cell, which does not know it.
	if err := unix.Fchdir(t.cell.proc); err != nil {
		return -1, fmt.Errorf("enter the host's /proc: %w", err)
	}
	err = unix.Mount(kind, "self/fd/"+strconv.Itoa(at), kind, flags, data)
	if err := errors.Join(err, unix.Chdir("/")); err != nil {
		return -1, fmt.Errorf("mount %s: %w", path, err)
	}
	return t.point(path, true)
}

func (t *tree) mountOnly(path, kind string, flags uintptr, data string) error {
	root, err := t.mount(path, kind, flags, data)
	if err == nil {
		unix.Close(root)
	}
	return err
}

// bind shows a host's file or directory at a path. recursive is AT_RECURSIVE
// or 0.
func (t *tree) bind(source, path string, attrs uint64, recursive uint) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	at, err := t.point(path, info.IsDir())
	if err != nil {
		return err
	}
	defer unix.Close(at)
	from, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
	if err != nil {
		return fmt.Errorf("open %s: %w", source, err)
	}
	defer unix.Close(from)
	attr := unix.MountAttr{Attr_set: attrs}
	if err := unix.MountSetattr(from, "", unix.AT_EMPTY_PATH|recursive, &attr); err != nil {
		return fmt.Errorf("set the attributes of %s: %w", path, err)
	}
	return unix.MoveMount(from, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func (t *tree) directory(path string) error {
	at, err := t.point(path, true)
	if err == nil {
		unix.Close(at)
	}
	return err
}

// point opens a path in the container, and makes it if it is missing. Links of
// the image lead nowhere but into the container.
func (t *tree) point(path string, directory bool) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	at, err := unix.Openat2(t.root, path, &how)
	if !errors.Is(err, unix.ENOENT) || filepath.Clean(path) == "/" {
		return at, err
	}
	parent, err := t.point(filepath.Dir(path), true)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if directory {
		err = unix.Mkdirat(parent, filepath.Base(path), 0o755)
	} else {
		var file int
		file, err = unix.Openat(parent, filepath.Base(path), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
		if err == nil {
			unix.Close(file)
		}
	}
	if err != nil {
		return -1, err
	}
	return unix.Openat2(t.root, path, &how)
}
