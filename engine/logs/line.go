// Package logs keeps what containers print: append-only on disk, followed
// live, read back later, bounded by age and size.
package logs

import "time"

// Line is one line of output, without its newline.
type Line struct {
	Seq       uint64    `json:"seq"` // counts up within an app, without gaps
	Time      time.Time `json:"time"`
	App       string    `json:"app"`
	Function  string    `json:"function"`          // name
	Container string    `json:"container"`         // id
	Call      string    `json:"call,omitempty"`    // id "fc-...", where the line belongs to one call
	Input     uint32    `json:"input,omitempty"`   // index within Call
	Stream    string    `json:"stream"`            // "stdout", "stderr" or "system" (gx's own words)
	Text      string    `json:"text"`              // valid UTF-8; other bytes as \xNN
	Partial   bool      `json:"partial,omitempty"` // the line goes on in the next one: it was too long, or unfinished for a while
}
