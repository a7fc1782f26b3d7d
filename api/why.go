package api

import "time"

// Why says why something waits, was slow, or failed: Answer in sentences, and
// one of the other fields in facts.
type Why struct {
	Ref       string          `json:"ref"`    // what was asked about
	Kind      string          `json:"kind"`   // "call", "input", "container" or "function"
	Answer    []string        `json:"answer"` // what matters most first
	Call      *CallTrace      `json:"call,omitempty"`
	Input     *InputTrace     `json:"input,omitempty"`
	Container *ContainerTrace `json:"container,omitempty"`
	// Functions is the function, and its variants by options and parameters.
	Functions []FunctionTrace `json:"functions,omitempty"`
	Waits     *Waits          `json:"waits,omitempty"` // what inputs that wait now wait for
}

// Waits is what inputs wait for.
type Waits struct {
	For     string   `json:"for"`  // "deadlock", "back_off", "capacity", "start", "batch", "max_containers", "retry", "container"
	Text    string   `json:"text"` // a sentence without its end
	Holders []Holder `json:"holders,omitempty"`
}

// Holder is a function that has something of the host's capacity.
type Holder struct {
	App        string  `json:"app"` // name
	Function   string  `json:"function"`
	Containers int     `json:"containers"`
	CPU        float64 `json:"cpu"`    // cores set aside
	Memory     int64   `json:"memory"` // bytes set aside
	// GPUs are cards set aside, by model.
	GPUs map[string]int `json:"gpus,omitempty"`
}

// Phase is a part of something's time.
type Phase struct {
	// Name is "transfer", "queue", "retry_delay" or "run" of an input; of a
	// container's start "turn" (others are being started), "image" (the SDK's
	// byte code for the image), "start" (mounts, namespaces, the process),
	// "python" (the interpreter, up to its connection), "import", "enter".
	Name  string  `json:"name"`
	Start float64 `json:"start"` // seconds from the beginning of the whole
	Took  float64 `json:"took"`  // seconds
	Note  string  `json:"note,omitempty"`
}

// Span sums durations up, in seconds.
type Span struct {
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// CallTrace is what is known of a call.
type CallTrace struct {
	ID         string    `json:"id"` // "" = a call that no container has yet, and nobody asked about
	App        string    `json:"app"`
	AppName    string    `json:"app_name"`
	FunctionID string    `json:"function_id"`
	Function   string    `json:"function"`
	Method     string    `json:"method,omitempty"`
	Kind       string    `json:"kind"`  // "call", "map", "spawn", "generator"
	State      string    `json:"state"` // "waiting", "running", "retrying", "done"
	Opened     time.Time `json:"opened"`
	Took       float64   `json:"took"` // seconds until its last answer, or until now
	Inputs     int64     `json:"inputs"`
	Waiting    int64     `json:"waiting"`
	Running    int64     `json:"running"`
	Delayed    int64     `json:"delayed"` // wait for their next attempt
	Answered   int64     `json:"answered"`
	Failed     int64     `json:"failed"`
	Retries    int64     `json:"retries"`
	Queue      Span      `json:"queue"` // of an input, from its coming to its first attempt
	Run        Span      `json:"run"`   // of an input's last attempt
	Phases     []Phase   `json:"phases,omitempty"`
	// Slowest are the inputs that ran for longest, Failures some of those that
	// failed or were tried again, Live some of those that run now.
	Slowest  []InputTrace `json:"slowest,omitempty"`
	Failures []InputTrace `json:"failures,omitempty"`
	Live     []InputTrace `json:"live,omitempty"`
}

// InputTrace is what is known of one input.
type InputTrace struct {
	ID       string    `json:"id"` // "in-..."
	Index    uint32    `json:"index"`
	State    string    `json:"state"` // "waiting", "running", "retrying", "done", "failed"
	Took     float64   `json:"took"`  // seconds from its coming to its answer
	Attempts []Attempt `json:"attempts"`
	Phases   []Phase   `json:"phases,omitempty"`
	// Awaits are calls that the input's code has made and waits for.
	Awaits []Awaited `json:"awaits,omitempty"`
}

// Awaited is a call that an input waits for.
type Awaited struct {
	Call     string `json:"call"` // id
	AppName  string `json:"app_name"`
	Function string `json:"function"`
}

// Attempt is one try of an input.
type Attempt struct {
	Number    int       `json:"number"` // from 1
	Container string    `json:"container,omitempty"`
	Began     time.Time `json:"began,omitzero"`
	Took      float64   `json:"took"` // seconds
	// Outcome is "running", "ok", "raised", "cancelled", or how the container
	// or the host ended it: "timeout", "oom", "lost"; or why none began:
	// "start" (no container came up), "import" (the function's module raised),
	// "deadlock".
	Outcome string  `json:"outcome"`
	Error   string  `json:"error,omitempty"`
	Again   bool    `json:"again,omitempty"` // another attempt followed
	Delay   float64 `json:"delay,omitempty"` // seconds until that
}

// ContainerTrace is what is known of a container.
type ContainerTrace struct {
	ID         string     `json:"id"`
	App        string     `json:"app"`
	AppName    string     `json:"app_name"`
	FunctionID string     `json:"function_id"`
	Function   string     `json:"function"`
	State      string     `json:"state"`  // "starting", "ready", "stopping", "ended"
	Asked      time.Time  `json:"asked"`  // when the pool wanted it
	Why        []Decision `json:"why"`    // why it was started
	Phases     []Phase    `json:"phases"` // of its start
	Lived      float64    `json:"lived"`  // seconds from Asked to its end, or until now
	Inputs     int64      `json:"inputs"` // that it was given
	Running    int        `json:"running"`
	Ended      time.Time  `json:"ended,omitzero"`
	Wanted     bool       `json:"wanted,omitempty"` // the host ended it
	Reason     string     `json:"reason,omitempty"` // why it ended
	Exit       string     `json:"exit,omitempty"`   // how its process ended
	Peak       int64      `json:"peak,omitempty"`   // bytes of memory at the highest
	Limit      int64      `json:"limit,omitempty"`  // bytes of memory that it may use
}

// Decision is one rule that a pool's decision was made by.
type Decision struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

// FunctionTrace is what is known of a function.
type FunctionTrace struct {
	ID       string     `json:"id"`
	Pool     string     `json:"pool"` // differs between variants
	App      string     `json:"app"`
	AppName  string     `json:"app_name"`
	Function string     `json:"function"`
	Ended    bool       `json:"ended,omitempty"` // its app has
	Queued   int        `json:"queued"`
	Running  int        `json:"running"`
	Delayed  int        `json:"delayed"`
	Starting int        `json:"starting"` // containers
	Ready    int        `json:"ready"`
	Stopping int        `json:"stopping"`
	Want     int        `json:"want"` // containers that the pool wants
	Rules    []Decision `json:"rules,omitempty"`
	// Input and Startup are seconds as the pool has measured them; 0 = not yet.
	Input      float64          `json:"input"`
	Startup    float64          `json:"startup"`
	Waits      *Waits           `json:"waits,omitempty"`
	Calls      []CallTrace      `json:"calls,omitempty"`    // live ones, then the latest
	Failures   []CallTrace      `json:"failures,omitempty"` // of the latest calls those that failed or were tried again
	Containers []ContainerTrace `json:"containers,omitempty"`
}
