// Package engine is what a host does: it keeps what clients upload, has images
// built, starts apps, runs their functions' inputs in containers, and keeps
// their output. Its sub-packages each do one of these; this one wires them. It
// knows nothing of HTTP, TLS or the terminal.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/billing"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/buildlog"
	"github.com/gx-dev/gx/engine/bytecode"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/deployment"
	"github.com/gx-dev/gx/engine/dict"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/function"
	"github.com/gx-dev/gx/engine/gateway"
	"github.com/gx-dev/gx/engine/journal"
	"github.com/gx-dev/gx/engine/load"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/queue"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/engine/schedule"
	"github.com/gx-dev/gx/engine/secret"
	"github.com/gx-dev/gx/engine/source"
	"github.com/gx-dev/gx/engine/spawned"
	"github.com/gx-dev/gx/engine/store"
	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/engine/volume"
	"github.com/gx-dev/gx/engine/webtoken"
	"github.com/gx-dev/gx/gpu"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
	ErrClosed   = errors.New("the host is ending")
)

// Network is how containers reach what the machine reaches.
type Network interface {
	Env() []string             // proxy variables and the like, KEY=VALUE
	Mounts() []container.Mount // CA certificates, pip settings
}

// Config is what an engine is made of.
type Config struct {
	Dir      string // state: blobs, source trees, logs
	RunDir   string // for as long as the engine runs: the runners' socket
	Runtime  container.Runtime
	Images   build.Engine
	Network  Network // nil = none
	SDK      func(version string) (dir string, err error)
	Clock    clock.Clock   // nil = the machine's
	GPUs     gpu.Provider  // nil = the host has no cards
	Prices   gpu.Prices    // the zero value = the catalogue's
	Capacity pool.Capacity // what all containers together are given; zero values = what the machine has
	Budget   int64         // bytes of disk for images, blobs and logs together; 0 = 64 GiB
	DictTTL  time.Duration // how long an entry of a dict is kept after its last use; 0 = 7 days, negative = for ever
	Keep     volume.Keep   // which old versions of volumes are kept
	Logs     logs.Options  // how much of what apps print is kept; zero values = 4 GiB of one, 1 GiB of all that have ended, an eighth of Budget at most, 30 days
	NoFork   bool          // each container is started by itself, none is forked from a template
	// Deployments says which versions of deployed apps are kept.
	Deployments deployment.Retention
	Web         string // address for web requests; "" = gateway.DefaultAddr, or near it
	TrustProxy  bool   // web requests come through a proxy; see gateway.Config
	Version     string
	Log         *slog.Logger // nil = none
}

// Engine is a running engine.
type Engine struct {
	cfg      Config
	blobs    *blob.Store
	journals *journal.Store
	sources  *source.Store
	logs     *logs.Store
	registry *call.Registry
	hub      *runner.Hub
	ledger   *pool.Ledger
	prices   gpu.Prices
	images   *imageCache
	host     *function.Host
	gateway  *gateway.Gateway

	tending      sync.WaitGroup // the housekeeper, apps' endings, event feeds
	closing      chan struct{}
	history      *trace.History // of functions that have ended
	buildLogs    *buildlog.Store
	db           *store.DB
	environments *environment.Store
	dicts        *dict.Service
	queues       *queue.Service
	volumes      *volume.Store
	spawned      *spawned.Ledger
	schedules    *schedule.Runner
	bills        *billing.Book
	deployments  *deployment.Store
	webTokens    *webtoken.Store
	secrets      *secret.Store
	desk         *ask.Desk // what is stored here, for who asks

	mu        sync.Mutex
	apps      map[string]*App
	deployed  map[deploymentKey]*deployed
	functions map[string]*definition         // of all apps, by id
	awaited   map[pool.Owner]<-chan struct{} // containers that end so that these get room
	clients   map[closer]struct{}            // that belong to no app
	parked    map[string][]*late             // spawned calls that wait for their apps, by appKey
	closed    bool
	busy      int // builds and starts of apps in progress
	idle      time.Time
}

