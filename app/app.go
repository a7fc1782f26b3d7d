// Package app is the app model as plain data: what a user's Python file
// declares, after the SDK has read it and before a host acts on it. It is the
// JSON that crosses every boundary of gx, so it knows nothing of sockets,
// containers, builds or terminals.
package app

import "maps"

// ManifestVersion is the version of the manifest's format. A host refuses a
// manifest of another version and says which side is older.
const ManifestVersion = 1

// Manifest is everything that one app declares.
type Manifest struct {
	Version int    `json:"version"`
	Name    string `json:"name"` // the app's name; "" for an app without one
	// Environment is the set of names that the app's belongs to, and those that
	// its functions use; "" = the host's main one.
	Environment string     `json:"environment,omitempty"`
	SDK         string     `json:"sdk"`              // version of the SDK that wrote it
	Python      string     `json:"python"`           // "3.11": the Python that imported the file
	File        string     `json:"file,omitempty"`   // the file that declares it, as the user named it
	Functions   []Function `json:"functions"`        //
	Images      []Image    `json:"images"`           // referred to by index from Functions
	Mounts      []Mount    `json:"mounts,omitempty"` // referred to by index from Functions
}

// Function is one function, or one class whose methods share containers.
type Function struct {
	Name     string   `json:"name"`               // unique in the app: "square", or "Model" for a class
	Module   string   `json:"module,omitempty"`   // module that defines it, as it is imported in the container
	Qualname string   `json:"qualname,omitempty"` // its path within the module: "square", "Model"
	Payload  []byte   `json:"payload,omitempty"`  // the pickled function, where it was declared serialized=True
	File     string   `json:"file,omitempty"`     // where it is defined, for messages
	Line     int      `json:"line,omitempty"`     //
	Class    bool     `json:"class,omitempty"`    //
	Methods  []Method `json:"methods,omitempty"`  // of a class; a plain function has none
	// Parametrized says that a class can't be made without parameters: it has
	// containers for each set of them, and none without.
	Parametrized bool `json:"parametrized,omitempty"`
	// Parameters are those of a class with web endpoints that a request's query gives it.
	Parameters []Parameter `json:"parameters,omitempty"`
	Generator  bool        `json:"generator,omitempty"` // of a plain function
	// Shape is a digest of all of the user's modules that the function can see
	// but the bodies of plain functions and methods. As long as it stays, code can
	// be exchanged in containers that run; "" = not known.
	Shape string `json:"shape,omitempty"`
	Web   *Web   `json:"web,omitempty"` // a plain function that answers web requests, and no calls

	Image   int               `json:"image"`             // index into Manifest.Images
	Mounts  []int             `json:"mounts,omitempty"`  // indexes into Manifest.Mounts
	Volumes []VolumeMount     `json:"volumes,omitempty"` //
	Env     map[string]string `json:"env,omitempty"`     // wins over Secrets
	Secrets []Secret          `json:"secrets,omitempty"` //
	GPU     []string          `json:"gpu,omitempty"`     // in order of preference: "A10G", "A100-80GB:2"
	CPU     Limit             `json:"cpu"`               // cores
	Memory  Limit             `json:"memory"`            // MiB
	Disk    int               `json:"disk,omitempty"`    // MiB of writable layer; 0 = the host's default
	Network string            `json:"network,omitempty"` // "" = outbound, "none" = blocked

	Timeout        float64 `json:"timeout"`         // seconds for one attempt
	StartupTimeout float64 `json:"startup_timeout"` // seconds for import and enter hooks
	Retries        Retries `json:"retries"`
	Scaling        Scaling `json:"scaling"`
	MaxInputs      int     `json:"max_inputs,omitempty"` // inputs one container may ever take; 0 = no limit
	Concurrency    int     `json:"concurrency"`          // inputs at once in one container; 1 = one after the other
	TargetInputs   int     `json:"target_inputs,omitempty"`
	Batch          *Batch  `json:"batch,omitempty"` // nil = single inputs; a class with a batched method has no other

	Schedule *Schedule `json:"schedule,omitempty"` // of a plain function: when it is called by itself, once it is deployed
}

// Schedule is when a function is called by itself: either of Cron and Period.
type Schedule struct {
	Cron     string  `json:"cron,omitempty"`     // five fields: minute, hour, day of month, month, day of week
	Timezone string  `json:"timezone,omitempty"` // of Cron, a name of the IANA database; "" = UTC
	Period   *Period `json:"period,omitempty"`
}

