package app

// Image is a recipe: a chain of steps, the first of which is a base. Its
// digest names the image.
type Image struct {
	Steps []Step `json:"steps"`
	// Force rebuilds from this step's index on, whatever is cached; -1 = nowhere.
	Force int `json:"force"`
}

// Step is one step of a recipe. Op says which of the other fields count.
type Step struct {
	Op Op `json:"op"`

	// OpDebianSlim, OpRegistry, OpScratch, OpDockerfile: the bases.
	Python    string   `json:"python,omitempty"`     // OpDebianSlim: "3.11"; "" = any, nearest to Manifest.Python
	Tag       string   `json:"tag,omitempty"`        // OpRegistry: image reference
	AddPython string   `json:"add_python,omitempty"` // OpRegistry, OpDockerfile
	Setup     []string `json:"setup,omitempty"`      // OpRegistry: Dockerfile commands run before anything else

	// OpDockerfile (a base) and OpDockerfileCommands (a step).
	Dockerfile string            `json:"dockerfile,omitempty"` // the file's text
	BuildArgs  map[string]string `json:"build_args,omitempty"`

	// OpApt, OpPip, OpUVPip: what to install.
	Packages []string `json:"packages,omitempty"`
	// OpPip, OpUVPip, OpUVSync, OpPoetry: options as pip, uv and Poetry spell them, in order, e.g. ["--pre", "--extra-index-url", "https://..."].
	Options []string `json:"options,omitempty"`
	// OpPip, OpUVPip: text of the requirements file, where there is one.
	Requirements string `json:"requirements,omitempty"`
	// OpUVPip, OpUVSync, OpPoetry: the version of uv, or of Poetry; "" = the newest.
	Tool string `json:"tool,omitempty"`

	// OpRun: shell commands, run one after the other in one layer.
	Commands []string `json:"commands,omitempty"`

	// OpEnv: variables of the image; of other steps, of their commands alone.
	// OpWorkdir: Path; OpEntrypoint, OpCmd, OpShell: Commands.
	Env  map[string]string `json:"env,omitempty"`
	Path string            `json:"path,omitempty"`

	// Secrets are variables of the step's commands whose values are neither
	// kept nor shown, and do not count when it is asked whether a step changed.
	// Of OpRegistry they have the registry's user and password.
	Secrets []Secret `json:"secrets,omitempty"`

	// Volumes are there while a command of OpRun, or the function of OpFunction,
	// runs; what it has written into them is committed when it has ended well. In a
	// host they have ids.
	Volumes []VolumeMount `json:"volumes,omitempty"`

	// OpFunction: what is called, and for how long it may run.
	Function *BuildFunction `json:"function,omitempty"`
	Timeout  float64        `json:"timeout,omitempty"` // seconds; 0 = no limit

	// OpCopy, the build context of the Dockerfile steps, and the project of
	// OpUVSync and OpPoetry. Of OpFunction the
	// user's own modules, which are there while it runs.
	Files []File `json:"files,omitempty"`

	// File and Line are where the user wrote the step, for messages; they are
	// not part of the recipe's digest.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// BuildFunction is a Python function that runs while an image is built.
type BuildFunction struct {
	Name string `json:"name"` // as its user knows it
	// Key is the digest of all that decides what it does: its source, what of
	// the user's own it refers to, and its arguments.
	Key      string `json:"key"`
	Module   string `json:"module,omitempty"`
	Qualname string `json:"qualname,omitempty"`
	Payload  []byte `json:"payload,omitempty"` // the pickled function, where no module has it
	Args     []byte `json:"args,omitempty"`    // pickled (args, kwargs)
}

// Identity is what of a step decides what it makes: not where it was written,
// where its files lie, for how long it may run, or what its secrets' values
// are. It may be kept.
func (s Step) Identity() Step {
	s.File, s.Line, s.Timeout = "", 0, 0
	if s.Function != nil {
		s.Function = &BuildFunction{Name: s.Function.Name, Key: s.Function.Key}
		s.Files = nil
	}
	if names := Variables(s.Secrets); len(names) > 0 {
		for name := range names {
			names[name] = ""
		}
		s.Secrets = []Secret{{Values: names}}
	}
	files := make([]File, len(s.Files))
	for i, f := range s.Files {
		f.Local = ""
		files[i] = f
	}
	s.Files = files
	return s
}

// Op names a kind of step.
type Op string

// The kinds of steps.
const (
	OpDebianSlim         Op = "debian_slim"
	OpRegistry           Op = "registry"
	OpScratch            Op = "scratch"
	OpDockerfile         Op = "dockerfile"
	OpDockerfileCommands Op = "dockerfile_commands"
	OpApt                Op = "apt_install"
	OpPip                Op = "pip_install"
	OpUVPip              Op = "uv_pip_install"
	OpUVSync             Op = "uv_sync"
	OpPoetry             Op = "poetry_install_from_file"
	OpRun                Op = "run_commands"
	OpEnv                Op = "env"
	OpWorkdir            Op = "workdir"
	OpEntrypoint         Op = "entrypoint"
	OpCmd                Op = "cmd"
	OpShell              Op = "shell"
	OpCopy               Op = "copy"
	OpFunction           Op = "run_function"
)
