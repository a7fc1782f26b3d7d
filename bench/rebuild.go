//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/remote/client"
)

// rebuild: the last of three steps changed, against buildctl on a plain
// buildkitd that builds the same from a Dockerfile.
func rebuild(ctx context.Context, l *lab) ([]row, error) {
	peer, err := startBuildkitd(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("starting buildkitd: %w", err)
	}
	defer peer.stop()

	host, err := client.Dial(ctx, "unix://"+filepath.Join(l.dir, "run", "host.sock"))
	if err != nil {
		return nil, err
	}
	defer host.Close()

	n := 0
	build := func() (float64, error) {
		n++
		begin := time.Now()
		_, _, err := host.Build(ctx, api.BuildRequest{Python: "3.11", Image: app.Image{Force: -1, Steps: []app.Step{
			{Op: app.OpDebianSlim, Python: "3.11"},
			{Op: app.OpRun, Commands: []string{"echo first > /first"}},
			{Op: app.OpRun, Commands: []string{fmt.Sprintf("echo %d > /last", n)}},
		}}}, nil)
		return float64(time.Since(begin).Microseconds()) / 1000, err
	}
	theirs := func() (float64, error) {
		n++
		dockerfile := fmt.Sprintf("FROM scratch\nADD rootfs.tar /\nRUN echo first > /first\nRUN echo %d > /last\n", n)
		if err := os.WriteFile(filepath.Join(peer.context, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
			return 0, err
		}
		return timed(exec.CommandContext(ctx, peer.buildctl, "--addr", peer.addr, "build", "--frontend", "dockerfile.v0",
			"--local", "context="+peer.context, "--local", "dockerfile="+peer.context, "--progress", "plain"))
	}
	for _, warm := range []func() (float64, error){build, theirs, build, theirs} {
		if _, err := warm(); err != nil {
			return nil, err
		}
	}
	ours, floor, err := pairs(ctx, 15, 300*time.Millisecond, build, theirs)
	if err != nil {
		return nil, err
	}
	ratio := median(ours) / median(floor)
	return []row{{What: "rebuild, last step changed", Ours: ms(median(ours)), Peer: "buildctl: " + ms(median(floor)),
		Ratio: ratio, Aim: "1x", Owe: "1x", Good: below(ratio, 1, 1)}}, nil
}

// buildkitd is a plain one, built from its module, with a base to build on.
type buildkitd struct {
	cmd      *exec.Cmd
	addr     string
	buildctl string
	context  string
}

func startBuildkitd(ctx context.Context, l *lab) (*buildkitd, error) {
	bin, err := filepath.Abs(".cache/bin")
	if err != nil {
		return nil, err
	}
	making := exec.CommandContext(ctx, "go", "build", "-o", bin+"/",
		"github.com/moby/buildkit/cmd/buildkitd", "github.com/moby/buildkit/cmd/buildctl")
	making.Dir = "bench/peers"
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if out, err := making.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building it: %w\n%s", err, out)
	}

	p := &buildkitd{
		addr:     "unix://" + filepath.Join(l.dir, "buildkitd.sock"),
		buildctl: filepath.Join(bin, "buildctl"),
		context:  filepath.Join(l.dir, "context"),
	}
	if err := os.MkdirAll(p.context, 0o755); err != nil {
		return nil, err
	}
	rootfs := filepath.Join(l.dir, "bundle", "rootfs")
	if _, err := os.Stat(rootfs); err != nil {
		if _, err := prepareBundle(ctx, l); err != nil {
			return nil, err
		}
	}
	tar := exec.CommandContext(ctx, "tar", "-cf", filepath.Join(p.context, "rootfs.tar"), "-C", rootfs, ".")
	if out, err := tar.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("packing the base: %w\n%s", err, out)
	}
	p.cmd = exec.CommandContext(ctx, filepath.Join(bin, "buildkitd"), "--addr", p.addr,
		"--root", filepath.Join(l.dir, "buildkitd"), "--containerd-worker=false", "--oci-worker-net", "host")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for range 200 {
		if conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(l.dir, "buildkitd.sock")); err == nil {
			conn.Close()
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return nil, errors.New("it did not listen within 10 s")
}

func (p *buildkitd) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}
