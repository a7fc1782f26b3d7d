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

	// OpApt, OpPip: what to install.
	Packages []string `json:"packages,omitempty"`
	// OpPip: options as pip spells them, in order, e.g. ["--pre", "--extra-index-url", "https://..."].
	Options []string `json:"options,omitempty"`
	// OpPip: text of the requirements file, where there is one.
	Requirements string `json:"requirements,omitempty"`

	// OpRun: shell commands, run one after the other in one layer.
	Commands []string `json:"commands,omitempty"`

	// OpEnv: variables; OpWorkdir: Path; OpEntrypoint, OpCmd, OpShell: Commands.
	Env  map[string]string `json:"env,omitempty"`
	Path string            `json:"path,omitempty"`

	// OpCopy, and the build context of the Dockerfile steps.
	Files []File `json:"files,omitempty"`

	// File and Line are where the user wrote the step, for messages; they are
	// not part of the recipe's digest.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
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
	OpRun                Op = "run_commands"
	OpEnv                Op = "env"
	OpWorkdir            Op = "workdir"
	OpEntrypoint         Op = "entrypoint"
	OpCmd                Op = "cmd"
	OpShell              Op = "shell"
	OpCopy               Op = "copy"
)
