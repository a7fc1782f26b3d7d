package api

// Commands in containers go over a WebSocket. The client sends an ExecRequest;
// then what the command reads, as binary messages, and ExecCommands, as text.
// The host sends ExecMessages as text, and what the command writes as binary
// messages whose first byte is ExecStdout or ExecStderr. The command ends when
// the connection does.
//
// A client may have sent no more than ExecWindow bytes of input that the host
// has not said to be taken: so a command that does not read holds up nothing
// but its input.
const (
	ExecStdout = 1 // also what is written to a terminal
	ExecStderr = 2
	ExecWindow = 256 << 10 // bytes
	ExecChunk  = 32 << 10  // most bytes of input in one message
)

// Limits of an ExecRequest.
const (
	MaxExecBytes    = 1 << 20 // of arguments and environment together
	MaxTerminalSize = 10_000  // rows or columns
)

// ExecRequest is a command to run.
type ExecRequest struct {
	Args []string          `json:"args"`          // none: a shell, bash if there is one
	Env  map[string]string `json:"env,omitempty"` // beside what the function's code has
	Dir  string            `json:"dir,omitempty"` // default: that of the function's code
	// Terminal gives the command a terminal of this size.
	Terminal *TerminalSize `json:"terminal,omitempty"`
}

// TerminalSize is a terminal's size in characters.
type TerminalSize struct {
	Rows    int `json:"rows"`
	Columns int `json:"columns"`
}

// ExecCommand is what a client says while a command runs. One field is set.
type ExecCommand struct {
	Resize *TerminalSize `json:"resize,omitempty"`
	Signal string        `json:"signal,omitempty"` // "INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2"
	EOF    bool          `json:"eof,omitempty"`    // there is no more input
}

// ExecMessage is what a host says while a command runs. One field is set.
type ExecMessage struct {
	Waiting string       `json:"waiting,omitempty"` // what is short for a container: "an A100-80GB: 1 of 1 in use"
	Started *ExecStarted `json:"started,omitempty"`
	Taken   int          `json:"taken,omitempty"` // bytes of input, since the last time
	Exit    *ExecExit    `json:"exit,omitempty"`  // always the last
	Error   *Error       `json:"error,omitempty"` // or this
}

// ExecStarted tells where the command runs.
type ExecStarted struct {
	Container string `json:"container"`
	Function  string `json:"function"`
	App       string `json:"app"`
}

// ExecExit is how a command ended.
type ExecExit struct {
	Code   int    `json:"code"`             // exit status, or 128+signal
	Signal string `json:"signal,omitempty"` // "SIGKILL"
	// Reason says why the container ended, where it did.
	Reason string `json:"reason,omitempty"`
}
