package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container/cgroup"
	"github.com/gx-dev/gx/engine/container/network"
	"github.com/gx-dev/gx/engine/container/thread"
)

func check(ctx context.Context, dir string) []Finding {
	findings := []Finding{kernel(), root(), ociRuntime(ctx)}
	if os.Geteuid() != 0 {
		// What follows can only be tried as root.
		return append(findings, userNamespaces())
	}
	return append(findings, namespaces(), overlay(dir), controlGroups(), networks(), forwarding())
}

// oldestKernel is where all that the runc runtime uses is there: pidfd, and
// overlays that need not be synchronised.
var oldestKernel = [2]int{5, 10}

func kernel() Finding {
	f := Finding{Name: "kernel", Needed: true}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		f.Detail = err.Error()
		return f
	}
	release := unix.ByteSliceToString(uts.Release[:])
	f.OK = atLeast(release, oldestKernel)
	f.Detail = "Linux " + release
	if !f.OK {
		f.Detail += fmt.Sprintf("; containers need %d.%d or newer", oldestKernel[0], oldestKernel[1])
		f.Fix = "upgrade the operating system"
	}
	return f
}

// atLeast compares a kernel release such as "6.1.0-18-amd64". One that can't
// be read counts as new enough.
func atLeast(release string, want [2]int) bool {
	var have [2]int
	for i, part := range strings.SplitN(release, ".", 3) {
		if i == 2 {
			break
		}
		n, err := strconv.Atoi(strings.TrimRightFunc(part, func(r rune) bool { return r < '0' || r > '9' }))
		if err != nil {
			return true
		}
		have[i] = n
	}
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1]
}

func root() Finding {
	f := Finding{Name: "root", Needed: true, OK: os.Geteuid() == 0, Detail: "the host runs as root"}
	if !f.OK {
		f.Detail = "only root can make containers here; as another user, functions run as ordinary processes"
		f.Fix = "run gx with sudo"
	}
	return f
}

func ociRuntime(ctx context.Context) Finding {
	f := Finding{Name: "container runtime", Needed: true}
	for _, name := range []string{"runc", "crun"} {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin") {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
				continue
			}
			out, err := exec.CommandContext(ctx, path, "--version").Output()
			if err != nil {
				f.Detail = fmt.Sprintf("%s is there but does not run: %v", path, err)
				continue
			}
			first, _, _ := strings.Cut(string(out), "\n")
			f.OK, f.Detail = true, first+", "+path
			return f
		}
	}
	if f.Detail == "" {
		f.Detail = "neither runc nor crun is installed"
	}
	f.Fix = install("runc")
	return f
}

// install is the command that installs a package here.
func install(name string) string {
	for _, manager := range [][2]string{
		{"apt-get", "apt-get install -y "}, {"dnf", "dnf install -y "}, {"apk", "apk add "},
		{"pacman", "pacman -S "}, {"zypper", "zypper install "},
	} {
		if _, err := exec.LookPath(manager[0]); err == nil {
			command := manager[1] + name
			if os.Geteuid() != 0 {
				command = "sudo " + command
			}
			return command
		}
	}
	return "install " + name + " with the system's package manager"
}

// inContainer names what this process is confined by, as far as it shows.
func inContainer() string {
	for file, kind := range map[string]string{"/.dockerenv": "a Docker container", "/run/.containerenv": "a Podman container"} {
		if _, err := os.Stat(file); err == nil {
			return kind
		}
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		return "a Kubernetes pod"
	}
	return ""
}

// refused words an error, with the reason where this is a container itself.
func refused(what string, err error) (detail, fix string) {
	detail = what + ": " + err.Error()
	if where := inContainer(); where != "" && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)) {
		return detail + "; gx runs inside " + where + " that may not do this", "start the outer container with --privileged, or run gx on the machine itself"
	}
	return detail, ""
}

func namespaces() Finding {
	f := Finding{Name: "namespaces", Needed: true, OK: true, Detail: "processes can be isolated"}
	err := thread.Do(func() error {
		return unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET)
	})
	if err != nil {
		f.OK = false
		f.Detail, f.Fix = refused("the kernel refuses new namespaces", err)
	}
	return f
}

