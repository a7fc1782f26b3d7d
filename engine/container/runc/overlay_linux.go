package runc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// layers is a container's root file system: read-only directories under a
// writable one.
type layers struct {
	dir    string // holds the writable layer
	target string // where the result is mounted
	inRAM  bool
	limit  int64 // bytes, if inRAM; 0 = the kernel's default
}

// upper is the writable layer. What is put there before the mount appears in
// the container.
func (l layers) upper() string { return filepath.Join(l.dir, "upper") }

// mount mounts lower, topmost first, at the target, after fill has put files
// into the writable layer. It must run on a thread with its own working
// directory.
func (l layers) mount(lower []string, fill func(upper string) error) (err error) {
	for _, dir := range []string{l.dir, l.target} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("make a container's directory: %w", err)
		}
	}
	if l.inRAM {
		options := "mode=0700"
		if l.limit > 0 {
			options += ",size=" + strconv.FormatInt(l.limit, 10)
		}
		if err := unix.Mount("tmpfs", l.dir, "tmpfs", unix.MS_NODEV, options); err != nil {
			return fmt.Errorf("mount a tmpfs for a container's writable layer: %w", err)
		}
	}
	// The kernel takes a page of options, and commas and colons mean something
	// there. Short links to the layers avoid both whatever their number and
	// names are.
	links := filepath.Join(l.dir, "lower")
	for dir, mode := range map[string]os.FileMode{links: 0o700, filepath.Join(l.dir, "work"): 0o700, l.upper(): 0o755} {
		if err := os.Mkdir(dir, mode); err != nil {
			return fmt.Errorf("make a container's directory: %w", err)
		}
	}
	names := make([]string, len(lower))
	for i, dir := range lower {
		names[i] = strconv.FormatInt(int64(i), 36)
		if err := os.Symlink(dir, filepath.Join(links, names[i])); err != nil {
			return fmt.Errorf("link a layer: %w", err)
		}
	}
	if err := fill(l.upper()); err != nil {
		return err
	}
	if err := unix.Chdir(links); err != nil {
		return fmt.Errorf("enter a container's directory: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Chdir("/")) }()
	options := "lowerdir=" + strings.Join(names, ":") + ",upperdir=../upper,workdir=../work,volatile"
	if err := unix.Mount("overlay", l.target, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount the container's root file system, an overlay of %d layers: %w", len(lower), err)
	}
	return nil
}

// unmount undoes what mount did, however far it came. It must run where mount
// ran. The directories stay.
func (l layers) unmount() error {
	failed := unmount(l.target)
	if l.inRAM {
		failed = errors.Join(failed, unmount(l.dir))
	}
	return failed
}

// unmount detaches a mount; it is no error if there is none.
func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// remove deletes the directories.
func (l layers) remove() error {
	return errors.Join(os.RemoveAll(l.target), os.RemoveAll(l.dir))
}
