package runc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
)

// BenchmarkFork measures, interleaved, the time from the order to the runner's
// Ready, its module being loaded: of a container that is started, and of one
// that is forked from a template. GX_BENCH_MODULES are the modules that the
// user's module imports, e.g. "sys,numpy,torch", one after the other;
// GX_BENCH_SITE is a folder that is mounted at /site, and GX_BENCH_ENV lets
// Python find them there, e.g. "PYTHONPATH=/site". GX_BENCH_NETWORK=none spares
// both sides the network. The pause before each start is what users' machines
// have (see BenchmarkStart).
func BenchmarkFork(b *testing.B) {
	modules := "sys"
	if m := os.Getenv("GX_BENCH_MODULES"); m != "" {
		modules = m
	}
	for _, module := range strings.Split(modules, ",") {
		b.Run(module, func(b *testing.B) { benchmarkFork(b, module) })
	}
}

func benchmarkFork(b *testing.B, module string) {
	s := newStage(b, fmt.Sprintf("import %s\ndef f(): pass\n", module))
	s.useSite()
	s.base.Memory, s.base.CPU, s.base.Network = 4<<30, 4, container.Network(os.Getenv("GX_BENCH_NETWORK"))
	began := time.Now()
	base, out, err := s.template()
	require.NoError(b, err, out)
	b.ReportMetric(ms(time.Since(began)), "template-ms")
	var fresh, forked []time.Duration
	for b.Loop() {
		for _, way := range []struct {
			times *[]time.Duration
			run   func() *instance
		}{
			{&fresh, func() *instance { return s.run(s.r.Start) }},
			{&forked, func() *instance { return s.run(base.Fork) }},
		} {
			time.Sleep(300 * time.Millisecond)
			began := time.Now()
			i := way.run()
			*way.times = append(*way.times, time.Since(began))
			if way.times == &forked {
				stats, err := i.Stats()
				require.NoError(b, err)
				b.ReportMetric(float64(stats.Memory)/1e6, "forked-MB")
			}
			s.end(i)
		}
	}
	// As many at once, none of them prepared for but the first.
	const burst = 16
	var all sync.WaitGroup
	instances := make(chan *instance, burst)
	began = time.Now()
	for range burst {
		all.Go(func() { instances <- s.run(base.Fork) })
	}
	all.Wait()
	b.ReportMetric(ms(time.Since(began))/burst, "burst-ms-each")
	close(instances)
	for i := range instances {
		s.end(i)
	}
	slices.Sort(fresh)
	slices.Sort(forked)
	f, k := fresh[len(fresh)/2], forked[len(forked)/2]
	b.ReportMetric(ms(f), "fresh-ms")
	b.ReportMetric(ms(k), "forked-ms")
	b.ReportMetric(ms(forked[len(forked)*9/10]), "forked-p90-ms")
	b.ReportMetric(float64(f)/float64(k), "fresh/forked")
	b.ReportMetric(0, "ns/op")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
