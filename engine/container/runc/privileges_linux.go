package runc

import (
	"encoding/binary"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What a template may do beyond a container, inside the user namespace that it
// has of its own, and what a container that is forked from it gives up before
// it goes on.
//
// The user namespace maps every id to itself, so that an image's files keep
// their owners; hence its root is root to the files of /proc/sys, and must
// never get to see them writable. The seccomp filter sees to that: every mount
// that it lets through is read-only or binds what is there already, no mount
// can be changed, and no further user namespace, where there would be more
// capabilities, can be made.

// templateCapabilities are what unshare, setns, mount and the giving up of
// capabilities take.
var templateCapabilities = []string{"CAP_SYS_ADMIN", "CAP_SETPCAP"}

// capabilityNumbers are the same, in the order in which they can be given up.
var capabilityNumbers = []int{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP}

// privilegedCall is a system call that only a template may make.
type privilegedCall struct {
	name   string
	number uintptr
	arg    uint     // the argument that is restricted
	values []uint64 // its values; nil = any
}

// instanceNamespaces are those that a container unshares for itself when it is
// forked; the pid and the network namespace are the template's work.
const instanceNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

var privilegedCalls = []privilegedCall{
	{"mount", unix.SYS_MOUNT, 3, []uint64{readOnly, unix.MS_BIND}},
	{"unshare", unix.SYS_UNSHARE, 0, []uint64{unix.CLONE_NEWPID, unix.CLONE_NEWNET, instanceNamespaces}},
	{"setns", unix.SYS_SETNS, 0, nil},
	{"umount2", unix.SYS_UMOUNT2, 0, nil},
	{"pivot_root", unix.SYS_PIVOT_ROOT, 0, nil},
	{"move_mount", unix.SYS_MOVE_MOUNT, 0, nil},
	{"sethostname", unix.SYS_SETHOSTNAME, 0, nil},
}

// templateSeccomp is the profile of containers with these calls added.
func templateSeccomp() *specs.LinuxSeccomp {
	profile := *seccompProfile()
	rules := profile.Syscalls[:len(profile.Syscalls):len(profile.Syscalls)]
	for _, c := range privilegedCalls {
		rule := specs.LinuxSyscall{Names: []string{c.name}, Action: specs.ActAllow}
		if c.values == nil {
			rules = append(rules, rule)
		}
		for _, v := range c.values {
			rule.Args = []specs.LinuxSeccompArg{{Index: c.arg, Value: v, Op: specs.OpEqualTo}}
			rules = append(rules, rule)
		}
	}
	profile.Syscalls = rules
	return &profile
}

// instanceSeccomp is the filter that a forked container loads on top of its
// template's, in the kernel's encoding (struct sock_filter, in the machine's
// byte order): it refuses what templateSeccomp has added, which leaves exactly
// the profile of containers. System calls of another architecture are refused
// by the template's filter already, which stays in force.
func instanceSeccomp() []byte {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		result = unix.BPF_RET | unix.BPF_K
	)
	program := []unix.SockFilter{{Code: load, K: 0}} // seccomp_data.nr
	for i, c := range privilegedCalls {
		program = append(program, unix.SockFilter{Code: equal, Jt: uint8(len(privilegedCalls) - i), K: uint32(c.number)})
	}
	program = append(program,
		unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: result, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	var code []byte
	for _, f := range program {
		code = binary.NativeEndian.AppendUint16(code, f.Code)
		code = append(code, f.Jt, f.Jf)
		code = binary.NativeEndian.AppendUint32(code, f.K)
	}
	return code
}

// forTemplate turns a container's configuration into a template's.
func forTemplate(spec *specs.Spec) {
	everyone := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1<<32 - 1}}
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = everyone, everyone
	// The control groups' namespace stays the host's: groups can't be mounted
	// from another one in a user namespace.
	namespaces := []specs.LinuxNamespace{{Type: specs.UserNamespace}}
	for _, n := range spec.Linux.Namespaces {
		if n.Type != specs.CgroupNamespace {
			namespaces = append(namespaces, n)
		}
	}
	spec.Linux.Namespaces = namespaces
	spec.Linux.Seccomp = templateSeccomp()
	spec.Process.Capabilities = &specs.LinuxCapabilities{
		Bounding: templateCapabilities, Effective: templateCapabilities, Permitted: templateCapabilities,
	}
	for i, m := range spec.Mounts {
		if m.Destination == "/proc" {
			spec.Mounts[i].Options = append([]string{"ro"}, m.Options...)
		}
	}
	spec.Linux.ReadonlyPaths = nil // all of /proc is
}

// policy is what a template is told once: how a container gives up what the
// template may do.
type policy struct {
	Capabilities []int       `json:"capabilities"`
	Seccomp      []byte      `json:"seccomp"`
	Masked       []string    `json:"masked"` // below /proc
	Rlimits      [][3]uint64 `json:"rlimits"`
	Namespaces   int         `json:"namespaces"`
	MountFlags   int         `json:"mount_flags"` // of every file system that the container mounts
}

func newPolicy() (policy, error) {
	p := policy{Capabilities: capabilityNumbers, Seccomp: instanceSeccomp(), Namespaces: instanceNamespaces, MountFlags: readOnly}
	for _, path := range maskedPaths {
		if len(path) > 6 && path[:6] == "/proc/" {
			p.Masked = append(p.Masked, path)
		}
	}
	numbers := map[string]uint64{"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_CORE": unix.RLIMIT_CORE}
	for _, l := range rlimits() {
		n, ok := numbers[l.Type]
		if !ok {
			return p, fmt.Errorf("no number is known for %s", l.Type)
		}
		p.Rlimits = append(p.Rlimits, [3]uint64{n, l.Soft, l.Hard})
	}
	return p, nil
}
