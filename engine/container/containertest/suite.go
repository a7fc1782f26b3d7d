// Package containertest is the conformance suite of container.Runtime: what
// every implementation is held to. It uses the real thing only, so an
// implementation's test skips it, with the reason, where the machine can't.
package containertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

// Suite is one implementation under test.
type Suite struct {
	// New makes a runtime for one test, which closes it.
	New func(t *testing.T) container.Runtime
	// Base is a container that has sh and python3 on Env's PATH and no limits.
	// Its Root is shared by all containers of a test.
	Base func(t *testing.T) container.Spec
	// Left lists, one by one, what on this machine belongs to the runtime:
	// processes, mounts, control groups, interfaces, files. nil = nothing.
	Left func(t *testing.T, r container.Runtime) []string
	// Lacks names what the runtime cannot do and says so in Isolation.
	Lacks []Capability
}

// Capability is something that not every runtime can do.
type Capability string

// The capabilities that a runtime may lack.
const (
	Root       Capability = "own root file system"
	Mounts     Capability = "mounts"
	Namespaces Capability = "own processes and host name"
	Overlays   Capability = "overlays"
	Networks   Capability = "own network"
	Memory     Capability = "memory limit"
	CPU        Capability = "cpu limit"
	Pids       Capability = "process limit"
	Disk       Capability = "disk limit"
	Privileges Capability = "no privileges"
)

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	tests := []struct {
		name  string
		needs []Capability
		run   func(*testing.T, *fixture)
	}{
		{"Streams", nil, testStreams},
		{"ExitCodes", nil, testExitCodes},
		{"MissingProgram", nil, testMissingProgram},
		{"BadSpecs", nil, testBadSpecs},
		{"Signal", nil, testSignal},
		{"SignalsAfterEnd", nil, testSignalsAfterEnd},
		{"KillTree", nil, testKillTree},
		{"OrphansEndWithFirstProcess", nil, testOrphans},
		{"Environment", nil, testEnvironment},
		{"Directory", nil, testDirectory},
		{"MountsReadOnlyAndWritable", []Capability{Mounts}, testMounts},
		{"Overlays", []Capability{Overlays}, testOverlays},
		{"Remount", []Capability{Overlays}, testRemount},
		{"MappedPaths", nil, testMappedPaths},
		{"UnixSocket", nil, testUnixSocket},
		{"OutOfMemory", []Capability{Memory}, testOutOfMemory},
		{"ChildOutOfMemory", []Capability{Memory}, testChildOutOfMemory},
		{"PidLimit", []Capability{Pids}, testPidLimit},
		{"CPULimit", []Capability{CPU}, testCPULimit},
		{"DiskLimit", []Capability{Disk}, testDiskLimit},
		{"Stats", nil, testStats},
		{"SameID", nil, testSameID},
		{"Concurrent", nil, testConcurrent},
		{"CancelledStart", nil, testCancelledStart},
		{"CloseEndsAll", nil, testCloseEndsAll},
		{"WritableLayer", []Capability{Root}, testWritableLayer},
		{"ManyLayers", []Capability{Root}, testManyLayers},
		{"Namespaces", []Capability{Namespaces}, testNamespaces},
		{"NoPrivileges", []Capability{Privileges}, testNoPrivileges},
		{"NetworkNone", []Capability{Networks}, testNetworkNone},
		{"NetworkOutbound", []Capability{Networks}, testNetworkOutbound},
		{"NetworkHost", nil, testNetworkHost},
		{"Exec", nil, testExec},
		{"ExecEndsWithContainer", nil, testExecEndsWithContainer},
		{"ExecKill", nil, testExecKill},
		{"ExecTerminal", nil, testExecTerminal},
		{"ExecMany", nil, testExecMany},
		{"ExecConfined", []Capability{Privileges}, testExecConfined},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, c := range test.needs {
				if slices.Contains(s.Lacks, c) {
					t.Skipf("this runtime has no %s", c)
				}
			}
			f := &fixture{suite: s, runtime: s.New(t), base: s.Base(t)}
			defer func() {
				if err := f.runtime.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
				if left := s.Left(t, f.runtime); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}()
			test.run(t, f)
		})
	}
	t.Run("Isolation", func(t *testing.T) {
		r := s.New(t)
		defer r.Close()
		if said := len(r.Isolation()) > 0; said != (len(s.Lacks) > 0) {
			t.Errorf("Isolation() = %q, but the runtime lacks %q", r.Isolation(), s.Lacks)
		}
	})
}

// fixture is what one test works with.
type fixture struct {
	suite   Suite
	runtime container.Runtime
	base    container.Spec
	next    int
	mu      sync.Mutex
}

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// spec is a container that runs a command.
func (f *fixture) spec(args ...string) container.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	s := f.base
	s.ID = fmt.Sprintf("c%d", f.next)
	s.Args = args
	s.Env = slices.Clone(s.Env)
	s.Mounts = slices.Clone(s.Mounts)
	return s
}

func (f *fixture) sh(script string) container.Spec { return f.spec("sh", "-c", script) }

func (f *fixture) python(script string) container.Spec { return f.spec("python3", "-S", "-c", script) }

// process is a started container with its output.
type process struct {
	container.Container
	out, err *output
}

// output collects what comes out of one descriptor.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // replaced whenever something came
	done chan struct{}
}

func collect(r *os.File) *output {
	o := &output{more: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		defer r.Close()
		_, _ = io.Copy(o, r)
	}()
	return o
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	close(o.more)
	o.more = make(chan struct{})
	return len(p), nil
}

// await waits until the output contains text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(patience)
	for {
		o.mu.Lock()
		have, more := o.buf.String(), o.more
		o.mu.Unlock()
		if bytes.Contains([]byte(have), []byte(text)) {
			return
		}
		select {
		case <-more:
		case <-o.done:
			o.mu.Lock()
			have = o.buf.String()
			o.mu.Unlock()
			if !bytes.Contains([]byte(have), []byte(text)) {
				t.Fatalf("output ended without %q: %q", text, have)
			}
			return
		case <-limit:
			t.Fatalf("no %q in the output: %q", text, have)
		}
	}
}

// String is all output, once the container has ended.
func (o *output) String() string {
	<-o.done
	return o.buf.String()
}

// start starts a container.
func (f *fixture) start(t *testing.T, ctx context.Context, s container.Spec) (*process, error) {
	t.Helper()
	outr, outw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	errr, errw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdout, s.Stderr = outw, errw
	p := &process{out: collect(outr), err: collect(errr)}
	p.Container, err = f.runtime.Start(ctx, s)
	outw.Close()
	errw.Close()
	if err != nil {
		return nil, err
	}
	return p, nil
}

// run starts a container that must start.
func (f *fixture) run(t *testing.T, s container.Spec) *process {
	t.Helper()
	p, err := f.start(t, context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wait waits for the end.
func (p *process) wait(t *testing.T) container.Exit {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("container %s does not end", p.ID())
	}
	return p.Exit()
}

// finish runs a container to its end and returns what it printed.
func (f *fixture) finish(t *testing.T, s container.Spec) (stdout string, exit container.Exit) {
	t.Helper()
	p := f.run(t, s)
	exit = p.wait(t)
	if text := p.err.String(); text != "" {
		t.Logf("%s: stderr: %s", s.ID, text)
	}
	return p.out.String(), exit
}
