package debian

import (
	"context"
	"errors"
)

// Bootstrap makes the base that opts describe, or finds it. Progress is called
// from one goroutine at a time and may be nil. Two calls for the same base at
// once, also in different processes, do the work once. It can be cancelled at
// any point and continues later where it stopped.
//
// A Python that the archive doesn't have is a *VersionError; a machine on which
// no archive is named is a *NoArchiveError; an archive that can't be reached
// is an *UnreachableError.
func Bootstrap(ctx context.Context, opts Options, progress func(Progress)) (Base, error) {
	return Base{}, errors.New("not yet")
}

// Available lists the Pythons for which the archive has a suite, oldest first.
// It asks the archive for each suite's release file.
func Available(ctx context.Context, opts Options) ([]Version, error) {
	return nil, errors.New("not yet")
}

// Clean deletes what Bootstrap left in dir and can make again: downloads, and
// with all also the finished layouts. Locks stay, so that a base that is made
// again is the same one. A base that is being made is left alone. It returns
// how many bytes were freed.
func Clean(dir string, all bool) (int64, error) {
	return 0, errors.New("not yet")
}
