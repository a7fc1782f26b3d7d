package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"sync/atomic"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/journal"
	"github.com/gx-dev/gx/wire"
)

// What is kept of maps for a run that goes on where another was cut off.
const (
	// worthKeeping is how long a result must have taken to make: what is
	// quicker is made again sooner than it is found. A run that resumes keeps
	// all of them.
	worthKeeping = time.Millisecond
	journalAge   = 7 * 24 * time.Hour
	// codeVersion is part of every code's name; it changes when the same code
	// would make other results.
	codeVersion = 1
)

// memory counts what an app has kept and recalled.
type memory struct {
	resume   bool
	kept     atomic.Int64
	recalled atomic.Int64
}

// Remember implements call.Host.
func (e directory) Remember(open wire.OpenBody) call.Memory {
	e.mu.Lock()
	d := e.functions[open.Function]
	e.mu.Unlock()
	if d == nil || d.declared().spec.Generator || len(open.Code) > 128 {
		return nil
	}
	j, release := e.journals.Journal(d.declared().code(open))
	r := &recollection{app: d.app, method: open.Method, journal: j, release: release}
	if d.app.memory.resume {
		if err := j.Load(); err != nil {
			e.cfg.Log.Error("results of an earlier run cannot be read", "app", d.app.id, "function", d.name, "error", err)
		}
	}
	return r
}

// code names all that decides what the function makes of an input: what the SDK
// says of its source, the image, the function's environment and files, and the
// class's parameters. What bounds its containers does not count.
func (d *declared) code(open wire.OpenBody) string {
	files := map[string]string{}
	for _, i := range d.spec.Mounts {
		for path, sum := range d.edition.data[i] {
			files[path] = sum
		}
	}
	spec := d.spec
	if variant, err := d.variant(open.Params, open.Options); err == nil {
		spec = variant
	}
	text, _ := json.Marshal([]any{ // texts and numbers: it cannot fail
		codeVersion, d.image.ID(), spec.Name, spec.Qualname, open.Code, spec.Env, spec.GPU, open.Params, files,
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// recollection is a call's memory.
type recollection struct {
	app     *App
	method  string
	journal *journal.Journal
	release func()
}

func payload(body []byte, file *os.File, size int64) journal.Payload {
	return journal.Payload{Body: body, File: file, Size: size}
}

// Recall implements call.Memory.
func (r *recollection) Recall(in *call.Input) (wire.Frame, bool) {
	if !r.app.memory.resume {
		return wire.Frame{}, false
	}
	result, ok, err := r.journal.Find(r.method, payload(in.Body, in.File, in.Size))
	if err != nil || !ok {
		return wire.Frame{}, false // it is made again
	}
	f := wire.Frame{Header: wire.Header{Type: wire.Result, Call: in.Call.Number, Index: in.Index}, Body: result}
	if len(result) > wire.InlineMax {
		file, err := wire.NewFile()
		if err != nil {
			return wire.Frame{}, false
		}
		if _, err := file.Write(result); err != nil {
			_ = file.Close()
			return wire.Frame{}, false
		}
		f.Body, f.File, f.FileSize = nil, file, int64(len(result))
	}
	r.app.memory.recalled.Add(1)
	return f, true
}

// Keep implements call.Memory.
func (r *recollection) Keep(in *call.Input, result wire.Frame, took time.Duration) {
	if took < worthKeeping && !r.app.memory.resume {
		return
	}
	r.journal.Keep(r.method, payload(in.Body, in.File, in.Size), payload(result.Body, result.File, result.FileSize))
	r.app.memory.kept.Add(1)
}

// Release implements call.Memory.
func (r *recollection) Release() { r.release() }
