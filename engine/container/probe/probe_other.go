//go:build !linux

package probe

import (
	"context"
	"runtime"
)

func check(context.Context, string) []Finding {
	return []Finding{{
		Name: "operating system", Needed: true,
		Detail: "containers need Linux, and this is " + runtime.GOOS + "; functions run as ordinary processes here",
		Fix:    "use a host on a Linux machine",
	}}
}
