// Package wire is how the SDK, the host and the runner talk: frames over a
// stream. It knows how a frame is encoded and what its limits are, and nothing
// of what a frame makes its receiver do; the comments on the types below say
// that for the reader. sdk/python/gx/_wire.py is the same in Python, and
// testdata/frames.json holds both to the same bytes.
//
// # Frames
//
// A frame is a header of 16 bytes, little-endian, and a body:
//
//	offset  size  field
//	0       4     size     of the body in bytes, at most MaxBody
//	4       1     type
//	5       1     flags
//	6       2     attempt  which try of this input, from 1; 0 where it has no meaning
//	8       4     call     number of the call, chosen by the side that opened it
//	12      4     index    number of the input within its call, from 0
//
// # Payloads
//
// What is pickled travels as the body of Input, Result, Item and Error frames
// and is never read between the two Pythons. On a unix socket a payload of
// more than InlineMax bytes travels as an open memory file: the frame has
// FlagFD, its body is the payload's size as 8 bytes, and the descriptor comes
// as ancillary data (SCM_RIGHTS) of the header's first byte. Where descriptors
// cannot be passed it travels in pieces of at most MaxBody bytes: FlagMore on
// every frame but the last; pieces of one payload are not interleaved with
// other frames of the same call and index.
//
// # Conversation of a client with a host
//
//	client                          host
//	Hello {role:"client",app:...}
//	                                Ready {}
//	Open call=1 {function:...}
//	Input call=1 index=0
//	Input call=1 index=1
//	                                Result call=1 index=1
//	End call=1 index=2 (inputs)
//	                                Error call=1 index=0
//	                                End call=1 (all answered)
//
// # Conversation of a runner with its host
//
//	runner                          host
//	Hello {role:"runner",token:...}
//	                                Start {...}          what to import
//	Ready {}                        imported, enter hooks done
//	                                Open call=7 {method:...}     of a class, before a call's first input
//	                                Opened call=7 {call_id:...}  may be left out: then the runner makes an id up
//	                                Input call=7 index=0
//	Result call=7 index=0
//	                                Stop {grace:...}     finish, run exit hooks
//	Bye {work:...}
//
// A host may exchange the code of a runner that has told Ready: Stage, Staged,
// and, once all of a function's runners are prepared, Swap.
//
// A runner is also a client: its user's code may open calls on the same
// connection, and call numbers of the two directions are separate (bit 31 is
// set in those that a runner opens). Within goes before such an Open, so that
// the host knows who waits for whom.
package wire

import "encoding/json"

// Protocol is the version of this protocol; Hello carries it.
const Protocol = 1

// Limits of a frame.
const (
	HeaderSize = 16
	MaxBody    = 64 << 20  // bytes in one frame's body
	InlineMax  = 256 << 10 // bytes of a payload that travels inside its frame on a unix socket
	MaxPayload = 4 << 30   // bytes of one payload, however it travels
)

// Type says what a frame is.
type Type uint8

// The types of frames. "json" means that the body is a JSON object, described
// by the Go type named after it.
const (
	Hello   Type = 1  // first frame of a connection; json HelloBody
	Ready   Type = 2  // host to client: accepted; runner to host: may be given inputs; json ReadyBody
	Open    Type = 3  // opens a call; json OpenBody. To a runner: the call's method
	Input   Type = 4  // one input; body: pickled (args, kwargs)
	End     Type = 5  // to host: the call has index inputs in all; to client: all of them are answered
	Result  Type = 6  // an input's value; body: pickled value
	Error   Type = 7  // an input's exception; body: see ErrorBody
	Item    Type = 8  // one item of a generator; body: pickled value. The generator's end is a Result of None
	Fail    Type = 9  // the host gave an input up; json FailBody
	Cancel  Type = 10 // to host: forget the call (index = AllInputs), one input, or an Ask; to runner: cancel that input; json CancelBody
	Request Type = 11 // asks; call = number of the request; json RequestBody
	Reply   Type = 12 // answers the Request of that number; json ReplyBody
	Start   Type = 13 // host to runner: what to run; json StartBody
	Stop    Type = 14 // host to runner: finish, run exit hooks, end; json StopBody
	Bye     Type = 15 // runner to host: hooks are done, I am ending
	Failed  Type = 16 // runner to host: import or an enter hook raised; body as Error
	Opened  Type = 17 // host to client or runner: the id of a call that was opened; json OpenedBody
	Batch   Type = 18 // host to runner: the next index inputs that come are one batch, of the same call's method; no body
	Within  Type = 19 // runner to host: the next Open is made by this input (call, index) that the runner is at; no body
	Ask     Type = 20 // asks with bytes; call = number of the question; body: AskBody and the bytes, see EncodeMessage
	Answer  Type = 21 // answers the Ask of that number; body: ReplyBody and bytes, see EncodeMessage

	// Newer code for a runner that goes on.

	Stage  Type = 22 // host to runner: see whether code can be exchanged; json StageBody. The last one counts
	Staged Type = 23 // runner to host: answers a Stage; json StagedBody
	Swap   Type = 24 // host to runner: inputs after this have the code of the last Stage; no body

	// Web requests are inputs (call, index, attempt) whose bodies travel in
	// pieces, see web.go.

	WebRequest  Type = 30 // host to runner: an input that is a web request; body: head and first bytes of the body
	WebResponse Type = 31 // runner to host: head and first bytes of the response
	WebData     Type = 32 // both: the next piece of a body
	WebEnd      Type = 33 // both: the last piece of a body; it may be empty
	WebMessage  Type = 34 // both: a WebSocket's message, its kind in the first byte
	WebCredit   Type = 35 // both: so many bytes more may be sent (4 bytes)
	WebGone     Type = 36 // host to runner: nobody waits for the response any more; no body
	WebConn     Type = 37 // runner to host: a connection to the server in the container, as a descriptor
)

