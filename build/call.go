package build

import (
	"encoding/json"
	"fmt"

	"github.com/gx-dev/gx/app"
)

// CallFile is the file, in a folder of its own, from which the program that
// calls a function in a build step learns what to call.
const CallFile = "request.json"

// CallProgram is that program, below the folder of the Python packages. Its
// arguments are the step's key and the folder.
const CallProgram = "gx/_runner/build.py"

// CallRequest is the content of CallFile. The function's modules are below root.
func CallRequest(step app.Step, root string) ([]byte, error) {
	data, err := json.Marshal(struct {
		*app.BuildFunction
		Timeout float64 `json:"timeout,omitempty"` // seconds
		Root    string  `json:"root"`
	}{step.Function, step.Timeout, root})
	if err != nil {
		return nil, fmt.Errorf("writing what %s is to be given: %w", step.Function.Name, err)
	}
	return data, nil
}
