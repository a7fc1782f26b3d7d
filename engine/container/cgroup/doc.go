// Package cgroup reads, empties and removes control groups, whichever layout
// the machine has: version 1, version 2, or both at once ("hybrid"). It makes
// groups with limits for processes that no OCI runtime starts; for others that
// is left to the OCI runtime. The package knows nothing of containers.
package cgroup
