package api

import (
	"time"

	"github.com/gx-dev/gx/app"
)

// Deployed apps. REF is an app's id, or its name, before which is that of its
// environment if that is not the main one: "dev/app".
//
//	POST /v1/deployments                     DeployRequest -> Deployed
//	GET  /v1/deployments/{ref}               Deployment: its versions, and what was done with it
//	DELETE /v1/deployments/{ref}             forget it, once it is stopped
//	POST /v1/deployments/{ref}/rollback      RollbackRequest -> Deployed
//	POST /v1/deployments/{ref}/rollover      RolloverRequest -> Deployed
//	GET  /v1/deployments/{ref}/diff?from=&to=    Diff; without to, the current version
//	POST /v1/apps/{id}/deploy                DeployServedRequest -> Deployed: what a running app is now
//
// DELETE /v1/apps/{ref} stops a deployed app as any other; its versions stay.
// A deployed app is among GET /v1/apps, also while it is stopped.

// Strategies of going on to another version.
const (
	// Rolling: containers of the new version are ready before the old ones end.
	Rolling = "rolling"
	// Recreate: the old ones end before there are new ones; what comes waits.
	Recreate = "recreate"
)

// CheckRequest asks whether the host has what functions name: the environment,
// secrets, volumes and cards.
type CheckRequest struct {
	Environment string         `json:"environment,omitempty"`
	Functions   []app.Function `json:"functions"`
	// Volumes are those of the images' steps, by which some may be made.
	Volumes []app.VolumeMount `json:"volumes,omitempty"`
}

// DeployRequest makes a new version of an app, or its first one. Images are
// built, and contents of files uploaded, as for a SessionRequest.
type DeployRequest struct {
	Manifest app.Manifest `json:"manifest"` // with hashes in place of local paths; its name is the app's
	Images   []string     `json:"images"`   // ids, in the order of Manifest.Images
	Tag      string       `json:"tag,omitempty"`
	Strategy string       `json:"strategy,omitempty"` // "" = Rolling
	Who      string       `json:"who,omitempty"`      // who asks, for the history
}

// DeployServedRequest makes a version of what a running app is: the same
// images and files.
type DeployServedRequest struct {
	Name     string `json:"name,omitempty"` // "" = the app's own
	Tag      string `json:"tag,omitempty"`
	Strategy string `json:"strategy,omitempty"`
	Who      string `json:"who,omitempty"`
}

// RollbackRequest makes a new version that is as an earlier one.
type RollbackRequest struct {
	Version  int    `json:"version"` // 0 = the one before the current one
	Strategy string `json:"strategy,omitempty"`
	Who      string `json:"who,omitempty"`
}

// RolloverRequest makes a new version that is as the current one, with
// containers of its own.
type RolloverRequest struct {
	Strategy string `json:"strategy,omitempty"`
	Who      string `json:"who,omitempty"`
}

// Deployed tells of a version that was made: it is current, and new calls get
// it.
type Deployed struct {
	App         string `json:"app"` // id, which stays the same
	Name        string `json:"name"`
	Environment string `json:"environment"`
	Version     int    `json:"version"`
	Before      int    `json:"before,omitempty"` // the one that ran before; 0 = none
	Kind        string `json:"kind"`             // what the update needed, see Updated; "start" = none ran
	// Took is seconds from the request's arrival until the version was live.
	Took      float64           `json:"took"`
	Functions map[string]string `json:"functions"`     // name to id
	Web       map[string]string `json:"web,omitempty"` // addresses of web endpoints, as Started has them
	Changes   Diff              `json:"changes"`       // from Before, without the text of files
	// Notes are what a user has to know: functions that could not be tried.
	Notes []string `json:"notes,omitempty"`
}

// Deployment is a deployed app.
type Deployment struct {
	App         string       `json:"app"` // id
	Name        string       `json:"name"`
	Environment string       `json:"environment"`
	State       string       `json:"state"` // as App has it
	Error       string       `json:"error,omitempty"`
	Current     int          `json:"current"` // the newest version
	Versions    []AppVersion `json:"versions"`
	History     []AppAction  `json:"history"`
}

// AppVersion is one version of a deployed app.
type AppVersion struct {
	Number   int       `json:"number"`
	Created  time.Time `json:"created"`
	Who      string    `json:"who,omitempty"`
	Tag      string    `json:"tag,omitempty"`
	Strategy string    `json:"strategy"`
	Origin   string    `json:"origin"`          // "deploy", "serve", "rollback", "rollover"
	Of       int       `json:"of,omitempty"`    // the version that it repeats
	Source   string    `json:"source"`          // digest of its local files
	SDK      string    `json:"sdk,omitempty"`   //
	Kept     bool      `json:"kept"`            // one can go back to it
	State    string    `json:"state,omitempty"` // "current" of the one that runs
}

// AppAction is an entry of a deployed app's history.
type AppAction struct {
	Time    time.Time `json:"time"`
	What    string    `json:"what"`              // as AppVersion.Origin, or "stop"
	Version int       `json:"version,omitempty"` // that runs since
	Before  int       `json:"before,omitempty"`  // that ran before
	Who     string    `json:"who,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// Diff is what differs between two versions.
type Diff struct {
	From      int             `json:"from"`
	To        int             `json:"to"`
	Added     []string        `json:"added,omitempty"`   // functions
	Removed   []string        `json:"removed,omitempty"` // functions
	Settings  []SettingChange `json:"settings,omitempty"`
	Images    []ImageChange   `json:"images,omitempty"`
	Files     []FileChange    `json:"files,omitempty"`
	MoreFiles int             `json:"more_files,omitempty"` // that differ too
}

// Same reports whether nothing differs.
func (d Diff) Same() bool {
	return len(d.Added)+len(d.Removed)+len(d.Settings)+len(d.Images)+len(d.Files) == 0
}

// SettingChange is a setting of a function that differs. Values are JSON; "" =
// it is not set.
type SettingChange struct {
	Function string `json:"function"`
	Setting  string `json:"setting"` // as app.Function has it: "scaling.max"
	Before   string `json:"before"`
	After    string `json:"after"`
}

// ImageChange is a function's image that differs.
type ImageChange struct {
	Functions []string `json:"functions"`
	Before    string   `json:"before"` // id
	After     string   `json:"after"`
	Removed   []string `json:"removed,omitempty"` // steps, as a user reads them
	Added     []string `json:"added,omitempty"`
	// Rebuilt says that the recipe is the same, and was built anew.
	Rebuilt bool `json:"rebuilt,omitempty"`
}

// FileChange is a local file that differs.
type FileChange struct {
	Path   string `json:"path"`           // in the container
	Change string `json:"change"`         // "added", "removed", "changed"
	Text   string `json:"text,omitempty"` // unified diff, where it is text
}
