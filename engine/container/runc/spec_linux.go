package runc

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gx-dev/gx/engine/container"
)

// defaultPids is the limit of processes and threads where a Spec has none.
const defaultPids = 4096

// oomScore makes the kernel prefer a container's process to the host's own
// when the whole machine is out of memory.
const oomScore = 500

// maskedPaths are empty in containers: what they tell or do is the machine's.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
}

// place is where a container's parts are on the host.
type place struct {
	rootfs    string
	namespace string // network namespace; "" = the OCI runtime makes one
	cgroup    string
	template  bool // others will be forked from it
}

// ociSpec turns a Spec into the OCI runtime's configuration.
func (r *Runtime) ociSpec(s container.Spec, at place) (*specs.Spec, error) {
	dir := s.Dir
	if dir == "" {
		dir = "/"
	}
	oom := oomScore
	spec := &specs.Spec{
		Version:  "1.0.2", // the newest that every runc from 1.0 on accepts
		Root:     &specs.Root{Path: at.rootfs},
		Hostname: hostnameOf(s),
		Process: &specs.Process{
			Args:            s.Args,
			Env:             s.Environment(),
			Cwd:             dir,
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			Rlimits:         rlimits(),
			OOMScoreAdj:     &oom,
		},
		Mounts: mounts(s),
		Linux: &specs.Linux{
			CgroupsPath: at.cgroup,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
			},
			Resources:     r.resources(s),
			Seccomp:       seccompProfile(),
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if s.Network != container.NetworkHost {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces,
			specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: at.namespace})
	}
	if s.Edits != nil {
		if err := (&cdi.ContainerEdits{ContainerEdits: s.Edits}).Apply(spec); err != nil {
			return nil, fmt.Errorf("give the container its devices: %w", err)
		}
	}
	if at.template {
		forTemplate(spec)
	}
	return spec, nil
}

// rlimits are the usual ones, no higher than this process's own: raising a
// hard limit takes a capability that root in a container may lack.
func rlimits() []specs.POSIXRlimit {
	var files unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &files)
	hard := min(1<<20, files.Max)
	return []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: min(1<<16, hard), Hard: hard},
		{Type: "RLIMIT_CORE"},
	}
}

// resources are the control group's limits.
func (r *Runtime) resources(s container.Spec) *specs.LinuxResources {
	pids := s.Pids
	if pids == 0 {
		pids = defaultPids
	}
	res := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Pids:    &specs.LinuxPids{Limit: &pids},
	}
	if s.Memory > 0 {
		memory := s.Memory
		res.Memory = &specs.LinuxMemory{Limit: &memory}
		if r.cgroups.CanLimitSwap() {
			res.Memory.Swap = &memory // memory plus swap: none of the latter
		}
	}
	if s.CPU > 0 {
		const period = uint64(100_000) // microseconds
		p := period
		quota := max(int64(s.CPU*float64(period)), 1000) // the kernel's least
		shares := max(uint64(s.CPU*1024), 2)
		res.CPU = &specs.LinuxCPU{Period: &p, Quota: &quota, Shares: &shares}
	}
	return res
}

// mounts are the file systems that every container has, then the Spec's.
func mounts(s container.Spec) []specs.Mount {
	shm := []string{"nosuid", "noexec", "nodev", "mode=1777"}
	if s.Memory > 0 {
		shm = append(shm, fmt.Sprintf("size=%d", s.Memory)) // it counts as the container's memory
	}
	all := make([]specs.Mount, 0, 8+len(s.Mounts))
	all = append(all, []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: shm},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}...)
	if s.Network == container.NetworkHost {
		// A new sysfs can't be mounted in a namespace that shares the network.
		all[5] = specs.Mount{Destination: "/sys", Type: "none", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}}
	}
	for _, m := range s.Mounts {
		options := []string{"bind", "rprivate", "nosuid", "nodev"}
		if m.ReadOnly {
			options = append(options, "ro")
		}
		all = append(all, specs.Mount{Destination: filepath.Clean(m.Target), Type: "bind", Source: m.Source, Options: options})
	}
	return all
}

// etcFiles are the files that tell a container who and where it is.
func etcFiles(hostname string, address string, resolv []byte) map[string]string {
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if address == "" {
		address = "127.0.1.1"
	}
	hosts += address + "\t" + strings.TrimSpace(hostname) + "\n"
	return map[string]string{"hosts": hosts, "hostname": hostname + "\n", "resolv.conf": string(resolv)}
}
