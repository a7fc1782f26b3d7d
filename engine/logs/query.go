package logs

import (
	"bytes"
	"slices"
	"time"

	"github.com/gx-dev/gx/engine/logs/where"
)

// Query says which lines to read.
type Query struct {
	Tail   int       // only so many of the newest; 0 = all
	After  uint64    // only those with a higher sequence number
	Since  time.Time // only those that are not older
	Until  time.Time // only those that are not newer; zero = all
	Follow bool      // go on with what comes, until the log ends or Until
	Filter Filter
}

// Filter says which lines of all are wanted. The zero Filter wants every line.
// Of each list one has to fit, where it has any.
type Filter struct {
	Functions  []string
	Containers []string
	Calls      []string
	Streams    []string
	Search     string             // a part of the text
	Where      []*where.Condition // all of them hold; only structured lines can fit
}

// all reports whether the filter wants every line.
func (f *Filter) all() bool {
	return len(f.Functions)+len(f.Containers)+len(f.Calls)+len(f.Streams)+len(f.Where) == 0 && f.Search == ""
}

// wants reports whether a record fits.
func (f *Filter) wants(r *record) bool {
	if !among(f.Functions, r.function) || !among(f.Containers, r.container) || !among(f.Calls, r.call) {
		return false
	}
	if len(f.Streams) > 0 && !slices.Contains(f.Streams, r.stream()) {
		return false
	}
	if f.Search != "" && !bytes.Contains(r.text, []byte(f.Search)) {
		return false
	}
	if len(f.Where) == 0 {
		return true
	}
	fields, ok := where.Structured(r.text)
	if !ok {
		return false
	}
	for _, c := range f.Where {
		if !c.Match(fields) {
			return false
		}
	}
	return true
}

func among(list []string, b []byte) bool {
	if len(list) == 0 {
		return true
	}
	for _, s := range list {
		if s == string(b) {
			return true
		}
	}
	return false
}
