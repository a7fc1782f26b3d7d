package debian

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// layoutFormat is part of a base's key: it changes when gx makes other layers
// of the same packages.
const layoutFormat = "gx-debian-1"

// environment is that of a finished image.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
}

// keyOf names a list of packages: their names, versions and contents.
func keyOf(packages []Package) string {
	h := sha256.New()
	fmt.Fprintln(h, layoutFormat)
	for _, p := range packages {
		fmt.Fprintln(h, p.Name, p.Version, p.Arch, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// layoutDir is where the layout of a key lies.
func layoutDir(dir, key string) string {
	return filepath.Join(dir, "bases", key[:32])
}

// findLayout returns the digest and layer size of a finished layout.
func findLayout(dir string) (digest.Digest, int64, error) {
	var index v1.Index
	if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
		return "", 0, err
	}
	if len(index.Manifests) != 1 {
		return "", 0, fmt.Errorf("%s is not a layout of gx", dir)
	}
	d := index.Manifests[0].Digest
	if err := d.Validate(); err != nil {
		return "", 0, fmt.Errorf("%s: %w", dir, err)
	}
	var manifest v1.Manifest
	if err := readJSON(filepath.Join(dir, "blobs", "sha256", d.Encoded()), &manifest); err != nil {
		return "", 0, err
	}
	var size int64
	for _, layer := range manifest.Layers {
		info, err := os.Stat(filepath.Join(dir, "blobs", "sha256", layer.Digest.Encoded()))
		if err != nil {
			return "", 0, err
		}
		if info.Size() != layer.Size {
			return "", 0, fmt.Errorf("%s: a layer is incomplete", dir)
		}
		size += layer.Size
	}
	return d, size, nil
}

// writeLayout unpacks downloaded packages into a layout at dir, which appears
// whole or not at all.
func (b *bootstrap) writeLayout(ctx context.Context, l *lock, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	blobs := filepath.Join(temp, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layer, diffID, err := b.writeLayer(ctx, l, blobs)
	if err != nil {
		return err
	}
	config := v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: goArch(l.Arch)},
		Config:   v1.ImageConfig{Env: environment()},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History:  []v1.History{{Created: &epoch, CreatedBy: "gx: packages of " + l.Distribution + " " + l.Suite}},
	}
	config.Created = &epoch
	if config.Architecture == "arm" {
		config.Variant = "v7"
	}
	configBlob, err := writeBlob(blobs, v1.MediaTypeImageConfig, config)
	if err != nil {
		return err
	}
	manifest, err := writeBlob(blobs, v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
		Config:    configBlob,
		Layers:    []v1.Descriptor{layer},
	})
	if err != nil {
		return err
	}
	platform := config.Platform
	manifest.Platform = &platform
	if err := writeJSON(filepath.Join(temp, v1.ImageLayoutFile), v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	err = writeJSON(filepath.Join(temp, v1.ImageIndexFile), v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{manifest},
	})
	if err != nil {
		return err
	}
	// What lies at dir is no layout, or it would have been used.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// writeLayer writes the layer's blob and returns its descriptor and the digest
// of its uncompressed form.
func (b *bootstrap) writeLayer(ctx context.Context, l *lock, blobs string) (v1.Descriptor, digest.Digest, error) {
	file, err := os.CreateTemp(blobs, ".layer-")
	if err != nil {
		return v1.Descriptor{}, "", err
	}
	defer file.Close()
	if err := file.Chmod(0o644); err != nil {
		return v1.Descriptor{}, "", err
	}
	compressed, plain := newDigester(file), sha256.New()
	// The number of threads is fixed: it may show in the output.
	z, err := zstd.NewWriter(compressed, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(4))
	if err != nil {
		return v1.Descriptor{}, "", err
	}
	defer z.Close()
	buffered := bufio.NewWriterSize(io.MultiWriter(z, plain), 1<<20)
	if err := b.unpack(ctx, l, buffered); err != nil {
		return v1.Descriptor{}, "", err
	}
	for _, finish := range []func() error{buffered.Flush, z.Close, file.Sync, file.Close} {
		if err := finish(); err != nil {
			return v1.Descriptor{}, "", fmt.Errorf("writing the layer: %w", err)
		}
	}
	d := digest.NewDigestFromBytes(digest.SHA256, compressed.hash.Sum(nil))
	if err := os.Rename(file.Name(), filepath.Join(blobs, d.Encoded())); err != nil {
		return v1.Descriptor{}, "", err
	}
	return v1.Descriptor{MediaType: v1.MediaTypeImageLayerZstd, Digest: d, Size: compressed.size},
		digest.NewDigestFromBytes(digest.SHA256, plain.Sum(nil)), nil
}

// unpack writes the packages of a lock as one tar stream. They are decompressed
// side by side and written in a fixed order: base-files first, because it
// brings the folders with special permissions, then by name.
func (b *bootstrap) unpack(ctx context.Context, l *lock, w io.Writer) error {
	order := make([]Package, 0, len(l.Packages))
	for _, first := range []bool{true, false} {
		for _, p := range l.Packages {
			if (p.Name == "base-files") == first {
				order = append(order, p)
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	// The queue bounds how many unpacked packages wait in memory.
	queue := make(chan chan *deb, min(runtime.GOMAXPROCS(0), 4)+1)
	group.Go(func() error {
		defer close(queue)
		for _, p := range order {
			done := make(chan *deb, 1)
			select {
			case queue <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				d, err := b.openDeb(p)
				if err != nil {
					return fmt.Errorf("unpacking %s %s: %w", p.Name, p.Version, err)
				}
				done <- d
				return nil
			})
		}
		return nil
	})
	group.Go(func() error {
		root := newRootfs(w)
		for i := 0; i < len(order); i++ {
			var d *deb
			select {
			case done := <-queue:
				select {
				case d = <-done:
				case <-ctx.Done():
					return ctx.Err()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := root.add(d); err != nil {
				return fmt.Errorf("unpacking %s %s: %w", order[i].Name, order[i].Version, err)
			}
			b.moved(order[i].Size)
		}
		return root.close(l.Arch)
	})
	return group.Wait()
}

// openDeb reads a downloaded package, after it has verified what is on disk.
func (b *bootstrap) openDeb(p Package) (*deb, error) {
	path := b.debPath(p)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		_ = os.Remove(path) // the next attempt downloads it anew
		return nil, fmt.Errorf("its copy on disk was corrupt and has been removed; try again")
	}
	d, err := readDeb(data)
	if err != nil {
		return nil, err
	}
	if name, version := d.control.field("Package"), d.control.field("Version"); name != p.Name || version != p.Version {
		return nil, fmt.Errorf("it holds %.60q %.60q instead", name, version)
	}
	return d, nil
}

// digester hashes and counts what passes through it.
type digester struct {
	w    io.Writer
	hash hash.Hash
	size int64
}

func newDigester(w io.Writer) *digester { return &digester{w: w, hash: sha256.New()} }

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	return n, err
}

// writeBlob stores a value as JSON under its digest.
func writeBlob(blobs, mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := digest.FromBytes(data)
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))},
		os.WriteFile(filepath.Join(blobs, d.Encoded()), data, 0o644)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func readJSON(path string, v any) error {
	data, err := readLimited(path, 16<<20)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// debianArch is the name that Debian has for one of Go's architectures.
func debianArch(arch string) string {
	switch arch {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "loong64":
		return "loong64"
	default:
		return arch
	}
}

// goArch is the reverse of debianArch.
func goArch(arch string) string {
	switch arch {
	case "i386":
		return "386"
	case "armhf":
		return "arm"
	case "ppc64el":
		return "ppc64le"
	default:
		return strings.TrimSpace(arch)
	}
}
