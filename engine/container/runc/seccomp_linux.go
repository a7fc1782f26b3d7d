package runc

import (
	"runtime"
	"sync"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// seccompProfile is containerd's default profile for a process without
// capabilities, for the machine's own system call interface alone: calls
// through another one (32-bit programs on a 64-bit machine) are refused
// altogether. That is stricter than the default, and takes the OCI runtime a
// fraction of the time to compile.
var seccompProfile = sync.OnceValue(func() *specs.LinuxSeccomp {
	profile := seccomp.DefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	native := map[string]specs.Arch{
		"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64, "riscv64": specs.ArchRISCV64,
		"s390x": specs.ArchS390X, "loong64": specs.ArchLOONGARCH64,
	}
	if arch, ok := native[runtime.GOARCH]; ok {
		profile.Architectures = []specs.Arch{arch}
	}
	return profile
})
