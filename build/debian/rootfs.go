package debian

import (
	"archive/tar"
	"bytes"
	"crypto/md5" // dpkg's database records conffiles by it
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"time"
)

// rootfs writes packages into one tar stream as dpkg --unpack would leave them
// on disk: files, and dpkg's database with every package in state unpacked.
// The stream depends on nothing but the packages.
type rootfs struct {
	tar      *tar.Writer
	nodes    map[string]node // by path without leading slash
	status   bytes.Buffer
	triggers map[string][]string // by name or path of what is waited for: packages
	failed   error
}

// node is what lies at a path so far.
type node struct {
	kind   byte   // a tar type flag
	target string // of a symbolic link
	owner  string // the package that brought it
}

// deepest is how many symbolic links a path may lead through.
const deepest = 40

// epoch is the time of files that no package brought.
var epoch = time.Unix(0, 0)

// newRootfs begins a file system.
func newRootfs(w io.Writer) *rootfs {
	return &rootfs{tar: tar.NewWriter(w), nodes: map[string]node{".": {kind: tar.TypeDir}}, triggers: map[string][]string{}}
}

// usrMerged lists the folders of the root that are links into /usr. All are
// made when first used, but for the first three, which always exist.
func usrMerged() []string {
	return []string{"bin", "lib", "sbin", "lib32", "lib64", "libo32", "libx32"}
}

// excluded reports whether a file is left out, as slim images leave out
// documentation: the same paths as in the dpkg configuration that trimConfig
// writes. Licences stay, and folders, for packages that link into them.
func excluded(name string, dir bool) bool {
	if dir {
		translated := strings.HasPrefix(name, "usr/share/man/") && !strings.HasPrefix(name, "usr/share/man/man")
		return translated || strings.HasPrefix(name, "usr/share/locale/") || strings.HasPrefix(name, "usr/share/doc/") && strings.Count(name, "/") > 3
	}
	switch {
	case strings.HasPrefix(name, "usr/share/doc/"):
		return path.Base(name) != "copyright"
	case strings.HasPrefix(name, "usr/share/locale/"):
		return path.Base(name) != "locale.alias"
	}
	for _, folder := range []string{"man", "info", "groff", "lintian", "linda", "doc-base"} {
		if strings.HasPrefix(name, "usr/share/"+folder+"/") {
			return true
		}
	}
	return false
}

// trimConfig makes dpkg leave out of later packages what the base leaves out.
const trimConfig = `path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/doc-base/*
path-exclude /usr/share/locale/*
path-include /usr/share/locale/locale.alias
`

// aptTrimConfig makes apt fetch no translations, which nobody reads in an
// image, and keep nothing merely because it is suggested.
const aptTrimConfig = `Acquire::Languages "none";
APT::AutoRemove::SuggestsImportant "false";
`

// add unpacks one package.
func (r *rootfs) add(d *deb) error {
	name, arch := d.control.field("Package"), d.control.field("Architecture")
	if !safeName(name) || strings.ContainsAny(arch, "/ \n") {
		return fmt.Errorf("%.60q is not a package's name", name)
	}
	var list strings.Builder
	sums := map[string]string{} // of the conffiles
	for _, c := range conffiles(d.info["conffiles"]) {
		sums[c] = ""
	}
	for i := range d.entries {
		e := &d.entries[i]
		shown := "/" + e.name
		if e.name == "." {
			shown = "/."
		}
		list.WriteString(shown + "\n")
		if _, ok := sums[shown]; ok && e.header.Typeflag == tar.TypeReg {
			sum := md5.Sum(e.data)
			sums[shown] = hex.EncodeToString(sum[:])
		}
		if e.name == "." || excluded(e.name, e.header.Typeflag == tar.TypeDir) {
			continue
		}
		if err := r.put(e, name); err != nil {
			return fmt.Errorf("%.200q: %w", e.name, err)
		}
	}
	qualified := name
	if d.control.field("Multi-Arch") == "same" {
		qualified += ":" + arch
	}
	d.info["list"] = []byte(list.String())
	for _, file := range sortedKeys(d.info) {
		mode := int64(0o644)
		if oneOf(file, "preinst", "postinst", "prerm", "postrm", "config") {
			mode = 0o755
		}
		r.file("var/lib/dpkg/info/"+qualified+"."+file, mode, d.info[file])
	}
	r.record(d.control, sums)
	r.addTriggers(qualified, d.info["triggers"])
	return r.failed
}

