package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// logMax is the size at which the host's log is begun anew; one older file is
// kept beside it.
const logMax = 8 << 20

// logFile is the host's own log: a file that is rotated by size and followed
// by whoever wants to.
type logFile struct {
	path string

	mu      sync.Mutex
	file    *os.File
	size    int64
	grown   chan struct{} // closed and replaced by each write
	rotated int
	// standard are those of the process's standard streams that are this file,
	// as they are in the background: a panic's trace goes there.
	standard []int
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path, grown: make(chan struct{})}
	if err := l.open(); err != nil {
		return nil, err
	}
	info, err := l.file.Stat()
	if err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	for fd, stream := range map[int]*os.File{1: os.Stdout, 2: os.Stderr} {
		if there, err := stream.Stat(); err == nil && os.SameFile(info, there) {
			l.standard = append(l.standard, fd)
		}
	}
	return l, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the host's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// Write adds to the log.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(p)) > logMax {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	close(l.grown)
	l.grown = make(chan struct{})
	return n, err
}

func (l *logFile) rotate() error {
	if err := errors.Join(l.file.Close(), os.Rename(l.path, l.path+".1")); err != nil {
		return err
	}
	l.rotated++
	if err := l.open(); err != nil {
		return err
	}
	var errs []error
	for _, fd := range l.standard {
		errs = append(errs, replace(int(l.file.Fd()), fd))
	}
	return errors.Join(errs...)
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// read passes on the last lines, and then with follow what comes, until ctx
// ends.
func (l *logFile) read(ctx context.Context, follow bool, tail int, line func(string) error) error {
	l.mu.Lock() // against rotation between the two
	file, err := os.Open(l.path)
	rotated := l.rotated
	l.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := seekLines(file, tail); err != nil {
		return err
	}
	reader := bufio.NewReader(file)
	partial := ""
	for {
		l.mu.Lock()
		grown, now := l.grown, l.rotated
		l.mu.Unlock()
		for {
			text, err := reader.ReadString('\n')
			partial += text
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if err := line(strings.TrimSuffix(partial, "\n")); err != nil {
				return err
			}
			partial = ""
		}
		if !follow {
			return nil
		}
		if now != rotated {
			next, err := os.Open(l.path)
			if err != nil {
				return err
			}
			_ = file.Close()
			file, rotated = next, now
			reader.Reset(file)
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// seekLines goes to where the last n lines begin.
func seekLines(file *os.File, n int) error {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil || n <= 0 {
		return err
	}
	const block = 32 << 10
	buf := make([]byte, block)
	found := 0
	for at := end; at > 0; {
		size := min(block, at)
		at -= size
		if _, err := file.ReadAt(buf[:size], at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || at+i == end-1 {
				continue
			}
			if found++; found == n {
				_, err := file.Seek(at+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}
