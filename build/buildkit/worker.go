//go:build linux

package buildkit

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/worker"
)

// exporterRef is the name of the exporter that keeps a build's result where it
// is, instead of copying it out of BuildKit's store.
const exporterRef = "gx.ref"

// refTable holds results between the end of a solve and whoever asked for it.
type refTable struct {
	mu   sync.Mutex
	refs map[string]cache.ImmutableRef // by the key in the export's attributes
}

func newRefTable() *refTable { return &refTable{refs: make(map[string]cache.ImmutableRef)} }

func (t *refTable) put(key string, ref cache.ImmutableRef) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refs[key] = ref
}

// take returns a result and forgets it; the caller releases it.
func (t *refTable) take(key string) cache.ImmutableRef {
	t.mu.Lock()
	defer t.mu.Unlock()
	ref := t.refs[key]
	delete(t.refs, key)
	return ref
}

// refWorker is BuildKit's worker with one more exporter.
type refWorker struct {
	worker.Worker
	refs *refTable
}

func (w *refWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name == exporterRef {
		return &refExporter{w.refs}, nil
	}
	return w.Worker.Exporter(name, sm)
}

type refExporter struct{ refs *refTable }

func (e *refExporter) Resolve(_ context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	if attrs["key"] == "" {
		return nil, fmt.Errorf("the exporter %s needs a key", exporterRef)
	}
	return &refExport{refs: e.refs, id: id, attrs: attrs}, nil
}

type refExport struct {
	refs  *refTable
	id    int
	attrs map[string]string
}

func (e *refExport) ID() int                  { return e.id }
func (e *refExport) Name() string             { return "keeping the image" }
func (e *refExport) Config() *exporter.Config { return exporter.NewConfig() }
func (e *refExport) Type() string             { return exporterRef }
func (e *refExport) Attrs() map[string]string { return e.attrs }

// Export makes sure that the result's layers are really on disk, and keeps it.
func (e *refExport) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	ref := src.Ref
	if ref == nil && len(src.Refs) == 1 {
		for _, only := range src.Refs {
			ref = only
		}
	}
	if ref == nil {
		return nil, nil, nil, nil // an image without a single file
	}
	if err := ref.Extract(ctx, session.NewGroup(info.SessionID)); err != nil {
		return nil, nil, nil, fmt.Errorf("unpacking the image's layers: %w", err)
	}
	e.refs.put(e.attrs["key"], ref.Clone())
	return nil, nil, nil, nil
}

// lowerDirs reads the directories of a mounted result, topmost first.
func lowerDirs(ctx context.Context, ref cache.ImmutableRef) (dirs []string, release func() error, err error) {
	mountable, err := ref.Mount(ctx, true, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("finding the image's layers: %w", err)
	}
	mounts, release, err := mountable.Mount()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the image's layers: %w", err)
	}
	for _, m := range mounts {
		if m.Type == "bind" || m.Type == "rbind" {
			return []string{m.Source}, release, nil
		}
		for _, option := range m.Options {
			if lower, ok := strings.CutPrefix(option, "lowerdir="); ok {
				return strings.Split(lower, ":"), release, nil
			}
		}
	}
	_ = release()
	return nil, nil, fmt.Errorf("the image's layers are mounted in a way that gx does not know: %v", mounts)
}