// AllInputs as a frame's index means the whole call.
const AllInputs = 0xffffffff

// Flags of a frame.
const (
	FlagFD     = 1 << 0 // the payload is in a memory file, passed beside the frame
	FlagMore   = 1 << 1 // the payload goes on in the next frame of this call and index
	FlagLogged = 1 << 2 // the body begins with 8 bytes: sequence number of the last log line this input wrote; the only flag that Fail may have
)

// Header is a frame's header.
type Header struct {
	Size    uint32
	Type    Type
	Flags   uint8
	Attempt uint16
	Call    uint32
	Index   uint32
}

// HelloBody is the body of Hello.
type HelloBody struct {
	Protocol int    `json:"protocol"`
	Role     string `json:"role"`            // "client", "runner" or "template"
	Version  string `json:"version"`         // of the SDK
	Python   string `json:"python"`          // "3.11.2"
	Token    string `json:"token,omitempty"` // runner: GX_TOKEN of its environment
}

// ReadyBody is the body of Ready. From a runner it tells how long it took.
type ReadyBody struct {
	Import float64 `json:"import,omitempty"` // seconds
	Enter  float64 `json:"enter,omitempty"`  // seconds
	// RTT is left to the host. Descriptors tells a client that its connection passes descriptors.
	Descriptors bool `json:"descriptors,omitempty"`
}

// ByeBody is the body of a runner's Bye; it may be left out.
type ByeBody struct {
	// Work is what it has computed on GPUs, for an estimate, where that was asked
	// for: package gpu reads it.
	Work json.RawMessage `json:"work,omitempty"`
}

// OpenBody is the body of Open.
type OpenBody struct {
	Function string `json:"function"`         // id, as the app's start told it
	Method   string `json:"method,omitempty"` // of a class
	Kind     string `json:"kind"`             // "call", "map", "spawn" or "generator"
	Params   []byte `json:"params,omitempty"` // pickled class parameters (base64 in JSON): (args, kwargs). Equal bytes share containers
	// Code is the digest of all that decides what the function makes of an input,
	// as far as it is the user's own; "" = not known. Results of maps are kept by it.
	Code string `json:"code,omitempty"`
	// Options are what this variant of the function has otherwise (app.Options). Equal bytes share containers.
	Options   json.RawMessage `json:"options,omitempty"`
	Unordered bool            `json:"unordered,omitempty"` // told for statistics; order is the client's work
}

// OpenedBody is the body of Opened.
type OpenedBody struct {
	CallID string `json:"call_id"` // "fc-..."
}

// ErrorBody is the head of an Error's or a Failed's body: 4 bytes, its length,
// then this as JSON, then the pickled exception (which may be missing when it
// could not be pickled).
type ErrorBody struct {
	Type      string `json:"type"`           // qualified name: "ValueError", "pkg.Error"
	Message   string `json:"message"`        // str(exception)
	Traceback string `json:"traceback"`      // as Python prints it, gx's own frames left out
	File      string `json:"file,omitempty"` // innermost frame of the user's own code
	Line      int    `json:"line,omitempty"`
	Module    string `json:"module,omitempty"` // name of the missing module, of a ModuleNotFoundError
}

