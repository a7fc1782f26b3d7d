// Package protocol is what gx and its helper program for NVIDIA's library say to
// each other: lines of JSON, requests on the helper's standard input, answers
// and events on its standard output. It does not know either of them.
package protocol

// Request asks the helper.
type Request struct {
	ID uint64 `json:"id"` // from 1
	Op string `json:"op"`
}

// Operations.
const (
	List   = "list"   // the cards, by their order
	Sample = "sample" // List, and how they are now
)

// Message is a line that the helper writes: the answer to a request, or with ID
// 0 an event. The first line of all is an answer with ID 0 and no event: the
// library is there, or Error says what is wrong with it.
type Message struct {
	ID      uint64   `json:"id,omitempty"`
	Error   string   `json:"error,omitempty"`
	Driver  string   `json:"driver,omitempty"`
	Devices []Device `json:"devices,omitempty"`
	Event   *Event   `json:"event,omitempty"`
}

// Device is one card.
type Device struct {
	Index  int     `json:"index"`
	UUID   string  `json:"uuid"`
	Name   string  `json:"name"`
	Memory uint64  `json:"memory"` // bytes
	Used   uint64  `json:"used"`   // bytes, without what the driver keeps
	Util   uint32  `json:"util"`   // percent
	Heat   uint32  `json:"heat"`   // °C
	Power  float64 `json:"power"`  // W
	Lost   bool    `json:"lost,omitempty"`
}

// Event is an Xid error of a card.
type Event struct {
	UUID string `json:"uuid"`
	Xid  int    `json:"xid"`
}
