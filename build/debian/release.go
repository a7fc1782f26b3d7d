package debian

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Bounds of what an archive may send.
const (
	maxRelease = 8 << 20
	maxIndex   = 1 << 30 // of an index, unpacked
)

// release is the verified release file of a suite.
type release struct {
	source source
	files  map[string]checksum // by path below the suite's folder
	byHash bool
	origin string
	notes  []string
}

type checksum struct {
	sum  string // hex SHA-256
	size int64
}

// fetchRelease downloads and verifies the release file of a source.
func (b *bootstrap) fetchRelease(ctx context.Context, s source) (*release, error) {
	base := s.URI + "/dists/" + s.Suite + "/"
	data, err := b.fetch.small(ctx, base+"InRelease", maxRelease)
	var text []byte
	switch {
	case s.Trusted && errors.Is(err, errNotFound):
		text, err = b.fetch.small(ctx, base+"Release", maxRelease)
		if err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case s.Trusted:
		text = unsigned(data)
	default:
		keys, err := keysFor(s, b.opts.AptDir, b.opts.Keyrings)
		if err != nil {
			return nil, err
		}
		text, err = verifyInRelease(data, keys, b.now)
		if err != nil {
			return nil, fmt.Errorf("the signature of %sInRelease is not valid: %w. Nothing of it was used", redact(base), err)
		}
	}
	r, err := parseRelease(text, s)
	if err != nil {
		return nil, fmt.Errorf("%sInRelease: %w", redact(base), err)
	}
	if s.Trusted {
		r.notes = append(r.notes, fmt.Sprintf("The configuration trusts %s without a signature.", redact(s.URI)))
	}
	if until := r.expired(text, b.now); until != "" {
		if s.ValidUntil && b.config.checksValidUntil() {
			return nil, fmt.Errorf("%sInRelease expired on %s: the mirror is stale or this machine's clock is wrong (apt's option Acquire::Check-Valid-Until \"false\" is honoured)", redact(base), until)
		}
		r.notes = append(r.notes, fmt.Sprintf("The release file of %s expired on %s; this machine's apt is told not to mind.", s.Suite, until))
	}
	return r, nil
}

// unsigned is the text of a release file whose signature doesn't matter.
func unsigned(data []byte) []byte {
	_, text, ok := bytes.Cut(data, []byte("\n\n"))
	if !ok || !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return data
	}
	text, _, _ = bytes.Cut(text, []byte("-----BEGIN PGP SIGNATURE-----"))
	return text
}

// parseRelease reads a release file and checks that it is the suite's own.
func parseRelease(text []byte, s source) (*release, error) {
	p, err := parseParagraph(text)
	if err != nil {
		return nil, err
	}
	if codename, name := p.field("Codename"), p.field("Suite"); s.Suite != codename && s.Suite != name {
		return nil, fmt.Errorf("it is the release file of %.40q, not of %q", codename, s.Suite)
	}
	r := &release{source: s, files: map[string]checksum{}, byHash: isYes(p.field("Acquire-By-Hash")), origin: p.field("Origin")}
	for _, line := range strings.Split(p.field("SHA256"), "\n") {
		words := strings.Fields(line)
		if len(words) != 3 {
			continue
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 || !isSHA256(words[0]) || !safeRelative(words[2]) {
			return nil, fmt.Errorf("%.100q is not a checksum", line)
		}
		r.files[words[2]] = checksum{words[0], size}
	}
	return r, nil
}

// expired returns the date after which a release file is stale, if that is past.
func (r *release) expired(text []byte, now time.Time) string {
	p, err := parseParagraph(text)
	if err != nil {
		return ""
	}
	until := p.field("Valid-Until")
	for _, layout := range []string{time.RFC1123, "Mon, _2 Jan 2006 15:04:05 MST"} {
		if t, err := time.Parse(layout, until); err == nil && now.After(t) {
			return until
		}
	}
	return ""
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// packages downloads the package index of one component. A component that the
// suite doesn't have is empty.
func (b *bootstrap) packages(ctx context.Context, r *release, component string) ([]byte, error) {
	folder := component + "/binary-" + b.opts.Arch + "/"
	// gzip is unpacked several times faster than xz and a third larger.
	for _, ending := range []string{".gz", ".xz", ""} {
		want, ok := r.files[folder+"Packages"+ending]
		if !ok || want.size == 0 {
			continue
		}
		path := filepath.Join(b.opts.Dir, "indexes", want.sum+ending)
		base := r.source.URI + "/dists/" + r.source.Suite + "/" + folder
		address := base + "Packages" + ending
		if r.byHash {
			address = base + "by-hash/SHA256/" + want.sum
		}
		err := b.fetch.file(ctx, address, path, want.sum, want.size, b.moved)
		if errors.Is(err, errNotFound) && r.byHash {
			err = b.fetch.file(ctx, base+"Packages"+ending, path, want.sum, want.size, b.moved)
		}
		if err != nil {
			return nil, err
		}
		data, err := readIndex(path, want)
		if err != nil {
			_ = os.Remove(path) // a spoiled cache must not fail the next attempt too
			return nil, fmt.Errorf("reading the index of %s %s: %w", r.source.Suite, component, err)
		}
		return data, nil
	}
	return nil, nil
}

// readIndex unpacks a downloaded index, after it has verified what is on disk.
func readIndex(path string, want checksum) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want.sum {
		return nil, fmt.Errorf("the copy on disk is corrupt")
	}
	r, err := decompress(filepath.Ext(path), bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAtMost(r, maxIndex)
}

// decompress opens a compressed stream by the ending of its file's name.
func decompress(ending string, r io.Reader) (io.ReadCloser, error) {
	switch ending {
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		x, err := xz.NewReader(r, 0)
		return io.NopCloser(x), err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	default:
		return io.NopCloser(r), nil
	}
}

// readAtMost reads everything, and fails if that is more than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, nil
}
