package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Info tells whose log it is.
type Info struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Environment string    `json:"environment,omitempty"` // "" = the main one
	Created     time.Time `json:"created"`
}

// infoFile is what a log's Info is in.
const infoFile = "app.json"

// writeInfo says whose log is in a directory; what was said before is replaced
// as a whole. It is not flushed to the disk, as nothing of a log is: see mend.
func writeInfo(dir string, info Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, infoFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
	}
	return err
}

// readInfo tells whose log is in a directory.
func readInfo(dir string) (info Info, err error) {
	data, err := os.ReadFile(filepath.Join(dir, infoFile))
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err == nil && info.ID != filepath.Base(dir) {
		err = fmt.Errorf("it is that of %q", info.ID)
	}
	return info, err
}

// Move has the logs of an environment's apps, which have ended, be found under
// another name of it.
func (s *Store) Move(from, to string) error {
	all, err := s.List()
	if err != nil {
		return err
	}
	for _, info := range all {
		if info.Environment != from || s.Live(info.ID) {
			continue
		}
		info.Environment = to
		if failed := writeInfo(filepath.Join(s.dir, info.ID), info); failed != nil {
			err = errors.Join(err, fmt.Errorf("moving the log of %s: %w", info.ID, failed))
		}
	}
	return err
}

// mend sees to logs of which it is not known whose they are, because a host or
// its machine ended as they were begun: those that have lines are found by their
// ids, and the others removed. Nobody writes yet.
func (s *Store) mend() error {
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("reading the log store: %w", err)
	}
	for _, d := range dirs {
		dir := filepath.Join(s.dir, d.Name())
		if _, err := readInfo(dir); err == nil || !d.IsDir() || !validID(d.Name()) {
			continue
		}
		l, err := s.open(Info{ID: d.Name()})
		switch {
		case err != nil:
		case len(l.segments) == 0:
			err = os.RemoveAll(dir)
		default:
			info := l.info
			info.Created = time.Unix(0, l.segments[0].blocks[0].time)
			err = writeInfo(dir, info)
		}
		if err != nil {
			return fmt.Errorf("mending the log of %s: %w", d.Name(), err)
		}
	}
	return nil
}
