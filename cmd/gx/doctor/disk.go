package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/cmd/gx/ui"
)

const (
	tightDisk  = 5 << 30   // bytes free below which images may not fit
	brokenDisk = 500 << 20 // bytes free below which not even a base fits
)

// Disk checks that a folder can be written to and that its disk has room.
func Disk(dir string) Check {
	return one("disk", func(context.Context) Result {
		existing, err := nearest(dir)
		if err != nil {
			return Result{Level: Fail, Found: err.Error(), Mend: "set GX_STATE_DIR to a folder on a disk of your own"}
		}
		if err := unix.Access(existing, unix.W_OK); err != nil {
			return Result{Level: Fail, Found: fmt.Sprintf("%s can't be written to: %v", existing, err), Mend: "set GX_STATE_DIR to a folder of your own"}
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(existing, &fs); err != nil {
			return Result{Level: Fail, Found: fmt.Sprintf("%s can't be examined: %v", existing, err)}
		}
		free := int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // the types differ between systems
		found := fmt.Sprintf("%s free at %s", ui.Bytes(free), dir)
		switch {
		case free < brokenDisk:
			return Result{Level: Fail, Found: found, Mend: "gx image prune --all"}
		case free < tightDisk:
			return Result{Level: Warn, Found: found, Mend: "gx image prune"}
		default:
			return Result{Level: OK, Found: found}
		}
	})
}

// nearest is the folder, or the one above it that exists.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() {
			return dir, nil
		}
		if err == nil {
			return "", fmt.Errorf("%s is not a folder", dir)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", err
	}
}
