package debian

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
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

// writeLayout makes an image layout of one layer at dir, which appears whole or
// not at all. fill writes the layer as a tar stream.
func writeLayout(dir, arch, comment string, fill func(io.Writer) error) error {
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
	layer, diffID, err := writeLayer(blobs, fill)
	if err != nil {
		return err
	}
	config := v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: goArch(arch)},
		Config:   v1.ImageConfig{Env: environment()},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History:  []v1.History{{Created: &epoch, CreatedBy: comment}},
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
func writeLayer(blobs string, fill func(io.Writer) error) (v1.Descriptor, digest.Digest, error) {
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
	if err := fill(buffered); err != nil {
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
