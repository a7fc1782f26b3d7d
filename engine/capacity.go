package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/gx-dev/gx/engine/pool"
)

// maxContainers is how many containers a host runs where nobody says.
const maxContainers = 100

// capacityOf fills in what the machine has: its cores, and nine tenths of its
// memory.
func capacityOf(c pool.Capacity) (pool.Capacity, error) {
	if c.CPU <= 0 {
		c.CPU = float64(runtime.NumCPU())
	}
	if c.Containers <= 0 {
		c.Containers = maxContainers
	}
	if c.Memory <= 0 {
		memory, err := machineMemory()
		if err != nil {
			return c, fmt.Errorf("finding out how much memory the machine has (set the capacity to go without): %w", err)
		}
		c.Memory = memory / 10 * 9
	}
	return c, nil
}

// machineMemory is the machine's memory in bytes. Where the kernel does not
// tell, it is taken to be 8 GiB.
func machineMemory() (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if errors.Is(err, os.ErrNotExist) {
		return 8 << 30, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemTotal")
}
