package sdk

// Where a host puts things in a container.
const (
	// ContainerDir is the folder of the packages gx and modal, read-only.
	ContainerDir = "/__gx/sdk"
	// ContainerRunDir is the folder of the socket to the host.
	ContainerRunDir = "/__gx/run"
)

// RunnerArgs is the command line of the runner in a container: its Python,
// without writing byte code of the user's files into a layer that is thrown
// away.
func RunnerArgs(python string) []string {
	return []string{python, "-B", ContainerDir + "/gx/_runner/main.py"}
}

// TemplateArgs is the command line of the runner as a template, for
// container.Forker: it loads the user's code, and the containers that are
// forked from it are runners.
func TemplateArgs(python string) []string {
	return append(RunnerArgs(python), "template")
}
