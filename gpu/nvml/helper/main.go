//go:build cgo && linux

// The program gx-nvml tells gx of a machine's NVIDIA cards. It is a program of
// its own because NVIDIA's library needs a C library and lazy binding, which the
// one static binary gx does not have, and because a call on a card that fails
// may hang or crash: gx starts another one then. It speaks package protocol, and
// ends with its standard input.
package main

import (
	"os"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func main() {
	if err := serve(nvml.New(), os.Stdin, os.Stdout); err != nil {
		os.Exit(1)
	}
}