func overlay(dir string) Finding {
	f := Finding{Name: "overlay file system", Needed: true, OK: true, Detail: "images can be mounted with a writable layer"}
	tmp, err := makeTemp(dir)
	if err != nil {
		f.OK = false
		f.Detail, f.Fix = refused("no directory can be made in "+dir, err)
		return f
	}
	defer os.RemoveAll(tmp)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err = os.Mkdir(filepath.Join(tmp, name), 0o700); err != nil {
			f.OK, f.Detail = false, err.Error()
			return f
		}
	}
	mount := func(data string) error {
		return thread.Do(func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
				return err
			}
			target := filepath.Join(tmp, "merged")
			if err := unix.Mount("overlay", target, "overlay", 0, data); err != nil {
				return err
			}
			return unix.Unmount(target, unix.MNT_DETACH)
		})
	}
	full := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work,volatile", tmp)
	if err := mount(full); err != nil {
		f.OK = false
		f.Detail, f.Fix = refused("an overlay can't be mounted in "+dir, err)
		switch known, _ := os.ReadFile("/proc/filesystems"); {
		case !strings.Contains(string(known), "\toverlay\n"):
			f.Fix = "modprobe overlay"
		case mount(fmt.Sprintf("lowerdir=%[1]s/lower:%[1]s/upper", tmp)) == nil:
			f.OK = true // the runtime keeps writable layers in memory then
			f.Detail = dir + " lies on a file system that can't carry a writable layer, so containers' own files are kept in memory"
			f.Fix = "set GX_STATE_DIR to a directory on ext4, xfs or btrfs"
		}
	}
	return f
}

// makeTemp makes a directory in dir, or in the nearest parent that exists.
func makeTemp(dir string) (string, error) {
	for {
		tmp, err := os.MkdirTemp(dir, ".gx-probe-")
		if !errors.Is(err, os.ErrNotExist) || dir == "/" || dir == "." {
			return tmp, err
		}
		dir = filepath.Dir(dir)
	}
}

func controlGroups() Finding {
	f := Finding{Name: "control groups", Needed: true}
	sys, err := cgroup.Open()
	if err != nil {
		f.Detail, f.Fix = err.Error(), "mount -t cgroup2 none /sys/fs/cgroup"
		return f
	}
	if _, lack := sys.Controllers("cpu", "memory", "pids"); len(lack) > 0 {
		f.Detail = fmt.Sprintf("version %s, without the controllers %s: containers can't be limited", sys.Layout(), strings.Join(lack, ", "))
		f.Fix = "enable them on the kernel's command line (for memory: cgroup_enable=memory)"
		return f
	}
	for _, point := range sys.Mounts() {
		dir, err := os.MkdirTemp(point, "gx-probe-")
		if err != nil {
			f.Detail, f.Fix = refused("no group can be made in "+point, err)
			return f
		}
		if err := os.Remove(dir); err != nil {
			f.Detail = err.Error()
			return f
		}
	}
	f.OK, f.Detail = true, "layout "+sys.Layout()+"; CPU, memory and processes can be limited"
	return f
}

func networks() Finding {
	f := Finding{Name: "container network", Needed: true, OK: true, Detail: "containers get a network of their own, with address translation"}
	if err := network.Check(); err != nil {
		f.OK = false
		f.Detail, f.Fix = refused("no network for containers", err)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			f.Fix = "modprobe -a bridge veth nf_tables nft_masq nft_ct"
		}
	}
	return f
}

func forwarding() Finding {
	const file = "/proc/sys/net/ipv4/ip_forward"
	f := Finding{Name: "IPv4 forwarding", Needed: true, OK: true, Detail: "on"}
	text, err := os.ReadFile(file)
	if err == nil && strings.TrimSpace(string(text)) == "1" {
		return f
	}
	f.Detail = "off; gx switches it on when the first container needs the network"
	if unix.Access(file, unix.W_OK) != nil || readOnly(file) {
		f.OK = false
		f.Detail = "off, and it can't be switched on from here: containers would have no network"
		f.Fix = "sysctl -w net.ipv4.ip_forward=1"
	}
	return f
}

func readOnly(file string) bool {
	var st unix.Statfs_t
	return unix.Statfs(file, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// userNamespaces tells an ordinary user about the future: containers without
// root need them.
func userNamespaces() Finding {
	f := Finding{Name: "user namespaces", OK: true, Detail: "available; containers without root are not supported yet"}
	for file, bad := range map[string]string{
		"/proc/sys/user/max_user_namespaces":                     "0",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
	} {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == bad {
			f.OK, f.Detail = false, fmt.Sprintf("switched off for ordinary users (%s is %s)", file, bad)
		}
	}
	return f
}
