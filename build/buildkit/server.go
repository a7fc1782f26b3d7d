//go:build linux

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	ctdsnapshot "github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// server is BuildKit in this process: its controller and its OCI worker behind
// an in-memory connection. The client code is what it would be for a buildkitd
// elsewhere.
type server struct {
	client  *client.Client
	refs    *refTable
	layers  cache.Accessor
	grpc    *grpc.Server
	serving chan struct{}
	closers []func() error
}

func newServer(ctx context.Context, cfg Config, cgroup string, running *functions, volumes *attachments) (_ *server, err error) {
	s := &server{refs: newRefTable(), serving: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	var layers ctdsnapshot.Snapshotter
	snapshots := runc.SnapshotterFactory{Name: "overlayfs", New: func(root string) (_ ctdsnapshot.Snapshotter, err error) {
		layers, err = overlay.NewSnapshotter(root, overlay.AsynchronousRemove)
		return layers, err
	}}
	opt, err := runc.NewWorkerOpt(cfg.Dir, snapshots, false, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host"}, nil, cfg.RuntimeBinary, "", false, nil, "", cgroup, nil)
	if err != nil {
		return nil, fmt.Errorf("setting up BuildKit's worker: %w", err)
	}
	opt.RegistryHosts = resolver.NewRegistryConfig(nil)
	opt.GCPolicy = collection(cfg.Budget)
	opt.Executor = &hostExecutor{Executor: opt.Executor, env: cfg.Host, functions: running, volumes: volumes}
	inner, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("starting BuildKit's worker: %w", err)
	}
	s.closers = append(s.closers, inner.Close)
	s.layers = inner.CacheManager()

	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(&refWorker{Worker: inner, refs: s.refs}); err != nil {
		return nil, err
	}
	results, err := bboltcachestorage.NewStore(filepath.Join(cfg.Dir, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("opening BuildKit's cache: %w", err)
	}
	s.closers = append(s.closers, results.Close)
	history, err := boltutil.SafeOpen(filepath.Join(cfg.Dir, "history.db"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening BuildKit's history: %w", err)
	}
	s.closers = append(s.closers, history.Close)
	controller, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
		},
		CacheManager:   solver.NewCacheManager(ctx, "local", results, worker.NewCacheResultStorage(workers)),
		HistoryDB:      history,
		CacheStore:     results,
		LeaseManager:   inner.LeaseManager(),
		ContentStore:   inner.ContentStore(),
		GarbageCollect: inner.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
	if err != nil {
		return nil, fmt.Errorf("starting BuildKit: %w", err)
	}
	// The controller closes all of the above but the snapshotter, whose lock
	// would keep the next engine waiting for ever.
	s.closers = []func() error{layers.Close, controller.Close}

	s.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.MaxSendMsgSize(64<<20))
	healthv1.RegisterHealthServer(s.grpc, health.NewServer())
	controller.Register(s.grpc)
	listener := bufconn.Listen(1 << 20)
	go func() {
		defer close(s.serving)
		_ = s.grpc.Serve(listener) // ends with Stop
	}()
	s.client, err = client.New(ctx, "passthrough:///buildkit",
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connecting to BuildKit: %w", err)
	}
	return s, nil
}

// close ends BuildKit; builds under way end with an error.
func (s *server) close() error {
	var errs []error
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.grpc != nil {
		stopped := time.AfterFunc(5*time.Second, s.grpc.Stop)
		s.grpc.GracefulStop()
		stopped.Stop()
		<-s.serving
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

// collection is BuildKit's own policy, which it applies now and then: what is
// merely cached goes first, and a floor is never collected.
func collection(budget int64) []client.PruneInfo {
	if budget <= 0 {
		return nil
	}
	return []client.PruneInfo{
		{Filter: []string{"type==source.local,type==source.git.checkout"}, KeepDuration: 48 * time.Hour, MaxUsedSpace: budget / 10},
		{All: true, ReservedSpace: budget / 5, MaxUsedSpace: budget},
	}
}

func mkdirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}
