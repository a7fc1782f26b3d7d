package watch

import "time"

const (
	// gap is how long a file that has gone, or is empty, is given to come back:
	// it is about to be written.
	gap = 40 * time.Millisecond
	// patience is how long changes of files at rest wait for those of others.
	patience = time.Second
	// lockPatience is how long a lock is believed; it may have been left behind.
	lockPatience = 5 * time.Second
	// lockLook is how often a lock is looked for.
	lockLook = 10 * time.Millisecond
)

// burst is what was told since the last look. It does not look itself, and has
// no clock: the loop gives it both.
type burst struct {
	quiet  time.Duration
	began  time.Time // zero = nothing was told
	all    time.Time // when something was told for which all files are looked at; zero = never
	files  map[string]touch
	locked bool
}

// touch is the last that was told of a file.
type touch struct {
	at   time.Time
	size int64 // -1 = it is not there
}

// told notes that something was told of a file that has a size now.
func (b *burst) told(path string, size int64, now time.Time) {
	b.start(now)
	b.files[path] = touch{at: now, size: size}
}

// differs notes that a file was found changed, which may be known already.
func (b *burst) differs(path string, size int64, now time.Time) {
	if t, ok := b.files[path]; !ok || t.size != size {
		b.told(path, size, now)
	}
}

// everything notes that something was told of what is not one known file.
func (b *burst) everything(now time.Time) {
	b.start(now)
	b.all = now
}

func (b *burst) start(now time.Time) {
	if b.began.IsZero() {
		b.began = now
		if b.files == nil {
			b.files = map[string]touch{}
		}
	}
}

// look is what is to be looked at.
type look struct {
	files []string
	all   bool
}

// rest takes out what is at rest. With wait > 0 there is more, for which to ask
// again after that time.
func (b *burst) rest(now time.Time, size func(path string) int64, locked func() bool) (l look, wait time.Duration) {
	if b.began.IsZero() {
		return look{}, 0
	}
	if now.Sub(b.began) < lockPatience && locked() {
		b.locked = true
		return look{}, lockLook
	}
	if b.locked { // what has held it was just over, and not all of it may have been told of yet
		b.locked, b.began, b.all = false, now, now
	}
	var files []string
	for path, t := range b.files {
		if s := size(path); s != t.size {
			t = touch{at: now, size: s}
			b.files[path] = t
		}
		need := b.quiet
		if t.size <= 0 {
			need = max(need, gap)
		}
		if left := need - now.Sub(t.at); left > 0 {
			wait = max(wait, left)
			continue
		}
		files = append(files, path)
	}
	if left := b.quiet - now.Sub(b.all); !b.all.IsZero() && left > 0 {
		wait = max(wait, left)
	}
	if wait > 0 && now.Sub(b.began) < patience {
		return look{}, wait
	}
	l = look{files: files, all: !b.all.IsZero()}
	for _, path := range files {
		delete(b.files, path)
	}
	b.all, b.began = time.Time{}, time.Time{}
	if len(b.files) > 0 {
		b.began = now
	}
	return l, wait
}