// conffiles parses the list of a package's configuration files.
func conffiles(text []byte) []string {
	var files []string
	for _, line := range strings.Split(string(text), "\n") {
		// A line with a flag names a file that is to be removed.
		if words := strings.Fields(line); len(words) == 1 {
			files = append(files, words[0])
		}
	}
	return files
}

// record adds a package to dpkg's status file.
func (r *rootfs) record(control paragraph, sums map[string]string) {
	first, rest := cutLine(control)
	fmt.Fprintf(&r.status, "%s\nStatus: install ok unpacked\n%s", first, bytes.TrimRight(rest, "\n"))
	r.status.WriteString("\n")
	if len(sums) > 0 {
		r.status.WriteString("Conffiles:\n")
		for _, file := range sortedKeys(sums) {
			if sums[file] != "" {
				fmt.Fprintf(&r.status, " %s %s\n", file, sums[file])
			}
		}
	}
	r.status.WriteString("\n")
}

// addTriggers remembers what a package waits for, which dpkg does on unpacking.
func (r *rootfs) addTriggers(pkg string, text []byte) {
	for _, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasPrefix(words[0], "interest") {
			continue
		}
		if words[0] == "interest-noawait" {
			pkg := pkg + "/noawait"
			r.triggers[words[1]] = append(r.triggers[words[1]], pkg)
			continue
		}
		r.triggers[words[1]] = append(r.triggers[words[1]], pkg)
	}
}

// put writes one file of a package.
func (r *rootfs) put(e *entry, owner string) error {
	h := *e.header
	name, err := r.place(e.name)
	if err != nil {
		return err
	}
	if old, ok := r.nodes[name]; ok {
		switch {
		case h.Typeflag == tar.TypeDir && old.kind == tar.TypeDir:
			return nil
		case h.Typeflag == tar.TypeDir && old.kind == tar.TypeSymlink:
			return nil // a package's folder may be another's link to one
		case h.Typeflag == tar.TypeSymlink && old.kind == tar.TypeSymlink && old.target == h.Linkname:
			return nil
		default:
			return fmt.Errorf("package %s has brought it already", old.owner)
		}
	}
	n := node{kind: h.Typeflag, owner: owner}
	switch h.Typeflag {
	case tar.TypeSymlink:
		n.target = h.Linkname
	case tar.TypeLink:
		if h.Linkname, err = r.place(h.Linkname); err != nil {
			return err
		}
		if r.nodes[h.Linkname].kind != tar.TypeReg {
			return fmt.Errorf("it is a hard link to %.200q, which is no file of the base", h.Linkname)
		}
		n.kind = tar.TypeReg
	}
	out := tar.Header{
		Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Mode: h.Mode & 0o7777,
		Uid: h.Uid, Gid: h.Gid, Size: int64(len(e.data)), ModTime: h.ModTime.Truncate(time.Second),
	}
	r.write(&out, e.data, n)
	return r.failed
}

