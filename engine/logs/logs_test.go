package logs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/clock"
)

func open(t *testing.T, opt Options) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, id, name string) *Log {
	t.Helper()
	l, err := s.Create(Info{ID: id, Name: name, Created: s.opt.Clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.End)
	return l
}

func line(text string) api.LogLine {
	return api.LogLine{Function: "f", Container: "co-1", Stream: Stdout, Text: text}
}

func texts(t *testing.T, l *Log, q Query) string {
	t.Helper()
	var all []string
	if err := l.Read(t.Context(), q, func(lines []api.LogLine) error {
		for _, line := range lines {
			all = append(all, line.Text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestReadBack(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c})
	l := create(t, s, "ap-1", "hello")
	whole := api.LogLine{Function: "f", Container: "co-1", Call: "fc-1", Input: 7, Stream: Stderr, Text: "a", Partial: true}
	if last, err := l.Append([]api.LogLine{whole, line("b")}); last != 2 || err != nil {
		t.Fatalf("%d, %v", last, err)
	}
	c.Advance(time.Minute)
	if _, err := l.Append([]api.LogLine{line("c")}); err != nil {
		t.Fatal(err)
	}
	l.End()
	if last, _ := l.Append([]api.LogLine{line("too late")}); last != 3 {
		t.Errorf("a line came after the end")
	}
	for _, name := range []string{"ap-1", "hello"} {
		l, err := s.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(t, l, Query{Follow: true}); got != "a b c" {
			t.Errorf("%s: %q", name, got)
		}
		if got := texts(t, l, Query{Tail: 2}); got != "b c" {
			t.Errorf("tail: %q", got)
		}
		if got := texts(t, l, Query{Since: c.Now()}); got != "c" {
			t.Errorf("since: %q", got)
		}
		if got := texts(t, l, Query{After: 2}); got != "c" {
			t.Errorf("after: %q", got)
		}
		r := l.NewReader(Query{})
		lines, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole.Seq, whole.App, whole.Time = 1, "ap-1", time.Unix(1e9, 0)
		if lines[0] != whole {
			t.Errorf("got %+v, want %+v", lines[0], whole)
		}
		r.Close()
	}
	if _, err := s.Find("other"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestFollowWithoutGapOrDouble(t *testing.T) {
	s := open(t, Options{SegmentBytes: 4 << 10, AppBytes: 1 << 30})
	l := create(t, s, "ap-1", "")
	const writers, each = 4, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append([]api.LogLine{line(fmt.Sprintf("%d:%d", w, i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var want uint64 = 1
			next := map[byte]int{}
			if err := l.Read(t.Context(), Query{Follow: true}, func(lines []api.LogLine) error {
				for _, got := range lines {
					if got.Seq != want {
						return fmt.Errorf("line %d came, %d should have", got.Seq, want)
					}
					want++
					if w := got.Text[0]; got.Text != fmt.Sprintf("%c:%d", w, next[w]) {
						return fmt.Errorf("%s is out of order", got.Text)
					}
					next[got.Text[0]]++
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
			if want != writers*each+1 {
				t.Errorf("%d lines came", want-1)
			}
		})
	}
	wg.Wait()
	l.End()
	readers.Wait()
}

func TestSlowReaderLearnsOfTheGap(t *testing.T) {
	s := open(t, Options{SegmentBytes: 1 << 10, AppBytes: 4 << 10})
	l := create(t, s, "ap-1", "")
	for i := range 1000 {
		if _, err := l.Append([]api.LogLine{line(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	r := l.NewReader(Query{})
	defer r.Close()
	var got []api.LogLine
	for {
		lines, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(lines) == 0 {
			break
		}
		got = append(got, lines...)
	}
	if got[0].Stream != System || !strings.Contains(got[0].Text, "no longer kept") || got[0].Seq+1 != got[1].Seq || got[len(got)-1].Seq != 1000 {
		t.Errorf("%+v", got[0])
	}
	if n := l.bytes(); n > 4<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	files, _ := os.ReadDir(l.dir)
	if len(files) > 12 { // with the indices
		t.Errorf("%d files are left", len(files))
	}
}

func TestFollowEndsWithContext(t *testing.T) {
	s := open(t, Options{})
	l := create(t, s, "ap-1", "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Read(ctx, Query{Follow: true}, func([]api.LogLine) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestKilledInTheMiddleOfALine(t *testing.T) {
	s := open(t, Options{})
	l := create(t, s, "ap-1", "")
	if _, err := l.Append([]api.LogLine{line("a"), line("b")}); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(l.dir, l.segments[0].first)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := again.Find("ap-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, found, Query{Follow: true}); got != "a" {
		t.Errorf("%q", got)
	}
}

func TestLostLinesAreTold(t *testing.T) {
	s := open(t, Options{SegmentBytes: 1})
	l := create(t, s, "ap-1", "")
	if _, err := l.Append([]api.LogLine{line("a")}); err != nil {
		t.Fatal(err)
	}
	gone := l.dir + "-gone"
	if err := os.Rename(l.dir, gone); err != nil {
		t.Fatal(err)
	}
	if last, err := l.Append([]api.LogLine{line("b"), line("c")}); err == nil || last != 1 {
		t.Errorf("%d, %v", last, err)
	}
	if err := os.Rename(gone, l.dir); err != nil {
		t.Fatal(err)
	}
	if last, err := l.Append([]api.LogLine{line("d")}); err != nil || last != 3 {
		t.Errorf("%d, %v", last, err)
	}
	if got := texts(t, l, Query{}); !strings.HasPrefix(got, "a 2 lines of output were lost") || !strings.HasSuffix(got, "d") {
		t.Errorf("%q", got)
	}
}

func TestCollect(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := open(t, Options{Clock: c, MaxAge: time.Hour})
	for _, id := range []string{"ap-1", "ap-2", "ap-3", "ap-4"} {
		l := create(t, s, id, "same")
		if _, err := l.Append([]api.LogLine{line(strings.Repeat("x", 1000))}); err != nil {
			t.Fatal(err)
		}
		if id != "ap-2" {
			l.End()
		}
		c.Advance(time.Minute)
	}
	if l, err := s.Find("same"); err != nil || l.info.ID != "ap-2" {
		t.Errorf("the one that is live is not found: %v", err)
	}
	if _, err := s.Collect(2500); err != nil {
		t.Fatal(err)
	}
	left, _ := s.List()
	var ids []string
	for _, i := range left {
		ids = append(ids, i.ID)
	}
	if got := strings.Join(ids, " "); got != "ap-4 ap-3 ap-2" {
		t.Errorf("%s are left", got)
	}
	c.Advance(2 * time.Hour)
	if freed, err := s.Collect(0); err != nil || freed < 2000 {
		t.Errorf("%d, %v", freed, err)
	}
	if left, _ := s.List(); len(left) != 1 || left[0].ID != "ap-2" {
		t.Errorf("%v are left", left)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "ap-3")); err == nil {
		t.Error("an old log is left")
	}
}

func FuzzRecord(f *testing.F) {
	whole := api.LogLine{Seq: 3, Time: time.Unix(1, 2), Function: "f", Container: "c", Call: "fc", Input: 9, Stream: Stderr, Text: "t", Partial: true}
	f.Add(appendRecord(nil, &whole)[headSize:])
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, body []byte) {
		data := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(body, castagnoli))
		var r record
		n, err := parseRecord(append(data, body...), &r)
		if err != nil || n == 0 {
			return
		}
		l := r.line("", map[string]string{})
		var again record
		if m, err := parseRecord(appendRecord(nil, &l), &again); err != nil || m == 0 || again.line("", map[string]string{}) != l {
			t.Errorf("%+v reads back as %+v, %v", r, again, err)
		}
	})
}
