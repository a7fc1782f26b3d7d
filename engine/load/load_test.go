package load

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

func TestBusy(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	s := New(c)
	s.path = filepath.Join(t.TempDir(), "stat")
	write := func(line string) {
		if err := os.WriteFile(s.path, []byte(line+"\ncpu0 1 2 3\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Busy(); got != 0 {
		t.Errorf("without the file: %v", got)
	}
	write("cpu  100 0 100 1000 0 0 0 0 0 0")
	if got := s.Busy(); got != 0 {
		t.Errorf("first: %v", got)
	}
	write("cpu  130 0 110 1005 5 0 0 0 99 0")
	if got := s.Busy(); got != 0 {
		t.Errorf("too soon: %v", got)
	}
	c.Advance(every)
	if got := s.Busy(); got != 0.8 {
		t.Errorf("got %v", got)
	}
	c.Advance(2 * stale)
	write("cpu  999 0 110 1005 5 0 0 0 99 0")
	if got := s.Busy(); got != 0 {
		t.Errorf("long ago: %v", got)
	}
	c.Advance(every)
	write("nonsense")
	if got := s.Busy(); got != 0 {
		t.Errorf("nonsense: %v", got)
	}
}
