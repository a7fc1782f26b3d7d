package debian

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// Bounds of a package.
const (
	maxDeb     = 1 << 30  // of the file
	maxControl = 32 << 20 // of its control archive, unpacked
	maxData    = 1 << 30  // of its files, unpacked
	maxEntries = 200_000
)

// deb is an unpacked package.
type deb struct {
	control paragraph
	info    map[string][]byte // files of the control archive, by plain name
	entries []entry           // its files, in the package's order
}

// entry is one file of a package.
type entry struct {
	name   string // as the package spells it, cleaned and without leading slash: "bin/ls"; "." is the root
	header *tar.Header
	data   []byte
}

// readDeb unpacks a package from its bytes. Nothing is written anywhere.
func readDeb(data []byte) (*deb, error) {
	members, err := readAr(data)
	if err != nil {
		return nil, err
	}
	if len(members) < 3 || members[0].name != "debian-binary" || !bytes.HasPrefix(members[0].data, []byte("2.")) {
		return nil, fmt.Errorf("it is not a Debian package")
	}
	d := &deb{info: map[string][]byte{}}
	var haveData bool
	for _, m := range members[1:] {
		switch {
		case strings.HasPrefix(m.name, "control.tar") && d.control == nil:
			if err := d.readControl(m); err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
		case strings.HasPrefix(m.name, "data.tar") && !haveData:
			haveData = true
			if d.entries, err = readTar(m, maxData); err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	if d.control == nil || !haveData {
		return nil, fmt.Errorf("it is not a Debian package: it has no control or data archive")
	}
	return d, nil
}

func (d *deb) readControl(m member) error {
	entries, err := readTar(m, maxControl)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch {
		case e.header.Typeflag == tar.TypeDir:
		case e.header.Typeflag != tar.TypeReg || !safeInfo(e.name):
			return fmt.Errorf("%.100q has no place in it", e.name)
		default:
			d.info[e.name] = e.data
		}
	}
	d.control, err = parseParagraph(d.info["control"])
	delete(d.info, "control")
	return err
}

// safeInfo reports whether a control file's name may become part of a path.
func safeInfo(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsAny(name, "/\x00\n") && !strings.HasPrefix(name, ".")
}

// member is one member of an ar archive.
type member struct {
	name string
	data []byte
}

// readAr splits an ar archive in the common format without long names, which
// is what packages are.
func readAr(data []byte) ([]member, error) {
	const magic = "!<arch>\n"
	const headerSize, most = 60, 32
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return nil, fmt.Errorf("it is not an ar archive")
	}
	var members []member
	for len(rest) > 0 {
		if len(rest) < headerSize || string(rest[58:60]) != "`\n" {
			return nil, fmt.Errorf("ar member %d: malformed header", len(members)+1)
		}
		if len(members) == most {
			return nil, fmt.Errorf("more than %d ar members", most)
		}
		name := strings.TrimSuffix(strings.TrimRight(string(rest[:16]), " "), "/")
		size, err := strconv.ParseInt(strings.TrimRight(string(rest[48:58]), " "), 10, 64)
		rest = rest[headerSize:]
		if err != nil || size < 0 || size > int64(len(rest)) {
			return nil, fmt.Errorf("ar member %.16q: its size is not the archive's", name)
		}
		members = append(members, member{name, rest[:size]})
		rest = rest[size:]
		if size%2 == 1 && len(rest) > 0 {
			rest = rest[1:] // members begin at even offsets
		}
	}
	return members, nil
}

// readTar unpacks a compressed tar archive into memory and checks that no name
// in it leads out of it.
func readTar(m member, limit int64) ([]entry, error) {
	ending := path.Ext(m.name)
	if ending == ".tar" {
		ending = ""
	}
	var stream io.ReadCloser
	var err error
	switch ending {
	case ".bz2":
		stream = io.NopCloser(bzip2.NewReader(bytes.NewReader(m.data)))
	case "", ".gz", ".xz", ".zst":
		stream, err = decompress(ending, bytes.NewReader(m.data))
	default:
		err = fmt.Errorf("compression %.10q is not known", ending)
	}
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	// The counted reader bounds what a small archive can unpack to.
	counted := &io.LimitedReader{R: stream, N: limit}
	t := tar.NewReader(counted)
	var entries []entry
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			if counted.N == 0 {
				err = fmt.Errorf("it unpacks to more than %d bytes", limit)
			}
			return nil, err
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("more than %d files", maxEntries)
		}
		name, err := insideName(h.Name)
		if err != nil {
			return nil, err
		}
		e := entry{name: name, header: h}
		switch h.Typeflag {
		case tar.TypeReg:
			if h.Size > counted.N {
				return nil, fmt.Errorf("%.100q is larger than the archive may be", name)
			}
			e.data = make([]byte, h.Size)
			if _, err := io.ReadFull(t, e.data); err != nil {
				return nil, err
			}
		case tar.TypeLink:
			if h.Linkname, err = insideName(h.Linkname); err != nil {
				return nil, err
			}
		case tar.TypeDir, tar.TypeSymlink:
		default:
			return nil, fmt.Errorf("%.100q is neither a file, a folder nor a link", name)
		}
		entries = append(entries, e)
	}
}

// insideName cleans a name of a package's file. A name that leads out of the
// package is an error, not cleaned.
func insideName(name string) (string, error) {
	if strings.ContainsAny(name, "\x00\n") {
		return "", fmt.Errorf("the name %.100q holds a control character", name)
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("the name %.100q leads out of the package", name)
		}
	}
	return path.Clean(strings.TrimLeft(path.Clean(name), "/") + ""), nil
}