// New starts an engine, and clears away what an earlier one left unfinished.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Budget <= 0 {
		cfg.Budget = 64 << 30
	}
	capacity, err := capacityOf(cfg.Capacity)
	if err != nil {
		return nil, err
	}
	capacity.Cards = map[string]int{}
	if cfg.GPUs != nil {
		capacity.Cards = cfg.GPUs.Stock()
	}
	e := &Engine{
		cfg: cfg, ledger: pool.NewLedger(capacity), parked: map[string][]*late{},
		images: newImageCache(cfg.Clock), apps: map[string]*App{}, deployed: map[deploymentKey]*deployed{}, functions: map[string]*definition{}, awaited: map[pool.Owner]<-chan struct{}{}, clients: map[closer]struct{}{}, closing: make(chan struct{}), idle: cfg.Clock.Now(),
	}
	e.registry = call.NewRegistry(cfg.Clock, archive{e})
	if e.blobs, err = blob.Open(filepath.Join(cfg.Dir, "blobs"), cfg.Clock); err != nil {
		return nil, err
	}
	if e.sources, err = source.Open(filepath.Join(cfg.Dir, "trees"), e.blobs, cfg.Clock); err != nil {
		return nil, err
	}
	keep := cfg.Logs
	keep.Clock = cfg.Clock
	keep.MaxBytes = cmp.Or(keep.MaxBytes, min(1<<30, cfg.Budget/8))
	// A function may print faster than a terminal takes it: while its app runs,
	// all of it is kept. What stays for later is MaxBytes.
	keep.AppBytes = cmp.Or(keep.AppBytes, min(4<<30, cfg.Budget/8))
	if e.logs, err = logs.Open(filepath.Join(cfg.Dir, "logs"), keep); err != nil {
		return nil, err
	}
	if e.buildLogs, err = buildlog.Open(filepath.Join(cfg.Dir, "buildlogs"), cfg.Clock); err != nil {
		return nil, err
	}
	if e.history, err = trace.OpenHistory(filepath.Join(cfg.Dir, "why")); err != nil {
		return nil, err
	}
	e.journals = journal.Open(filepath.Join(cfg.Dir, "journal"), journal.Options{
		Clock: cfg.Clock, MaxAge: journalAge, Budget: min(4<<30, cfg.Budget/8), Log: cfg.Log,
	})
	if err := e.openStores(ctx); err != nil {
		return nil, err
	}
	runners := filepath.Join(cfg.RunDir, "runners")
	if err := os.RemoveAll(runners); err != nil {
		return nil, errors.Join(fmt.Errorf("removing an earlier host's runtime directory: %w", err), e.closeStores())
	}
	if e.hub, err = runner.Listen(runners, cfg.Log); err != nil {
		return nil, errors.Join(err, e.closeStores())
	}
	cores := max(2, int(capacity.CPU))
	compiler := &bytecode.Compiler{Runtime: cfg.Runtime, Packages: cfg.SDK, Log: cfg.Log}
	e.host = &function.Host{
		Runtime: cfg.Runtime, Hub: e.hub, Ledger: e.ledger, Registry: e.registry, Clock: cfg.Clock, Log: cfg.Log, Version: cfg.Version,
		Starts: make(chan struct{}, cores), SDK: compiler.Dir, Reclaim: e.reclaim, Functions: e.pools, Calls: directory{e}, Busy: load.New(cfg.Clock).Busy, Probe: min(cores, 8), Fork: !cfg.NoFork,
		Trace: trace.NewRecorder(), Volumes: e.volumes, Secrets: e.secrets,
	}
	if cfg.Network != nil {
		e.host.Env, e.host.Mounts = cfg.Network.Env(), cfg.Network.Mounts()
		compiler.Mounts = e.host.Mounts
	}
	if shows, ok := cfg.GPUs.(interface{ Source() (dir, target string) }); ok {
		dir, target := shows.Source()
		compiler.Beside = []container.Mount{{Source: dir, Target: target}}
	}
	e.host.GPUs, e.prices = cfg.GPUs, cfg.Prices
	if e.prices.Source == "" {
		e.prices = gpu.ListPrices()
	}
	if err := e.restoreSpawned(ctx); err != nil {
		return nil, errors.Join(err, e.hub.Close(), e.closeStores())
	}
	e.gateway = e.newGateway()
	if err := e.restore(ctx); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	e.tending.Go(e.housekeep)
	e.tending.Go(e.keepBills)
	if err := e.schedules.Start(ctx); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

// Close ends every app, at the latest when ctx ends, and waits until nothing of
// the engine is left running. Runtime and Images belong to the caller.
func (e *Engine) Close(ctx context.Context) error {
	e.schedules.Close()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	apps := e.list()
	for c := range e.clients {
		_ = c.Close()
	}
	e.mu.Unlock()
	for _, a := range apps {
		a.stop("the host is ending", false)
	}
	for _, a := range apps {
		select {
		case <-a.done:
		case <-ctx.Done():
			a.stop("the host is ending", true)
			<-a.done
		}
	}
	close(e.closing)
	e.gateway.Close()
	err := e.hub.Close()
	e.tending.Wait()
	e.releaseDeployed(func(*deployed) bool { return true })
	e.images.close()
	e.registry.Close()
	e.journals.Close()
	return errors.Join(err, e.closeStores())
}

// list is the apps, the oldest first. mu is held.
func (e *Engine) list() []*App {
	apps := make([]*App, 0, len(e.apps))
	for _, a := range e.apps {
		apps = append(apps, a)
	}
	slices.SortFunc(apps, func(a, b *App) int { return a.created.Compare(b.created) })
	return apps
}

