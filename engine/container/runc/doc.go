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
// # Forks
//
// A Runtime is a container.Forker. A template is a container whose program has
// loaded what many have in common and waits; a container that is forked from it
// is a child of that process, moved into namespaces, control groups and a file
// system of its own (berth), and held to the same conformance suite as one that
// an OCI runtime started. What is different in it: /proc as a whole is
// read-only, which also means its own entries there; its address-space layout is
// its template's; it ends when its template does; memory that was loaded before
// the fork counts as the template's.
//
// The process moves itself, which takes capabilities, so a template has a user
// namespace of its own, two capabilities in there, and a seccomp filter that
// allows no mount that could show a writable /proc or /sys (see
// templateCapabilities); the code that it has loaded could use those. What a
// forked process gives up before it goes on leaves it the profile and the
// capabilities (none) of any other container. Namespaces are the boundary
// between containers of one template; against the host, the template's own
// isolation is. So containers that do not trust each other must not share one.
//
// Before a program is forked it has to make sure that it can be: that it has
// one thread, no connection, and so on (gx._runner.guards for Python).
//
// A limit on the writable layer (Spec.Disk) is kept by a watchdog that adds up
// the layer about once a second and kills the container, with Exit.Reason
// set: a fast writer overshoots, and deleted files that are still open are
// not seen.
package runc
