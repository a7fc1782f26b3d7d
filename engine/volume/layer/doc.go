// Package layer knows what a volume's content is made of: immutable layers, as
// overlayfs stacks them, read (Tree), made (Draft) and derived from what a
// container has written (Diff). It knows nothing of volumes and versions.
//
// A layer is a plain directory. What it has hides what the layers below have at
// the same path, directories are merged, and a character device 0/0 (a
// whiteout) says that a path is gone. A whiteout is only there where a layer
// below has something to hide, because overlayfs shows others. Nothing else of
// overlayfs' on-disk format is in a layer: a container's writable layer has
// opaque and redirected directories too, which Diff resolves, so that layers
// that were made independently of each other can be put on top of each other
// and nobody loses a file that the other has not seen.
//
// Files are shared between layers by hard links, and are never written once
// they are in one.
package layer
