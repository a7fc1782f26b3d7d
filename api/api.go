// Package api is the host API as data: paths and the JSON that they exchange.
// The server (package remote), the client (package remote/client) and what a
// host does (package engine) are all written against it. Single requests are HTTP; streams are WebSocket, one
// JSON object per text message.
//
//	GET    /v1/version                    Host: what a host is; costs nothing, and keeps an idle host up
//	GET    /v1/status                     Status: what it does; walks over its store
//	POST   /v1/stop                       StopRequest; 409 while busy unless Force
//	GET    /v1/hostlog?follow=1&tail=N    WebSocket of HostLogLine
//	POST   /v1/blobs/missing              MissingRequest -> MissingReply
//	PUT    /v1/blobs/{sha256}             the content; 201
//	POST   /v1/blobs                      many small contents (AppendContent); 201
//	GET    /v1/build                      WebSocket: BuildRequest, then BuildMessage until one has Image or Error
//	GET    /v1/session                    WebSocket: SessionRequest, then SessionMessage; closing it ends the app
//	GET    /v1/apps                       []App
//	DELETE /v1/apps/{id}                  stop
//	POST   /v1/apps/{id}/update           UpdateRequest -> Updated: the app goes on with newer code
//	GET    /v1/apps/{id}/usage            []Usage: the bill of a running app until now
//	GET    /v1/apps/{id}/attach           frames of package wire: "Upgrade: gx-frames" for the bare
//	                                      stream (unix socket: passes descriptors), or WebSocket (binary
//	                                      messages, a stream cut anywhere)
//	GET    /v1/attach                     the same for a client of no app, which calls functions of others
//	GET    /v1/apps/{id}/logs?follow=1    WebSocket of LogMessage (LogQuery; id or name of an app, id of a container or call)
//	GET    /v1/logs?app=NAME              []LogInfo: whose logs are kept, the newest first
//	GET    /v1/containers                 []Container
//	GET    /v1/top                        Top: what the host is doing now
//	DELETE /v1/containers/{id}?now=1      ends one; what it was at is given to another
//	GET    /v1/containers/{id}/exec       WebSocket: a command in a container (ExecRequest)
//	GET    /v1/apps/{id}/shell?function=F WebSocket: a command in a container of its own, made like those of a function
//	GET    /v1/why/{ref}                  Why: why a call, input, container or function waits, was slow, failed
//	POST   /v1/dashboard                  DashboardReply: where the dashboard is, and a way in
//	GET    /v1/images                     build.Usage
//	POST   /v1/images/prune               PruneRequest -> build.Usage
//
// An error is any status of 400 and more with an Error as body.
package api

import (
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/gpu"
)

// Version is the API's version, the first element of every path.
const Version = "v1"

// FramesProtocol is what a client asks to upgrade to for bare frames.
const FramesProtocol = "gx-frames"

// Host is what a host is, as opposed to what it does.
type Host struct {
	Pid        int      `json:"pid"`
	Version    string   `json:"version"`
	Build      string   `json:"build"`   // identity of the binary: two builds of one version differ
	Runtime    string   `json:"runtime"` // "runc", "process"
	Unisolated []string `json:"unisolated,omitempty"`
	Ending     bool     `json:"ending,omitempty"` // it refuses everything else with code "ending"
}

// Error is what went wrong, for a person, and a code for programs.
type Error struct {
	Code    string `json:"code"` // "not_found", "busy", "invalid", "ending", "internal", ...
	Message string `json:"message"`
	// Step is set when an image's step failed.
	Step *StepFailure `json:"step,omitempty"`
	// Raised is set when the user's code could not be loaded.
	Raised *Raised `json:"raised,omitempty"`
}

