// Package sdk carries the Python SDK inside the gx binary, and starts a user's
// Python with it.
//
// # Control protocol
//
// gx and the Python that it starts (or that starts `gx session`, when a user
// types `python app.py`) talk over a unix socket pair, one JSON object per
// line, in the order below. File descriptors come with the line that announces
// them.
//
//	python to gx   {"start": Start}            the file is imported; run these functions
//	gx to python   {"started": Started} + fd   fd speaks package wire's frames with the host
//	           or  {"failed": Failure}         it was told to the user already
//	python to gx   {"connect": {}}             no app of its own: calls functions of others
//	gx to python   {"started": Started} + fd   Started is empty; or {"failed": Failure}
//	python to gx   {"deploy": Deploy}          make this a version of a deployed app
//	gx to python   {"deployed": Deployed}      or {"failed": Failure}
//	python to gx   {"sync": 41}                print log lines up to this one
//	gx to python   {"synced": 41}              they are printed
//	python to gx   {"exception": Exception}    the user's code raised; gx prints it
//	python to gx   {"stop": {}}                the app's block has ended
//	gx to python   {"stopped": {}}
//	python to gx   {"exit": Exit}              the last line
//
// A Python that collects apps for `gx serve` is told what to do:
//
//	gx to python   {"prepare": Prepare}        import these meanwhile
//	gx to python   {"collect": Collect}        import this file; now
//	python to gx   {"collected": Collected}    the last line
//
// Closing the socket ends the app as {"stop": {}} does.
package sdk

import "github.com/gx-dev/gx/app"

// FromPython is one line from Python to gx. One field is set.
type FromPython struct {
	Start     *Start     `json:"start,omitempty"`
	Connect   *struct{}  `json:"connect,omitempty"`
	Deploy    *Deploy    `json:"deploy,omitempty"`
	Sync      uint64     `json:"sync,omitempty"`
	Exception *Exception `json:"exception,omitempty"`
	Warning   string     `json:"warning,omitempty"` // said once: an older name, a parameter without effect
	Stop      *struct{}  `json:"stop,omitempty"`
	Exit      *Exit      `json:"exit,omitempty"`
	Collected *Collected `json:"collected,omitempty"`
}

// ToPython is one line from gx to Python. One field is set.
type ToPython struct {
	Started  *Started  `json:"started,omitempty"`
	Failed   *Failure  `json:"failed,omitempty"`
	Deployed *Deployed `json:"deployed,omitempty"`
	Synced   uint64    `json:"synced,omitempty"`
	Stopped  *struct{} `json:"stopped,omitempty"`
	Prepare  *Prepare  `json:"prepare,omitempty"`
	Collect  *Collect  `json:"collect,omitempty"`
}

// Deploy asks for a version of a deployed app.
type Deploy struct {
	Manifest app.Manifest `json:"manifest"` // files by their local paths
	Output   bool         `json:"output"`   // show progress
	Tag      string       `json:"tag,omitempty"`
	Strategy string       `json:"strategy,omitempty"` // "rolling" or "recreate"
}

// Deployed tells of the version.
type Deployed struct {
	App       string            `json:"app"` // id
	Version   int               `json:"version"`
	Functions map[string]string `json:"functions"` // name to id
}

// Start asks for an app.
type Start struct {
	Manifest app.Manifest `json:"manifest"` // files by their local paths
	Output   bool         `json:"output"`   // show progress and logs (`gx run`; enable_output())
	Detach   bool         `json:"detach,omitempty"`
	// Used are the names of functions that the run can reach, for building only
	// their images first; empty = all.
	Used []string `json:"used,omitempty"`
}

// Started tells the ids.
type Started struct {
	App       string            `json:"app"`
	Functions map[string]string `json:"functions"` // name to id
}

// Failure is why an app could not be started.
type Failure struct {
	Kind    string `json:"kind"` // exception name under gx.exception: "ImageBuildError", ...
	Message string `json:"message"`
	Shown   bool   `json:"shown"` // gx printed it: do not print it again
	Exit    int    `json:"exit"`  // exit code to end with
}

// Exception is an exception of the user's code, or a mistake in how gx was
// called (Kind "usage", "import", "syntax", "no_app", "many_apps", ...).
type Exception struct {
	Kind      string `json:"kind"` // "user" = raised while running; else as above
	Type      string `json:"type,omitempty"`
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"` // gx's own frames left out; remote frames included
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Source    string `json:"source,omitempty"` // text of that line
	Hint      string `json:"hint,omitempty"`   // what to do
}

// Exit is how Python ends.
type Exit struct {
	Code   int    `json:"code"`
	Result string `json:"result,omitempty"` // repr of the return value of `gx run FILE::function`
}

// Prepare names what to do before it is known when to collect.
type Prepare struct {
	Modules []string `json:"modules"` // to import, none of the user's own
	Files   []string `json:"files"`   // to read, as far as the shape of the user's own Python files goes
}

// Collect asks for the apps of a file.
type Collect struct {
	Reference string `json:"reference"` // FILE[::APP]
	Module    bool   `json:"module"`    // FILE is a module's name
}

// Collected is what a file declares, and what that was read from.
type Collected struct {
	Apps      []CollectedApp `json:"apps"`
	Exception *Exception     `json:"exception"` // why there are none
	// Files were read, or looked for in vain; files that mounts and images name
	// are not among them. Trees are folders whose files were listed.
	Files   []string `json:"files"`
	Trees   []string `json:"trees"`
	Modules []string `json:"modules"` // imported ones that are not the user's own
}

// CollectedApp is one app of a file.
type CollectedApp struct {
	Variable string       `json:"variable"` // of the file's, that holds it
	Manifest app.Manifest `json:"manifest"` // files by their local paths
}
