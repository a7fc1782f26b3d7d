//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/logs/where"
	"github.com/gx-dev/gx/engine/output"
)

// The log that is written: lines of some 100 bytes, a tenth of them structured.
const (
	logLines = 1_000_000
	bigLog   = 10 // times as many, for reading: about a gigabyte and a half with what belongs to each line
)

// logText are lines as a container prints them.
func logText(n int) []byte {
	var b strings.Builder
	for i := range n {
		if i%10 == 0 {
			fmt.Fprintf(&b, `{"event":"request","path":"/v1/items/%d","status":200,"latency_ms":%d,"id":"%032d"}`+"\n", i%100, i%1000, i)
		} else {
			fmt.Fprintf(&b, "%08d step of some work that somebody wants to know about, with a number: %d, and so on\n", i, i*7)
		}
	}
	return []byte(b.String())
}

// logging measures how fast lines come in, from a pipe until they can be read,
// and how fast the end, a time and a field of a large log are found.
func logging(ctx context.Context, l *lab) ([]row, error) {
	text := logText(logLines)
	var floor, ours time.Duration
	for range 3 { // the best of three, by turns
		f, err := appendBare(filepath.Join(l.dir, "bare.log"), text)
		if err != nil {
			return nil, err
		}
		o, err := appendLog(filepath.Join(l.dir, "logs-in"), text)
		if err != nil {
			return nil, err
		}
		if floor == 0 || f < floor {
			floor = f
		}
		if ours == 0 || o < ours {
			ours = o
		}
	}
	rate := float64(logLines) / ours.Seconds()
	ratio := ours.Seconds() / floor.Seconds()
	rows := []row{
		{What: "a million lines into a log", Ours: fmt.Sprintf("%.0f/s", rate), Peer: fmt.Sprintf("the same bytes, pipe to file: %.0f/s", float64(logLines)/floor.Seconds()), Ratio: ratio},
		{What: "lines a second, against what is owed", Ours: fmt.Sprintf("%.0f/s", rate), Peer: "100000/s", Ratio: rate / 100_000, Owe: "1x", Good: above(rate/100_000, 1, 1)},
	}
	more, err := readLog(ctx, filepath.Join(l.dir, "logs-big"), text)
	return append(rows, more...), err
}

// appendBare is the floor: the bytes go through a pipe into a file.
func appendBare(path string, text []byte) (time.Duration, error) {
	defer os.Remove(path)
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	f, err := os.Create(path)
	if err != nil {
		return 0, errors.Join(err, w.Close())
	}
	defer f.Close()
	began := time.Now()
	wrote := make(chan error, 1)
	go func() {
		_, err := w.Write(text)
		wrote <- errors.Join(err, w.Close())
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return 0, err
			}
		}
		if errors.Is(err, io.EOF) {
			return time.Since(began), <-wrote
		} else if err != nil {
			return 0, err
		}
	}
}

// appendLog has a host's own parts do it: lines are told apart, numbered, timed
// and indexed.
func appendLog(dir string, text []byte) (time.Duration, error) {
	defer os.RemoveAll(dir)
	log, err := newLog(dir)
	if err != nil {
		return 0, err
	}
	defer log.End()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	er, ew, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	_ = ew.Close()
	began := time.Now()
	var failed error
	capture, err := output.Start([8]byte{1}, r, er, clock.Real{}, nil, func(printed []output.Line) {
		if _, err := log.Append(lines(printed)); err != nil {
			failed = err
		}
	})
	if err != nil {
		return 0, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close())
	capture.Close(time.Minute)
	took := time.Since(began)
	if log.Last() < logLines { // a line that pauses in its middle for a second is two
		return 0, errors.Join(fmt.Errorf("%d lines are in the log, of %d", log.Last(), logLines), err, failed)
	}
	return took, errors.Join(err, failed)
}

func newLog(dir string) (*logs.Log, error) {
	store, err := logs.Open(dir, logs.Options{AppBytes: 8 << 30})
	if err != nil {
		return nil, err
	}
	return store.Create(logs.Info{ID: "ap-1", Name: "bench", Created: time.Now()})
}

func lines(printed []output.Line) []api.LogLine {
	now, list := time.Now(), make([]api.LogLine, len(printed))
	for i, p := range printed {
		list[i] = api.LogLine{Time: now, Function: "work", Container: "co-4h2xq7gq5bq6zk3e", Call: "fc-co-4h2xq7gq5bq6zk3e-1", Stream: logs.Stdout, Text: p.Text}
	}
	return list
}

// readLog measures questions to a large log, against reading all of its bytes.
func readLog(ctx context.Context, dir string, text []byte) ([]row, error) {
	defer os.RemoveAll(dir)
	log, err := newLog(dir)
	if err != nil {
		return nil, err
	}
	batch := make([]output.Line, 0, 1000)
	var middle time.Time
	for round := range bigLog {
		if round == bigLog/2 {
			middle = time.Now()
		}
		for line := range strings.Lines(string(text)) {
			if batch = append(batch, output.Line{Text: strings.TrimSuffix(line, "\n")}); len(batch) == cap(batch) {
				if _, err := log.Append(lines(batch)); err != nil {
					return nil, err
				}
				batch = batch[:0]
			}
		}
	}
	log.End()
	whole, bytes, err := readBare(filepath.Join(dir, "ap-1"))
	if err != nil {
		return nil, err
	}
	peer := fmt.Sprintf("reading its %.1f GB: %d ms", float64(bytes)/1e9, whole.Milliseconds())
	condition, err := where.Parse("latency_ms=990")
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, q := range []struct {
		what   string
		query  logs.Query
		enough int
	}{
		{"the last 100 lines of it, by a new host", logs.Query{Tail: 100}, 100},
		{"the first 100 lines since a time in its middle", logs.Query{Since: middle}, 100},
		{"the last 100 lines with a text", logs.Query{Tail: 100, Filter: logs.Filter{Search: "a number"}}, 100},
		{"the last 100 lines with a field", logs.Query{Tail: 100, Filter: logs.Filter{Where: []*where.Condition{condition}}}, 100},
		{"a text that is nowhere in it", logs.Query{Filter: logs.Filter{Search: "nowhere to be found"}}, 0},
	} {
		began := time.Now()
		store, err := logs.Open(dir, logs.Options{})
		if err != nil {
			return nil, err
		}
		found, err := store.Find("bench")
		if err != nil {
			return nil, err
		}
		got := 0
		err = found.Read(ctx, q.query, func(lines []api.LogLine) error {
			if got += len(lines); got >= q.enough {
				return io.EOF
			}
			return nil
		})
		if err != nil && !errors.Is(err, io.EOF) || got < q.enough {
			return nil, errors.Join(fmt.Errorf("%s: %d lines", q.what, got), err)
		}
		took := time.Since(began)
		rows = append(rows, row{What: q.what, Ours: fmt.Sprintf("%.1f ms", float64(took.Microseconds())/1000), Peer: peer, Ratio: took.Seconds() / whole.Seconds()})
	}
	return rows, nil
}

// readBare reads all files of a directory.
func readBare(dir string) (took time.Duration, bytes int64, err error) {
	began := time.Now()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return 0, 0, err
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 256<<10))
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, 0, err
		}
		bytes += n
	}
	return time.Since(began), bytes, nil
}
