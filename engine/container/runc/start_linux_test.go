//go:build linux

package runc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
)

// BenchmarkStart measures, interleaved, the time from the order to start to
// the first line of a Python program: without isolation, by plain `runc run`
// of a directory with runc's own default configuration, and by a Runtime. The
// pause before each start is what users' machines have: without it a cost of
// the kernel hides (see cgroup.System.Warm).
func BenchmarkStart(b *testing.B) {
	r := newRuntime(b)
	image := hostImage(b)
	plain := plainBundle(b, image)
	var bare, floor, isolated, unplugged []time.Duration
	for i := 0; b.Loop(); i++ {
		for k, times := range []*[]time.Duration{&bare, &floor, &isolated, &unplugged} {
			time.Sleep(300 * time.Millisecond)
			var took time.Duration
			switch k {
			case 0:
				took = firstByte(b, func(out *os.File) func() {
					cmd := exec.CommandContext(b.Context(), "/usr/bin/python3", "-S", "-c", "print(1)")
					cmd.Stdout = out
					require.NoError(b, cmd.Start())
					return func() { _ = cmd.Wait() }
				})
			case 1:
				took = firstByte(b, func(out *os.File) func() {
					cmd := exec.CommandContext(b.Context(), r.Binary(), "--root", filepath.Join(plain, "state"), "run", "--bundle", plain, fmt.Sprintf("gx-bench-%d", os.Getpid()))
					cmd.Stdout, cmd.Stderr = out, os.Stderr
					require.NoError(b, cmd.Start())
					return func() { _ = cmd.Wait() }
				})
			default:
				took = firstByte(b, func(out *os.File) func() {
					spec := image
					spec.ID = fmt.Sprintf("b%d-%d", i, k)
					spec.Args = []string{"python3", "-S", "-c", "print(1)"}
					spec.Stdout, spec.Stderr = out, os.Stderr
					spec.Memory, spec.CPU = 512<<20, 1
					if k == 3 {
						spec.Network = container.NetworkNone
					}
					c, err := r.Start(context.Background(), spec)
					require.NoError(b, err)
					return func() { <-c.Done() }
				})
			}
			*times = append(*times, took)
		}
	}
	report := func(name string, times []time.Duration) float64 {
		slices.Sort(times)
		m := float64(times[len(times)/2].Microseconds()) / 1000
		b.ReportMetric(m, name+"-ms")
		return m
	}
	report("bare", bare)
	f := report("runc", floor)
	b.ReportMetric(report("gx", isolated)/f, "gx/runc")
	b.ReportMetric(report("gx-none", unplugged)/f, "none/runc")
	b.ReportMetric(0, "ns/op")
}

// firstByte starts something that writes, and waits for its end.
func firstByte(b *testing.B, start func(out *os.File) (wait func())) time.Duration {
	b.Helper()
	in, out, err := os.Pipe()
	require.NoError(b, err)
	defer in.Close()
	began := time.Now()
	took := make(chan time.Duration, 1)
	go func() {
		var first [1]byte
		_, _ = in.Read(first[:])
		took <- time.Since(began)
	}()
	wait := start(out)
	out.Close()
	wait()
	return <-took
}

// plainBundle is a bundle as `runc spec` makes it, for the same programs.
func plainBundle(b *testing.B, image container.Spec) string {
	b.Helper()
	dir := b.TempDir()
	out, err := exec.CommandContext(b.Context(), "cp", "-a", image.Root.Lower[0], filepath.Join(dir, "rootfs")).CombinedOutput()
	require.NoError(b, err, string(out))
	cmd := exec.CommandContext(b.Context(), "runc", "spec")
	cmd.Dir = dir
	require.NoError(b, cmd.Run())
	edit := exec.CommandContext(b.Context(), "python3", "-c", `import json, sys
c = json.load(open("config.json"))
c["process"].update(terminal=False, args=["python3", "-S", "-c", "print(1)"])
c["root"]["readonly"] = False
c["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["bind", "ro"]})
for r in c["process"]["rlimits"]: r.update(soft=1024, hard=1024)
json.dump(c, open("config.json", "w"))`)
	edit.Dir = dir
	out, err = edit.CombinedOutput()
	require.NoError(b, err, string(out))
	return dir
}
