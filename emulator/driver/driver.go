// Package driver has the two programs that answer for emulated cards in a
// container as NVIDIA's driver does for real ones: libnvidia-ml.so.1 (NVML) and
// nvidia-smi. They are written in C without a libc, so that they run in any
// image, read the shared page (package page), and are here as binaries: who
// builds gx needs no C compiler. "make driver" builds them again, and a test
// holds them to their sources.
package driver

import (
	"embed"
	"path"
)

//go:embed prebuilt
var prebuilt embed.FS

// Driver is what is built for one architecture.
type Driver struct {
	Library []byte // libnvidia-ml.so.1
	SMI     []byte // nvidia-smi
}

// For returns the driver for an architecture by Go's name; false = there is
// none.
func For(arch string) (Driver, bool) {
	library, err := prebuilt.ReadFile(path.Join("prebuilt", arch, "libnvidia-ml.so.1"))
	if err != nil {
		return Driver{}, false
	}
	smi, err := prebuilt.ReadFile(path.Join("prebuilt", arch, "nvidia-smi"))
	return Driver{Library: library, SMI: smi}, err == nil
}