// begin notes that something is going on; the returned function that it is over.
func (e *Engine) begin() (end func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	e.busy++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.busy--
		e.idle = e.cfg.Clock.Now()
	}, nil
}

// IdleSince is since when there has been no app, build or call; false = there
// is one.
func (e *Engine) IdleSince() (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.idle, e.busy == 0 && len(e.apps) == 0 && len(e.clients) == 0
}

// Occupied reports whether the end of the host would cut something off. A
// deployed app that has nothing to do goes on with the next host.
func (e *Engine) Occupied() bool {
	e.mu.Lock()
	apps := e.list()
	occupied := e.busy > 0 || len(e.clients) > 0
	e.mu.Unlock()
	for _, a := range apps {
		occupied = occupied || a.deployed == nil && a.past == 0 || slices.ContainsFunc(a.pools(), (*function.Function).Busy)
	}
	return occupied
}

// Running is how many apps are running.
func (e *Engine) Running() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.apps)
}

// MissingBlobs returns those of the hashes whose content is not here.
func (e *Engine) MissingBlobs(ctx context.Context, sums []string) ([]string, error) {
	missing, err := e.blobs.Missing(ctx, sums)
	if errors.Is(err, blob.ErrName) {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return missing, err
}

// PutBlob stores a content under its hash.
func (e *Engine) PutBlob(ctx context.Context, sha256 string, r io.Reader) error {
	end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	err = e.blobs.Put(ctx, sha256, r)
	if errors.Is(err, blob.ErrName) || errors.Is(err, blob.ErrMismatch) || errors.Is(err, blob.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

// Apps lists the apps that are running, the oldest first, and deployed ones that
// are not.
func (e *Engine) Apps() []api.App {
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	list := make([]api.App, len(apps))
	for i, a := range apps {
		list[i] = a.describe()
	}
	return append(list, e.idleDeployed()...)
}

// App finds a running app by its id, or by its name: the deployed one, else the
// one that was started last; the name of an
// app outside of the main environment has that of its own before it: "dev/app".
func (e *Engine) App(ref string) (*App, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	in, name := environment.Split(ref)
	if a := e.apps[name]; a != nil {
		return a, nil
	}
	var found *App
	for _, a := range e.list() {
		if a.title() == name && a.environment == in && name != "" && !a.isProving() && (found == nil || found.deployed == nil) {
			found = a
		}
	}
	if found != nil {
		return found, nil
	}
	where := ""
	if in != environment.Main {
		where = fmt.Sprintf(" in environment %q", in)
	}
	return nil, fmt.Errorf("no app %q is running%s: %w", name, where, ErrNotFound)
}

// StopApp ends an app and waits for it. A deployed one stays ended until it is
// deployed, or rolled back, again.
func (e *Engine) StopApp(ctx context.Context, idOrName string, now bool) error {
	a, err := e.App(idOrName)
	if err != nil {
		if d, failed := e.begun(ctx, idOrName); failed == nil && d != nil {
			return d.stop(ctx, "", now)
		}
		return err
	}
	if a.deployed != nil && !a.deployed.state().Stopped { // else it is ending: it can be waited for, or killed
		return a.deployed.stop(ctx, "", now)
	}
	return a.Stop(ctx, now)
}

// Containers lists the containers of all apps.
func (e *Engine) Containers() []api.Container {
	var list []api.Container
	for _, f := range e.pools() {
		list = append(list, f.Containers()...)
	}
	return list
}

// pools lists the functions of all apps, each variant by itself.
func (e *Engine) pools() []*function.Function {
	e.mu.Lock()
	apps := e.list()
	e.mu.Unlock()
	var list []*function.Function
	for _, a := range apps {
		list = append(list, a.pools()...)
	}
	return list
}

// reclaim makes room for a function that is short of it: the container that
// has been idle longest, of any other function, ends, or else one of a function
// that has more than its share, once it is done with what it is at.
func (e *Engine) reclaim(for_ *function.Function) {
	var victim, debtor *function.Function
	var oldest time.Time
	owner, owes := e.ledger.Debtor(for_.Owner())
	for _, f := range e.pools() {
		if f == for_ {
			continue
		}
		if since, ok := f.IdleSince(); ok && e.ledger.Helps(f.Owner(), for_.Owner()) && (victim == nil || since.Before(oldest)) {
			victim, oldest = f, since
		}
		if owes && f.Owner() == owner {
			debtor = f
		}
	}
	if victim != nil {
		victim.Retire("its room is needed by another function")
		return
	}
	if debtor == nil {
		return
	}
	// One at a time: what it frees may be enough.
	e.mu.Lock()
	defer e.mu.Unlock()
	if gone := e.awaited[for_.Owner()]; gone != nil {
		select {
		case <-gone:
		default:
			return
		}
	}
	delete(e.awaited, for_.Owner())
	if gone := debtor.Yield(); gone != nil {
		e.awaited[for_.Owner()] = gone
	}
}
