// Package volume keeps a host's volumes: named trees of files with a history of
// versions. It knows environments and containers' mounts, and nothing of apps
// and functions.
//
// A version is a stack of immutable layers (package layer) and never changes.
// What a container writes goes into a writable layer of its own over the version
// that was the newest at its start; a commit turns what has changed there into
// one new layer on top of the version that is the newest now, so the last
// writer of a file wins, nobody loses what somebody else has put beside it, and
// the cost is that of the change. The newest version is a row in the host's
// database, written once its layers are on the disk: a kill at any moment leaves
// the last version whole, and a directory that no row refers to, which the next
// host removes.
//
// Long stacks are squashed in the background, by hard links. Old versions are
// kept by age, number and size (Keep), and layers as long as a version or a
// container has them.
package volume
