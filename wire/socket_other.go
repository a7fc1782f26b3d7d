//go:build !unix

package wire

import (
	"errors"
	"os"
)

// This system does not pass descriptors: payloads travel in pieces.
const (
	canPass = false
	oobSize = 0
)

var errNoSockets = errors.New("descriptors cannot be passed on this system")

func truncated(int) bool                             { return false }
func parseFiles([]byte) ([]*os.File, error)          { return nil, errNoSockets }
func duplicate(*os.File) (int, error)                { return -1, errNoSockets }
func closeFD(int)                                    {}
func rights(int) []byte                              { return nil }
func sendmsg(uintptr, [][]byte, []byte) (int, error) { return 0, errNoSockets }
func wouldBlock(error) bool                          { return false }
