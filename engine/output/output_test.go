package output

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

type pipes struct {
	*Capture
	out, err *os.File
	clock    *clock.Fake

	mu    sync.Mutex
	lines []string
	came  chan struct{}
}

func start(t *testing.T) *pipes {
	t.Helper()
	p := &pipes{clock: clock.NewFake(time.Unix(1e9, 0)), came: make(chan struct{}, 1)}
	or, ow, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	er, ew, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out, p.err = ow, ew
	p.Capture, err = Start(secret, or, er, p.clock, nil, func(lines []Line) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range lines {
			s := show(l)
			if l.Stderr {
				s = "E:" + s
			}
			p.lines = append(p.lines, s)
			select {
			case p.came <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pipes) write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func (p *pipes) finish() {
	_ = p.out.Close()
	_ = p.err.Close()
	p.Close(time.Minute)
}

func (p *pipes) expect(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.lines, want) {
		t.Errorf("got %q, want %q", p.lines, want)
	}
}

func TestDrainIsAfterWhatWasWritten(t *testing.T) {
	p := start(t)
	defer p.finish()
	var want []string
	for range 2000 {
		p.write(t, p.out, "a\n")
		p.write(t, p.err, "b\n")
		p.Drain(false)
		want = append(want, "a", "E:b")
		p.mu.Lock()
		n := len(p.lines)
		p.mu.Unlock()
		if n != len(want) {
			t.Fatalf("%d lines after draining, want %d", n, len(want))
		}
	}
}

func TestLinesComeWithoutDraining(t *testing.T) {
	p := start(t)
	p.write(t, p.out, mark(1, 2)+"a\nunfinished")
	<-p.came
	p.expect(t, "1/2:a")
	p.Drain(false)
	p.clock.Advance(patience)
	p.expect(t, "1/2:a", "1/2:unfinished+")
	p.write(t, p.out, " line\nend of input")
	p.Drain(true)
	p.write(t, p.err, "last")
	p.finish()
	p.expect(t, "1/2:a", "1/2:unfinished+", "1/2: line", "1/2:end of input", "E:last")
}

func TestManyBytes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	er, ew, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = ew.Close()
	var lines, bytes int
	c, err := Start(secret, r, er, clock.Real{}, nil, func(batch []Line) {
		for _, l := range batch {
			lines++
			bytes += len(l.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const count, length = 20_000, 999
	line := append(slices.Repeat([]byte("x"), length), '\n')
	for range count {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	c.Close(time.Minute)
	if lines != count || bytes != count*length {
		t.Errorf("%d lines, %d bytes", lines, bytes)
	}
}

// TestCloseDoesNotWaitForever has pipes be held open: what was written before
// the limit comes, however late the readers are.
func TestCloseDoesNotWaitForever(t *testing.T) {
	for i := range 200 {
		p := start(t)
		p.write(t, p.out, "held open")
		p.Close(time.Duration(i%2) * 10 * time.Millisecond)
		p.expect(t, "held open")
		_ = p.out.Close()
		_ = p.err.Close()
	}
}