// Raised is what the user's code raised when it was loaded in a container.
type Raised struct {
	Function  string `json:"function"`
	Type      string `json:"type"` // "SyntaxError"
	Message   string `json:"message"`
	Traceback string `json:"traceback,omitempty"`
	File      string `json:"file,omitempty"` // in the container: "/root/app.py"
	Line      int    `json:"line,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// StepFailure is the image step that failed.
type StepFailure struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Code  int    `json:"code,omitempty"` // exit status of the command
	Log   string `json:"log,omitempty"`  // the end of what it printed
}

// Status is a host's state.
type Status struct {
	Pid        int       `json:"pid"`
	Version    string    `json:"version"`
	Build      string    `json:"build"`   // identity of the binary: two builds of one version differ
	Address    string    `json:"address"` // "unix:///run/user/1000/gx/host.sock"
	Started    time.Time `json:"started"`
	Uptime     float64   `json:"uptime"`  // seconds
	Runtime    string    `json:"runtime"` // "runc", "process"
	Unisolated []string  `json:"unisolated,omitempty"`
	Engine     string    `json:"engine"` // "buildkit", "venv"
	StateDir   string    `json:"state_dir"`
	LogFile    string    `json:"log_file"`
	Disk       Disk      `json:"disk"`
	Apps       int       `json:"apps"`
	Containers int       `json:"containers"`
	Idle       float64   `json:"idle"` // seconds since anything was going on; 0 = busy
}

// Disk is what a host's state occupies, in bytes.
type Disk struct {
	Images int64 `json:"images"`
	Blobs  int64 `json:"blobs"`
	Logs   int64 `json:"logs"`
	// Journals are results of maps, for runs that go on where others were cut off.
	Journals int64 `json:"journals"`
	Budget   int64 `json:"budget"` // for all of it
	Free     int64 `json:"free"`   // on the file system
}

// StopRequest asks a host to end.
type StopRequest struct {
	Force bool `json:"force"` // also while apps are running
}

// HostLogLine is one line of the host's own log.
type HostLogLine struct {
	Text string `json:"text"`
}

// MissingRequest asks which contents a host lacks; at most 100,000 at once.
type MissingRequest struct {
	SHA256 []string `json:"sha256"`
}

// MissingReply lists those it lacks.
type MissingReply struct {
	Missing []string `json:"missing"`
}

// BuildRequest is one image to build. Contents of its files are uploaded before.
type BuildRequest struct {
	Image       app.Image `json:"image"`
	Python      string    `json:"python"`
	Environment string    `json:"environment,omitempty"` // of secrets that its steps name; "" = the main one
}

// BuildMessage is what a host says while it builds.
type BuildMessage struct {
	Event *build.Event `json:"event,omitempty"`
	Image string       `json:"image,omitempty"` // id; the build is done
	Notes []string     `json:"notes,omitempty"` // with Image: what the engine could not honour
	Error *Error       `json:"error,omitempty"` // the build failed
}

// SessionRequest starts an app that lives as long as the session.
type SessionRequest struct {
	Manifest app.Manifest `json:"manifest"` // with hashes in place of local paths
	Images   []string     `json:"images"`   // ids, in the order of Manifest.Images
	Detach   bool         `json:"detach"`   // the app outlives the session
	Resume   bool         `json:"resume"`   // results of maps that an earlier run has made are taken from there
	// Faults are what is to go wrong, as package fault reads it: "oom@call=3";
	// FaultSeed decides when those happen that have a probability.
	Faults    []string `json:"faults,omitempty"`
	FaultSeed uint64   `json:"fault_seed,omitempty"`
}

// UpdateRequest replaces what an app runs by a newer manifest of it. Images are
// built, and contents of files uploaded, as for a SessionRequest.
type UpdateRequest struct {
	Manifest app.Manifest `json:"manifest"`          // with hashes in place of local paths
	Images   []string     `json:"images"`            // ids, in the order of Manifest.Images
	Restart  bool         `json:"restart,omitempty"` // containers are replaced, whatever differs
}

// Kinds of updates: the most that any function of the app needed.
const (
	UpdateNone       = "none"       // nothing differs
	UpdateCode       = "code"       // code was exchanged in containers that went on
	UpdateContainers = "containers" // containers were replaced, one by one
	UpdateImage      = "image"      // containers were replaced by some of another image
)

// Updated tells how an app was updated. New calls get the new code from now on.
type Updated struct {
	Version int    `json:"version"` // counts up from 1, the app as it was started
	Kind    string `json:"kind"`
	// Why says why containers were replaced although only code has changed.
	Why string `json:"why,omitempty"`
	// Took is seconds from the request's arrival until the new code was live.
	Took float64 `json:"took"`
	// Functions are the ids of the app's functions now, by name.
	Functions map[string]string `json:"functions"`
	// Web are the URLs of the app's web endpoints now, as in Started.
	Web map[string]string `json:"web,omitempty"`
}

// SessionMessage is what a host says during a session. One field is set.
type SessionMessage struct {
	Started   *Started        `json:"started,omitempty"` // always the first
	Log       *LogLine        `json:"log,omitempty"`
	Container *ContainerEvent `json:"container,omitempty"`
	Waiting   *Waiting        `json:"waiting,omitempty"`
	Stopped   *Stopped        `json:"stopped,omitempty"` // always the last
	Error     *Error          `json:"error,omitempty"`
}

// SessionCommand is what a client may say during a session.
type SessionCommand struct {
	Stop bool `json:"stop,omitempty"` // end the app within its grace period
	Now  bool `json:"now,omitempty"`  // end it at once
}

// Started tells the ids of a started app.
type Started struct {
	App       string            `json:"app"`       // "ap-..."
	Functions map[string]string `json:"functions"` // name to "fu-..."
	// Web are the addresses of web endpoints: function, or "Class.method", to URL.
	Web map[string]string `json:"web,omitempty"`
}

// LogLine is one line of output of a container, without its newline.
type LogLine struct {
	Seq       uint64    `json:"seq"` // counts up within an app, without gaps
	Time      time.Time `json:"time"`
	App       string    `json:"app"`               // id
	Function  string    `json:"function"`          // name
	Container string    `json:"container"`         // id
	Call      string    `json:"call,omitempty"`    // id "fc-...", where the line belongs to one call
	Input     uint32    `json:"input,omitempty"`   // index within Call
	Stream    string    `json:"stream"`            // "stdout", "stderr" or "system" (gx's own words)
	Text      string    `json:"text"`              // valid UTF-8; other bytes as \xNN
	Partial   bool      `json:"partial,omitempty"` // the line goes on in the next one: it was too long, or unfinished for a while
}

// ContainerEvent tells of a container's life.
type ContainerEvent struct {
	ID       string    `json:"id"`
	Function string    `json:"function"` // name
	State    string    `json:"state"`    // "starting", "ready", "stopping", "ended"
	Time     time.Time `json:"time"`
	GPU      string    `json:"gpu,omitempty"`    // the card, and whether it is emulated
	Took     float64   `json:"took,omitempty"`   // seconds, of "ready": from start
	Reason   string    `json:"reason,omitempty"` // of "ended": when it was not asked to
}

// Waiting tells that inputs wait for something that is short.
type Waiting struct {
	Function string `json:"function"`
	Inputs   int    `json:"inputs"`
	For      string `json:"for"` // "an A100-80GB: 1 of 1 in use"
}

// Stopped is an app's bill.
type Stopped struct {
	Reason string  `json:"reason,omitempty"`
	Took   float64 `json:"took"` // seconds from Started
	Usage  []Usage `json:"usage"`
	// Estimates are of functions whose containers counted what they computed.
	Estimates []Estimate `json:"estimates,omitempty"`
	// Kept results of maps are there for a run that resumes; those Recalled were
	// there for this one.
	Kept     int64 `json:"kept,omitempty"`
	Recalled int64 `json:"recalled,omitempty"`
}

// Estimate is what a function's work on its cards would have taken on those of
// the catalogue, the best first.
type Estimate struct {
	Function   string         `json:"function"`
	Operations float64        `json:"operations"` // kernels
	FLOPs      float64        `json:"flops"`
	Bytes      float64        `json:"bytes"` // of the cards' memory, read and written
	Peak       int64          `json:"peak"`  // bytes of one card's memory
	Cards      []gpu.Estimate `json:"cards"`
	Prices     string         `json:"prices"` // their source and date
}

// Usage is what one function used.
type Usage struct {
	Function   string  `json:"function"`
	Containers int     `json:"containers"`
	Inputs     int64   `json:"inputs"`
	Failed     int64   `json:"failed"`
	Seconds    float64 `json:"seconds"` // container seconds
	GPU        string  `json:"gpu,omitempty"`
	GPUs       int     `json:"gpus,omitempty"`
	Emulated   bool    `json:"emulated,omitempty"`
	Cost       float64 `json:"cost"` // US dollars, as the price table of package gpu says
}

// App is an app on a host.
type App struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Environment string `json:"environment"`
	// State is "running", "stopping"; of a deployed app also "deployed",
	// "stopped", or "failed": the host could not start it again.
	State      string    `json:"state"`
	Created    time.Time `json:"created"`
	Functions  []string  `json:"functions"`
	Containers int       `json:"containers"`
	// Version is the number of the current one, of a deployed app; 0 = it ends
	// with its session.
	Version  int       `json:"version,omitempty"`
	Tag      string    `json:"tag,omitempty"`     // of the version
	Deployed time.Time `json:"deployed,omitzero"` // when that was made
	Error    string    `json:"error,omitempty"`   // why it failed
}

// Container is a container on a host.
type Container struct {
	ID       string    `json:"id"`
	App      string    `json:"app"`
	AppName  string    `json:"app_name"` // "app@2" if it runs a version that is not the current one
	Function string    `json:"function"`
	State    string    `json:"state"`
	Started  time.Time `json:"started"`
	Running  int       `json:"running"` // inputs being worked on
	Memory   int64     `json:"memory"`  // bytes
	CPU      float64   `json:"cpu"`     // seconds
	// GPU is the model of the container's cards, as requests spell it, and GPUs
	// how many it has; GPUMemory and GPUUsed are bytes of them together.
	GPU       string  `json:"gpu,omitempty"`
	GPUs      int     `json:"gpus,omitempty"`
	GPUMemory int64   `json:"gpu_memory,omitempty"`
	GPUUsed   int64   `json:"gpu_used,omitempty"`
	GPULoad   float64 `json:"gpu_load,omitempty"` // percent, the cards' mean
	Emulated  bool    `json:"emulated,omitempty"` // the cards are
}

// ImageStep is a step of an image as it was carried out last.
type ImageStep struct {
	Name  string    `json:"name"`
	Time  time.Time `json:"time,omitzero"` // when that began; zero = nothing is kept of it
	Took  float64   `json:"took"`          // seconds
	Log   string    `json:"log"`           // what it printed, or the end of it
	Error string    `json:"error,omitempty"`
}

// GPUs is what a host has of GPUs.
type GPUs struct {
	Provider string         `json:"provider"` // "emulator", "nvml"; "" = the host has no cards
	Emulated bool           `json:"emulated"`
	Stock    map[string]int `json:"stock"` // by model; null = as many as are asked for
	Cards    []GPU          `json:"cards"` // those that are counted, or granted
	Waiting  []Waiting      `json:"waiting,omitempty"`
}

// GPU is one card.
type GPU struct {
	UUID   string  `json:"uuid"`
	Card   string  `json:"card"`   // the model, as requests spell it
	Device string  `json:"device"` // what it calls itself
	Memory int64   `json:"memory"` // bytes
	Used   int64   `json:"used"`   // bytes
	Load   int     `json:"load"`   // percent
	Heat   int     `json:"heat"`   // °C
	Power  float64 `json:"power"`  // W
	Lost   bool    `json:"lost,omitempty"`
	// Who has it; empty = nobody.
	Container string `json:"container,omitempty"`
	AppName   string `json:"app_name,omitempty"`
	Function  string `json:"function,omitempty"`
}

// PruneRequest says how much to keep.
type PruneRequest struct {
	Keep int64 `json:"keep"` // bytes
	All  bool  `json:"all"`  // also caches
}