// Period is the distance between two calls, the first of which is so long after
// the deployment.
type Period struct {
	Years   int     `json:"years,omitempty"`
	Months  int     `json:"months,omitempty"`
	Weeks   int     `json:"weeks,omitempty"`
	Days    int     `json:"days,omitempty"`
	Hours   int     `json:"hours,omitempty"`
	Minutes int     `json:"minutes,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

// Parameter is one parameter of a class. A query gives it as text.
type Parameter struct {
	Name    string  `json:"name"`
	Type    string  `json:"type"`              // of Python's: "str", "int", "float", "bool"
	Default *string `json:"default,omitempty"` // as a query would give it; nil = it must be given
}

// Method is one method of a class.
type Method struct {
	Name      string `json:"name"`
	Generator bool   `json:"generator,omitempty"`
	Web       *Web   `json:"web,omitempty"` // it answers web requests, and no calls
}

// Kinds of web endpoints: what the user's function is, or makes.
const (
	WebFastAPI = "fastapi" // a function that FastAPI calls for each request
	WebASGI    = "asgi"    // makes an ASGI application, once in each container
	WebWSGI    = "wsgi"    // makes a WSGI application, once in each container
	WebServer  = "server"  // starts a server that listens on a port, once in each container
)

// Web is a function or method as a web endpoint.
type Web struct {
	Kind      string `json:"kind"`
	Label     string `json:"label,omitempty"`      // its name in URLs; "" = made of the app's and the function's
	Method    string `json:"method,omitempty"`     // of WebFastAPI: "GET", ...
	Docs      bool   `json:"docs,omitempty"`       // of WebFastAPI: it has pages that describe it
	ProxyAuth bool   `json:"proxy_auth,omitempty"` // requests need a token, see package engine/gateway
	Port      int    `json:"port,omitempty"`       // of WebServer
	// StartupTimeout is how many seconds a WebServer has to listen.
	StartupTimeout float64 `json:"startup_timeout,omitempty"`
}

// Limit is a request (what is set aside) and a limit (what is enforced). Zero
// means the host's default.
type Limit struct {
	Request float64 `json:"request,omitempty"`
	Max     float64 `json:"max,omitempty"`
}

// Retries is how failed attempts are repeated.
type Retries struct {
	Max     int     `json:"max,omitempty"`     // attempts after the first
	Initial float64 `json:"initial,omitempty"` // seconds before the first retry
	Factor  float64 `json:"factor,omitempty"`  // by which the delay grows
	Longest float64 `json:"longest,omitempty"` // seconds, the delay's ceiling
}

// Scaling bounds how many containers a function has.
type Scaling struct {
	Min    int     `json:"min,omitempty"`
	Max    int     `json:"max,omitempty"` // 0 = what the host allows
	Buffer int     `json:"buffer,omitempty"`
	Window float64 `json:"window,omitempty"` // seconds a container stays idle; 0 = the default, 60
}

// Options are what a variant of a function has otherwise than the function
// itself: with_options, with_concurrency, with_batching. Nil, and what is empty,
// stay as they are. A variant has containers of its own.
type Options struct {
	Env          map[string]string `json:"env,omitempty"`     // added to the function's
	Volumes      []VolumeMount     `json:"volumes,omitempty"` // in place of the function's
	Secrets      []Secret          `json:"secrets,omitempty"` // after the function's
	GPU          []string          `json:"gpu,omitempty"`
	CPU          *Limit            `json:"cpu,omitempty"`
	Memory       *Limit            `json:"memory,omitempty"`
	Timeout      float64           `json:"timeout,omitempty"` // seconds
	Retries      *Retries          `json:"retries,omitempty"`
	Max          int               `json:"max_containers,omitempty"`
	Buffer       int               `json:"buffer_containers,omitempty"`
	Window       float64           `json:"scaledown_window,omitempty"` // seconds
	Concurrency  int               `json:"concurrency,omitempty"`
	TargetInputs int               `json:"target_inputs,omitempty"`
	Batch        *Batch            `json:"batch,omitempty"`
}

// With is the variant of a function that has these options.
func (f Function) With(o Options) Function {
	if len(o.Env) > 0 {
		env := make(map[string]string, len(f.Env)+len(o.Env))
		maps.Copy(env, f.Env)
		maps.Copy(env, o.Env)
		f.Env = env
	}
	if len(o.Volumes) > 0 {
		f.Volumes = o.Volumes
	}
	if len(o.Secrets) > 0 {
		f.Secrets = append(f.Secrets[:len(f.Secrets):len(f.Secrets)], o.Secrets...)
	}
	if len(o.GPU) > 0 {
		f.GPU = o.GPU
	}
	if o.CPU != nil {
		f.CPU = *o.CPU
	}
	if o.Memory != nil {
		f.Memory = *o.Memory
	}
	if o.Timeout != 0 {
		f.Timeout = o.Timeout
	}
	if o.Retries != nil {
		f.Retries = *o.Retries
	}
	if o.Max != 0 {
		f.Scaling.Max = o.Max
	}
	if o.Buffer != 0 {
		f.Scaling.Buffer = o.Buffer
	}
	if o.Window != 0 {
		f.Scaling.Window = o.Window
	}
	// A variant begins without containers: those that are kept are the function's.
	f.Scaling.Min = 0
	if o.Concurrency != 0 {
		f.Concurrency, f.TargetInputs = o.Concurrency, o.TargetInputs
	}
	if o.Batch != nil {
		f.Batch = o.Batch
	}
	return f
}

// Batch is dynamic batching.
type Batch struct {
	Size int `json:"size"`
	Wait int `json:"wait"` // milliseconds
}

// VolumeMount is a volume in a function's containers.
type VolumeMount struct {
	Volume      string `json:"volume"`                // its name, or its id where it has none: "vo-..."
	Environment string `json:"environment,omitempty"` // of the name; "" = the app's
	ID          bool   `json:"id,omitempty"`          // Volume is an id
	Path        string `json:"path"`                  // absolute, slash-separated path in the container
	ReadOnly    bool   `json:"read_only,omitempty"`   //
	SubPath     string `json:"sub_path,omitempty"`    // the folder of the volume that is shown; "" = all of it
	Create      bool   `json:"create,omitempty"`      // make a volume of that name if there is none
}

// Mount is a set of local files that appear read-only in a container.
type Mount struct {
	Files []File `json:"files"`
}

// File is one file of a Mount or of an image's copy step, or an empty directory. The SDK names its
// Local path; before a manifest goes to a host the client replaces that by the
// content's hash and uploads what the host lacks.
type File struct {
	Remote string `json:"remote"`           // absolute, slash-separated path in the container
	Local  string `json:"local,omitempty"`  // path on the client; never set in a host
	SHA256 string `json:"sha256,omitempty"` // hex digest of the content; always set in a host
	Size   int64  `json:"size"`             // bytes
	Mode   uint32 `json:"mode"`             // permission bits, e.g. 0o644
	Dir    bool   `json:"dir,omitempty"`    // an empty directory, without Local, SHA256 and Size
}