// FailBody is the body of Fail. Kind becomes an exception of gx.exception.
type FailBody struct {
	Kind    string `json:"kind"`    // see the Fail* constants
	Message string `json:"message"` // what happened, and what to do
}

// Kinds of failures that the host reports.
const (
	FailTimeout   = "timeout"   // FunctionTimeoutError
	FailOOM       = "oom"       // ResourceExhaustedError... the message has limit and peak
	FailLost      = "lost"      // the container ended and retries are used up: ExecutionError
	FailStart     = "start"     // containers of this function do not come up: ExecutionError
	FailCancelled = "cancelled" // InputCancellation
	FailDeadlock  = "deadlock"  // ExecutionError: everything that could run the input waits for it
	FailRefused   = "refused"   // InvalidError: unknown function, wrong kind of call
	FailTooLarge  = "too_large" // RequestSizeError
	FailInternal  = "internal"  // InternalError
	FailNotFound  = "not_found" // NotFoundError: of a Reply, e.g. no such call
	FailExpired   = "expired"   // OutputExpiredError: of a Reply, the call's results are not kept any more
	FailExists    = "exists"    // AlreadyExistsError: of an Answer
	FailConflict  = "conflict"  // ConflictError: of an Answer, somebody else has changed what it is about
	FailFull      = "full"      // queue.Full: of an Answer
	FailEmpty     = "empty"     // queue.Empty: of an Answer
)

// CancelBody is the body of Cancel; it may be empty.
type CancelBody struct {
	Terminate bool   `json:"terminate,omitempty"` // end the containers too
	Reason    string `json:"reason,omitempty"`
}

// RequestBody is the body of Request: the operations that are not on the hot
// path (FunctionCall.get from another process, lookups by name, ...).
type RequestBody struct {
	Op     string `json:"op"`
	Params any    `json:"params,omitempty"`
}

// AskBody is the head of an Ask's body. What it asks for is a stored thing: a
// volume, a secret, a dict, a queue. Package ask has the operations' sense.
type AskBody struct {
	Op     string          `json:"op"`
	Params json.RawMessage `json:"params,omitempty"`
}

// ReplyBody is the body of Reply, and the head of an Answer's.
type ReplyBody struct {
	Result any       `json:"result,omitempty"`
	Error  *FailBody `json:"error,omitempty"`
}

// StartBody is the body of Start.
type StartBody struct {
	App         string            `json:"app"`               // the app's id
	AppName     string            `json:"app_name"`          //
	Container   string            `json:"container"`         // this container's id
	Function    string            `json:"function"`          // the function's id
	Name        string            `json:"name"`              // its name in the app
	Module      string            `json:"module"`            // module to import
	Qualname    string            `json:"qualname"`          // path in the module
	Payload     []byte            `json:"payload,omitempty"` // pickled function instead (base64 in JSON)
	Class       bool              `json:"class"`             //
	Params      []byte            `json:"params,omitempty"`  // pickled class parameters
	Options     json.RawMessage   `json:"options,omitempty"` // of the variant, for calls of its own methods
	Generators  []string          `json:"generators"`        // methods that yield items; "" is a function's own name
	Concurrency int               `json:"concurrency"`       // inputs, or batches, at once
	Batch       int               `json:"batch,omitempty"`   // inputs in a batch at most; 0 = the function takes single inputs
	Marker      string            `json:"marker"`            // 16 hex digits, see package logs: how output is tagged
	Functions   map[string]string `json:"functions"`         // name to id, of the whole app, for calls from the container
	Secrets     map[string]string `json:"secrets,omitempty"` // variables that are set before the user's code is loaded
	// Web says of the function (""), or of methods, that they are web endpoints (app.Web).
	Web json.RawMessage `json:"web,omitempty"`
}

// StageBody is the body of Stage. The frame's call is its number, which the answer repeats.
type StageBody struct {
	// Files are those that differ, by path in the container (base64 in JSON); nil = it has gone.
	Files     map[string][]byte `json:"files"`
	Functions map[string]string `json:"functions"` // as in StartBody
}

// StagedBody is the body of Staged.
type StagedBody struct {
	Refused string `json:"refused,omitempty"` // why the code can't be exchanged; "" = it can
}

// StopBody is the body of Stop.
type StopBody struct {
	Grace  float64 `json:"grace"` // seconds for the exit hooks
	Reason string  `json:"reason,omitempty"`
}
