package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/remote/client"
)

// uploadTries is how often files are hashed and uploaded that change while
// that is done.
const uploadTries = 3

// localFiles are the files of a manifest with their local paths, which the
// manifest itself loses.
type localFiles struct {
	files []*app.File // in the manifest
	paths []string
}

// filesOf takes the local paths out of a manifest.
func filesOf(m *app.Manifest) localFiles {
	var l localFiles
	add := func(files []app.File) {
		for i := range files {
			if f := &files[i]; !f.Dir {
				l.files = append(l.files, f)
				l.paths = append(l.paths, f.Local)
				f.Local = ""
			}
		}
	}
	for i := range m.Mounts {
		add(m.Mounts[i].Files)
	}
	for i := range m.Images {
		for j := range m.Images[i].Steps {
			add(m.Images[i].Steps[j].Files)
		}
	}
	return l
}

// hash writes content hashes into the manifest.
func (p Preparer) hash(ctx context.Context, l localFiles) error {
	sums, err := p.Hashes.Sums(ctx, l.paths)
	if err != nil {
		return fileTrouble(err)
	}
	for i, f := range l.files {
		f.SHA256, f.Size = sums[i].SHA256, sums[i].Size
		if f.Mode == 0 {
			f.Mode = uint32(sums[i].Mode)
		}
	}
	if err := p.Hashes.Save(); err != nil {
		p.UI.Warn(fmt.Sprintf("file hashes can't be remembered, so the next run reads all files again: %v", err))
	}
	return nil
}

// upload sends what the host lacks. Files that were changed since they were
// hashed are hashed again: an editor has saved one, or a program writes a log.
func (p Preparer) upload(ctx context.Context, host Host, l localFiles, progress *ui.Progress) error {
	open := func(f app.File) (io.ReadCloser, error) { return os.Open(f.Local) }
	for try := 1; ; try++ {
		local := make([]app.File, len(l.files))
		for i, f := range l.files {
			local[i] = *f
			local[i].Local = l.paths[i]
		}
		err := host.Upload(ctx, local, open, progress.Upload)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, client.ErrChanged) && try < uploadTries:
			if err := p.hash(ctx, l); err != nil {
				return err
			}
		case errors.Is(err, client.ErrChanged), errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
			return fileTrouble(err)
		default:
			return fmt.Errorf("uploading the app's files: %w", err)
		}
	}
}

// fileTrouble is about a file that the app names, or that is in a folder that
// it names.
func fileTrouble(err error) error {
	p := ui.Problem{What: fmt.Sprintf("a file that the app needs can't be read: %v", err)}
	switch {
	case errors.Is(err, client.ErrChanged):
		p.What = err.Error()
		p.Do = "it is being written to all the time: if the functions do not need it, leave it out with ignore=[...] or in .gxignore"
	case errors.Is(err, fs.ErrPermission):
		p.Do = "make it readable, or leave it out with ignore=[...] or in .gxignore"
	case errors.Is(err, fs.ErrNotExist):
		p.Do = "it has gone since the folder was listed: run it again"
	}
	return &Trouble{Kind: "InvalidError", Code: exit.Usage, Problem: p}
}
