package doctor

import (
	"context"
	"fmt"

	"github.com/gx-dev/gx/sdk"
)

// Python checks that there is a Python that can import a user's files.
func Python(env func(string) string) Check {
	return one("python", func(ctx context.Context) Result {
		path, version, err := sdk.FindPython(ctx, env)
		if err != nil {
			return Result{Level: Fail, Found: err.Error(), Mend: "apt-get install python3, or set GX_PYTHON to one"}
		}
		return Result{Level: OK, Found: fmt.Sprintf("Python %s at %s", version, path)}
	})
}

// SDK checks that the Python packages can be unpacked.
func SDK(cacheDir string) Check {
	return one("sdk", func(context.Context) Result {
		dir, err := sdk.Extract(cacheDir)
		if err != nil {
			return Result{Level: Fail, Found: err.Error(), Mend: "set GX_CACHE_DIR to a folder of your own"}
		}
		return Result{Level: OK, Found: "gx and modal at " + dir}
	})
}
