// Package deployment keeps what was deployed: apps that outlive whoever has
// started them, each with its versions, which never change, and what was done
// with it. It knows which version is current and which are still kept whole;
// it runs nothing.
package deployment

import (
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// Limits of what is kept.
const (
	// DefaultKeep is how many versions of an app are kept whole where nothing
	// else is said.
	DefaultKeep = 20
	// maxVersions is how many are known at all, those that are not kept included.
	maxVersions = 1000
	// maxActions is how many entries an app's history has.
	maxActions = 1000
	// maxTag is how many bytes a version's tag has.
	maxTag = 100
)

// App is a deployed app.
type App struct {
	Key         int64 // in the database
	ID          string
	Environment string // its name
	Name        string
	Functions   map[string]string // ids of all functions that it ever had, by name
	Current     int               // number of the newest version
	Stopped     bool
	Created     time.Time // of the first version
}

// Version is one version of an app. It never changes.
type Version struct {
	Number   int
	Created  time.Time
	Who      string // who has made it
	Tag      string
	Strategy string // "rolling", "recreate"
	Origin   string // what has made it: "deploy", "serve", "rollback", "rollover"
	Of       int    // the version that it repeats; 0 = none
	Source   string // digest of the local files that it has
	SDK      string
	Kept     bool // Contents has the rest
}

// Contents is what a version is made of.
type Contents struct {
	Manifest app.Manifest // with hashes in place of local paths
	Images   []build.Kept // in the order of Manifest.Images
	Trees    []string     // layers of source
}

// Action is an entry of an app's history.
type Action struct {
	Time    time.Time
	What    string // "deploy", "serve", "rollback", "rollover", "stop"
	Version int    // that runs since; 0 = none
	Before  int    // that ran before; 0 = none
	Who     string
	Note    string
}

// Retention says which versions are kept whole, so that one can go back to
// them: the current one always.
type Retention struct {
	Versions int           // so many of the newest; 0 = DefaultKeep
	Age      time.Duration // none that is older; 0 = however old
}
