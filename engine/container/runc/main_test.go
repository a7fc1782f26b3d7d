//go:build linux

package runc

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ReaperCommand {
		os.Exit(RunReaper())
	}
	os.Exit(m.Run())
}
