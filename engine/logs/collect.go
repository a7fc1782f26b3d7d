package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Collect removes lines that are too old, and of the logs of apps that have
// ended those that were written to the longest ago until no more than keep bytes
// are left (0 = the store's own limit). It returns how many bytes it freed.
func (s *Store) Collect(keep int64) (freed int64, err error) {
	if keep <= 0 {
		keep = s.opt.MaxBytes
	}
	all, err := s.List()
	if err != nil {
		return 0, err
	}
	var since time.Time // what is older goes
	if s.opt.MaxAge > 0 {
		since = s.opt.Clock.Now().Add(-s.opt.MaxAge)
	}
	// A log may have been begun long ago, and gone on with since.
	type past struct {
		id     string
		size   int64
		latest time.Time
	}
	var ended []past
	for _, info := range all {
		if l := s.written(info.ID); l != nil {
			freed += l.expire(since)
			continue
		}
		size, latest := s.size(info)
		ended = append(ended, past{info.ID, size, latest})
	}
	slices.SortStableFunc(ended, func(a, b past) int { return b.latest.Compare(a.latest) })
	var sum int64
	for _, p := range ended { // the newest first: what fits stays
		if !p.latest.Before(since) && sum+p.size <= keep {
			sum += p.size
			continue
		}
		gone, rerr := s.remove(p.id)
		if rerr != nil {
			err = errors.Join(err, fmt.Errorf("removing the log of %s: %w", p.id, rerr))
		}
		if gone {
			freed += p.size
		}
	}
	return freed, err
}

// remove deletes the log of an app that has ended, unless the app has been
// started again.
func (s *Store) remove(id string) (gone bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[id] != nil {
		return false, nil
	}
	err = os.RemoveAll(filepath.Join(s.dir, id))
	return err == nil, err
}

// size is what the log of an app that has ended occupies, and when it was last
// written to.
func (s *Store) size(info Info) (sum int64, latest time.Time) {
	dir, latest := filepath.Join(s.dir, info.ID), info.Created
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, latest
	}
	for _, f := range files { // the last segment comes last
		info, err := f.Info()
		if err != nil {
			continue
		}
		sum += info.Size()
		number, is := strings.CutSuffix(f.Name(), segmentSuffix)
		if first, err := strconv.ParseUint(number, 10, 64); is && err == nil {
			latest = info.ModTime()
			if seg, ok := loadIndex(dir, first, info.Size()); ok {
				latest = time.Unix(0, seg.latest)
			}
		}
	}
	return sum, latest
}
