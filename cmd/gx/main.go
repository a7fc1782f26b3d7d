// Command gx runs decorated Python functions in containers, on machines of
// your own. This package is its command line: one file for each command, which
// holds flags, output and the exit code, and nothing that a second front end
// would need.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/engine/container/runc"
)

// version is set by the linker; it is the one variable of this package.
var version = "dev"

func main() {
	// The first process of a host's containers is this program again.
	if len(os.Args) > 1 && os.Args[1] == runc.ReaperCommand {
		os.Exit(runc.RunReaper())
	}
	os.Exit(run(context.Background(), os.Args[1:]))
}

// run is gx from its arguments to its exit code.
func run(ctx context.Context, args []string) int {
	d := newDeps(version)
	root := newRootCmd(d) //nolint:contextcheck // cobra hands it to the commands
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	d.ui.Flush()
	if err == nil {
		return exit.OK
	}
	e, ok := errors.AsType[*exit.Error](err)
	switch {
	case !ok:
		// What cobra itself refuses is a matter of usage.
		d.ui.Problem(ui.Problem{What: firstLine(err), Do: "gx help"})
		return exit.Usage
	case e.Err != nil:
		d.problem(e)
	}
	return e.Code
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(fmt.Sprint(err), "\n")
	return line
}
