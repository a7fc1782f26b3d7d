// Package runc is the container.Runtime that isolates: it runs containers by
// the OCI runtime runc (or crun, where a probe shows that it works).
//
// # Who survives what
//
// All containers of one Runtime live in its cell: a pid namespace whose first
// process, the reaper, is a re-execution of this program, and a mount
// namespace that no process outside the cell is in. The kernel kills the
// reaper when the owner of the Runtime dies, whatever killed it, and kills
// every process of a pid namespace whose first process died. So no process, no
// mount and no network namespace of a container can outlive its owner, and
// there is no watcher that could be killed first. What a dead owner leaves is
// empty control groups, directories, and the bridge with its firewall table;
// the next New for the same directory removes the first two and reuses the
// last.
//
// The reaper is pid 1 for processes whose parent is gone. runc exits once a
// container runs, so a container's first process becomes the reaper's child,
// and the reaper tells the owner how it ended. Therefore the program that uses
// this package must call RunReaper when it finds ReaperCommand as its first
// argument.
//
// # What a container is
//
// A container has its own pid, mount, network, IPC and UTS namespaces, and its
// own view of the control groups; no capability, no_new_privs, containerd's
// seccomp profile for the machine's own architecture alone; limits for CPU,
// memory (no swap), processes; the usual masked and read-only paths of /proc
// and /sys. It has no user namespace yet: root in it is root without
// capabilities. Descriptors 1 and 2 are the caller's files themselves, nothing
// copies between them.
//
// A limit on the writable layer (Spec.Disk) is kept by a watchdog that adds up
// the layer about once a second and kills the container, with Exit.Reason
// set: a fast writer overshoots, and deleted files that are still open are
// not seen.
package runc