// place returns where a package's path lies in the file system: links in its
// folders, such as the merged /usr, are followed, inside the file system
// only. Missing folders are made.
func (r *rootfs) place(name string) (string, error) {
	parts := strings.Split(name, "/")
	at, links := ".", 0
	for len(parts) > 1 {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		if at == "." && contains(usrMerged(), part) {
			r.merge(part)
		}
		next := path.Join(at, part)
		n, ok := r.nodes[next]
		switch {
		case !ok:
			r.dir(next)
			at = next
		case n.kind == tar.TypeDir:
			at = next
		case n.kind == tar.TypeSymlink:
			if links++; links > deepest {
				return "", fmt.Errorf("too many symbolic links")
			}
			if strings.HasPrefix(n.target, "/") {
				at = "."
			}
			parts = append(strings.Split(strings.Trim(n.target, "/"), "/"), parts...)
		default:
			return "", fmt.Errorf("%.200q is not a folder", next)
		}
	}
	if at == "." && contains(usrMerged(), parts[0]) {
		r.merge(parts[0])
	}
	if parts[0] == ".." || parts[0] == "." || parts[0] == "" {
		return "", fmt.Errorf("it has no name of its own")
	}
	return path.Join(at, parts[0]), r.failed
}

// merge makes a folder of the root a link into /usr.
func (r *rootfs) merge(name string) {
	if _, ok := r.nodes[name]; ok {
		return
	}
	r.dir("usr/" + name)
	r.write(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name, Mode: 0o777, ModTime: epoch},
		nil, node{kind: tar.TypeSymlink, target: "usr/" + name})
}

// dir makes a folder, and those above it, where there is none.
func (r *rootfs) dir(name string) {
	if _, ok := r.nodes[name]; ok {
		return
	}
	if above := path.Dir(name); above != "." {
		r.dir(above)
	}
	r.write(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: epoch}, nil, node{kind: tar.TypeDir})
}

// file writes a file that no package brings.
func (r *rootfs) file(name string, mode int64, data []byte) {
	name, err := r.place(name)
	if err != nil {
		if r.failed == nil {
			r.failed = fmt.Errorf("writing %.200q: %w", name, err)
		}
		return
	}
	r.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)), ModTime: epoch},
		data, node{kind: tar.TypeReg})
}

func (r *rootfs) write(h *tar.Header, data []byte, n node) {
	r.nodes[h.Name] = n
	if r.failed != nil {
		return
	}
	if h.Typeflag == tar.TypeDir {
		copied := *h
		copied.Name += "/"
		h = &copied
	}
	if r.failed = r.tar.WriteHeader(h); r.failed == nil && h.Typeflag == tar.TypeReg {
		_, r.failed = r.tar.Write(data)
	}
}

// close writes dpkg's database and ends the stream.
func (r *rootfs) close(arch string) error {
	for _, name := range usrMerged()[:3] {
		r.merge(name)
	}
	if dir, err := r.place("var/lib/dpkg/updates"); err == nil {
		r.dir(dir)
	}
	r.file("var/lib/dpkg/info/format", 0o644, []byte("1\n"))
	r.file("var/lib/dpkg/arch", 0o644, []byte(arch+"\n"))
	r.file("var/lib/dpkg/status", 0o644, r.status.Bytes())
	r.file("var/lib/dpkg/available", 0o644, nil)
	r.file("var/lib/dpkg/triggers/Unincorp", 0o644, nil)
	var paths strings.Builder
	for _, on := range sortedKeys(r.triggers) {
		packages := r.triggers[on]
		sort.Strings(packages)
		if strings.HasPrefix(on, "/") {
			for _, p := range packages {
				paths.WriteString(on + " " + p + "\n")
			}
		} else if safeInfo(on) && !oneOf(on, "File", "Unincorp", "Lock") {
			r.file("var/lib/dpkg/triggers/"+on, 0o644, []byte(strings.Join(packages, "\n")+"\n"))
		}
	}
	r.file("var/lib/dpkg/triggers/File", 0o644, []byte(paths.String()))
	r.file("etc/dpkg/dpkg.cfg.d/gx-slim", 0o644, []byte(trimConfig))
	r.file("etc/apt/apt.conf.d/gx-slim", 0o644, []byte(aptTrimConfig))
	if r.failed != nil {
		return r.failed
	}
	return r.tar.Close()
}
