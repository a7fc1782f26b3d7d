// Package debian makes a minimal Debian or Ubuntu base image with Python from
// a package archive, in Go alone: no registry, no debootstrap, no dpkg and no
// root are needed on the machine.
//
// The archive is the one that the machine's own apt is set up for, or the one
// that Options.Sources names. Everything that is downloaded is verified: the
// release file by its OpenPGP signature, the package indexes by the release
// file, every package by its index.
//
// A base is made in two stages. Bootstrap is the first: it resolves and
// unpacks the packages into one layer, and leaves it as an OCI image layout on
// disk. Maintainer scripts need a container, so the second stage is a script,
// Base.Configure, that whoever makes images runs as an ordinary build step on
// top of that layer:
//
//	base, err := debian.Bootstrap(ctx, debian.Options{Dir: dir, Python: "3.11"}, progress)
//	// image  = the OCI layout base.LayoutDir at base.Digest
//	// step 1 = /bin/sh -c base.Configure, as root, without network
//	// afterwards the image is complete; base.Env belongs into its config
//
// What a base consists of is resolved once and then locked: later calls return
// the same digest, without network, until Options.Refresh asks for the
// archive's present packages.
package debian

import (
	"net/http"
	"time"
)

// Options says what base is wanted and where it comes from. The zero value of
// every field but Dir is usable.
type Options struct {
	// Dir is where downloads, locks and finished layouts are kept. It is
	// created; several processes may share it.
	Dir string

	// Python is the version wanted, as "3.11"; of "3.11.7" the last number only
	// becomes a note, as a suite has one Python 3.11. "" means any: the one nearest to
	// Near, and of two equally near ones the newer.
	Python string
	// Near is the version of the client's Python, as "3.11"; "" prefers the
	// newest stable suite.
	Near string

	// Arch is the architecture by its Debian name; "" is this machine's.
	Arch string

	// Sources names the archive in the language of apt: the text of a
	// sources.list or of a deb822 .sources file. "" means what the machine's own
	// apt uses. The suite in it need not be the one wanted: the others of
	// the same archive are derived from it.
	Sources string

	// AptDir is the machine's apt configuration, "" = /etc/apt. Besides the
	// sources, the keyrings, proxies and credentials in it are honoured.
	AptDir string

	// Tarball is a file system to use in place of packages: a tar archive, plain
	// or compressed with gzip, xz or zstd, of a root with a Python that is ready
	// to use. Nothing else in Options counts then but Dir and Python.
	Tarball string

	// Keyrings are OpenPGP keyring files that sign the archive, for entries of
	// Sources without Signed-By. None means the machine's own: those that apt
	// trusts and the distributions' keyring packages.
	Keyrings []string

	// Refresh resolves anew although the base is locked.
	Refresh bool

	// Client downloads; nil is a client that uses the proxy variables, apt's
	// proxy settings and the system's certificates.
	Client *http.Client

	// Now is the time against which release files are checked for staleness;
	// nil is the system's clock.
	Now func() time.Time
}

// The names under which gx's configuration holds Options.Sources and
// Options.Tarball. Errors name them to users whose machine has no archive.
const (
	SettingSources = "images.debian_sources"
	SettingTarball = "images.debian_tarball"
)

// Base is a bootstrapped base: a layer of unpacked packages and the script
// that finishes it.
type Base struct {
	// LayoutDir is an OCI image layout with a single image, whose layer is
	// compressed with zstd. It stays valid until Clean removes it.
	LayoutDir string
	// Digest is the digest of the image's manifest: "sha256:…". The same
	// packages give the same digest on every machine.
	Digest string
	// Configure is the second stage; "" if the base is complete as it is, being
	// made of Options.Tarball. It is a script for /bin/sh -c. It runs as root in
	// the image with /proc and /dev and without network, in about 7 seconds, and
	// is deterministic but for time stamps. It refers to the archive's address,
	// so two machines with different mirrors have different second stages.
	Configure string
	// Env is the environment of the finished image, as KEY=VALUE. It is already
	// in the layout's image config.
	Env []string

	Distribution  string // "debian" or "ubuntu"; "" of a tarball, as is Suite
	Suite         string // the release's code name: "bookworm"
	Python        string // "3.11"
	PythonPath    string // "/usr/bin/python3.11"
	PythonVersion string // the package's upstream version: "3.11.2"; of a tarball "3.11"
	Arch          string // Debian's name: "amd64"

	Packages []Package // what the layer is made of, by name; none of a tarball
	Key      string    // digest of Packages or of the tarball: 64 hex digits
	Size     int64     // bytes of the compressed layer
	Resolved time.Time // when Packages was resolved
	// Notes are what a user should know, in whole sentences: that an archive's
	// release file is past its date, that a lock could not be kept.
	Notes []string
}

// Package is one package of a base.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	URL     string `json:"url"`    // where it was found
	Size    int64  `json:"size"`   // bytes of the .deb
	SHA256  string `json:"sha256"` // hex digest of the .deb
}

// Version is a Python that a base could have.
type Version struct {
	Python       string // "3.11"
	Distribution string // "debian"
	Suite        string // "bookworm"
}

// Progress is one sign of life of Bootstrap. Phases come in the order of the
// constants; a phase that has nothing to do is left out.
type Progress struct {
	Phase   Phase
	Text    string // what is being done, for a user: "downloading 103 packages"
	Current int64  // bytes so far in this phase; 0 while unknown
	Total   int64  // bytes of this phase; 0 while unknown
}

// Phase is a part of Bootstrap's work.
type Phase string

// The phases of Bootstrap.
const (
	PhaseResolve  Phase = "resolve"  // release files and package indexes
	PhaseDownload Phase = "download" // packages
	PhaseUnpack   Phase = "unpack"   // packages into the layer
)
