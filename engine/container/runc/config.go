package runc

import "log/slog"

// ReaperCommand is the first argument with which a Runtime re-executes the
// program to get its cell's first process.
const ReaperCommand = "container-reaper"

// Config says where a Runtime keeps its things.
type Config struct {
	// Dir holds the containers' writable layers. It belongs to one live
	// Runtime at a time (the caller locks it), and everything in it may be
	// deleted. If it lies on a file system that can't carry an overlay (an
	// overlay itself, as inside another container), layers are kept in memory.
	Dir string
	// RunDir holds what a running container needs, for a moment its
	// environment too; best on a tmpfs. "" = Dir/run.
	RunDir string
	// Binary is the OCI runtime; "" = crun if it is there and works, else runc.
	Binary string
	// Reaper is the command line that ends up in RunReaper;
	// nil = this program with ReaperCommand.
	Reaper []string
	// Log gets what went wrong in the background; nil = nowhere.
	Log *slog.Logger
}
