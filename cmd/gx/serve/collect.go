package serve

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// collector has files imported, each time by a Python that has never seen the
// user's code. The next one is started before it is needed and imports what is
// not the user's meanwhile. It is used by one goroutine at a time.
type collector struct {
	start  func(ctx context.Context, stdout, stderr io.Writer) (*sdk.Process, error)
	ui     *ui.UI
	warned map[string]bool // what was said already

	modules []string // to be imported beforehand
	files   []string // to be read beforehand
	spare   *python
	ending  sync.WaitGroup
}

// python is one that collects, with its output.
type python struct {
	*sdk.Process
	cancel   context.CancelFunc
	out, err *ui.Writer
}

// collect imports a file. cold does so in a Python that has imported nothing
// beforehand. The error is about Python, not about the file.
func (c *collector) collect(ctx context.Context, reference string, module, cold bool) (sdk.Collected, error) {
	p := c.spare
	c.spare = nil
	if cold && p != nil {
		c.discard(p)
		p = nil
	}
	if p != nil {
		told, err := c.ask(ctx, p, reference, module)
		if err == nil || ctx.Err() != nil {
			return told, err
		}
		// Something may have ended it while it waited.
	}
	p, err := c.begin()
	if err != nil {
		return sdk.Collected{}, err
	}
	return c.ask(ctx, p, reference, module)
}

// ready starts the Python for the next time, unless there is one.
func (c *collector) ready() error {
	if c.spare != nil {
		return nil
	}
	p, err := c.begin()
	if err != nil {
		return err
	}
	if err := p.Control().Send(sdk.ToPython{Prepare: &sdk.Prepare{Modules: c.modules, Files: c.files}}); err != nil {
		c.discard(p)
		return err
	}
	c.spare = p
	return nil
}

func (c *collector) begin() (*python, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &python{cancel: cancel, out: c.ui.Writer(false), err: c.ui.Writer(true)}
	var err error
	if p.Process, err = c.start(ctx, p.out, p.err); err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

// ask has one Python collect, and sees it to its end.
func (c *collector) ask(ctx context.Context, p *python, reference string, module bool) (sdk.Collected, error) {
	defer context.AfterFunc(ctx, p.cancel)()
	err := p.Control().Send(sdk.ToPython{Collect: &sdk.Collect{Reference: reference, Module: module}})
	for err == nil {
		var m sdk.FromPython
		if m, err = p.Control().Recv(ctx); err != nil {
			break
		}
		if m.Warning != "" && !c.warned[m.Warning] {
			c.warned[m.Warning] = true
			c.ui.Warn(m.Warning)
		}
		if m.Collected != nil {
			c.discardAfter(p, time.Second) // it has nothing more to say
			if len(m.Collected.Modules) > 0 {
				c.modules = m.Collected.Modules
			}
			if files := pythonFiles(*m.Collected); len(files) > 0 {
				c.files = files
			}
			return *m.Collected, nil
		}
	}
	if ctx.Err() != nil {
		c.discard(p)
		return sdk.Collected{}, ctx.Err()
	}
	code := c.end(p, time.Second)
	return sdk.Collected{}, fmt.Errorf("the Python that imported %s has ended: %s", reference, ending(code))
}

// pythonFiles are the user's Python files that go into containers.
func pythonFiles(c sdk.Collected) (files []string) {
	for _, a := range c.Apps {
		for _, m := range a.Manifest.Mounts {
			for _, f := range m.Files {
				if strings.HasSuffix(f.Local, ".py") && !slices.Contains(files, f.Local) {
					files = append(files, f.Local)
				}
			}
		}
	}
	return files
}

// ending is how a process with an exit code has ended.
func ending(code int) string {
	if code > 128 {
		return syscall.Signal(code - 128).String()
	}
	return fmt.Sprintf("exit status %d", code)
}

// discard ends a Python that is not needed.
func (c *collector) discard(p *python) { c.discardAfter(p, 0) }

// discardAfter does so in the background, if it does not end by itself.
func (c *collector) discardAfter(p *python, patience time.Duration) {
	c.ending.Go(func() { c.end(p, patience) })
}

// end waits for a Python, and ends it if it does not end by itself.
func (c *collector) end(p *python, patience time.Duration) (code int) {
	timer := time.AfterFunc(patience, func() { p.Signal(syscall.SIGKILL) })
	defer timer.Stop()
	defer p.cancel()
	code, _ = p.Wait() // without a code nothing is to be told
	p.out.Flush()
	p.err.Flush()
	return code
}

// close ends what is left.
func (c *collector) close() {
	if c.spare != nil {
		c.discard(c.spare)
		c.spare = nil
	}
	c.ending.Wait()
}
