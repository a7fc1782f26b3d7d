package container

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good := func() Spec {
		return Spec{
			ID: "fu-1", Root: Root{Lower: []string{dir}}, Args: []string{"true"}, Dir: "/root",
			Mounts: []Mount{{Source: dir, Target: "/__gx/sdk"}}, Stdout: os.Stdout, Stderr: os.Stderr,
		}
	}
	assert.NoError(t, good().Validate())
	for message, change := range map[string]func(*Spec){
		"no container id":         func(s *Spec) { s.ID = "A" },
		"at most 64":              func(s *Spec) { s.ID = strings.Repeat("a", 65) },
		"no command":              func(s *Spec) { s.Args = []string{""} },
		"standard output":         func(s *Spec) { s.Stderr = nil },
		"limit is negative":       func(s *Spec) { s.Disk = -1 },
		"is not absolute":         func(s *Spec) { s.Dir = "root" },
		"kind of network":         func(s *Spec) { s.Network = "bridge" },
		"not an absolute path":    func(s *Spec) { s.Root.Lower = []string{"x"} },
		"two absolute paths":      func(s *Spec) { s.Mounts[0].Target = "/x/.." },
		"mounted at /__gx/sdk":    func(s *Spec) { s.Mounts[0].Source = dir + "/missing" },
		`"-a" is no container id`: func(s *Spec) { s.ID = "-a" },
	} {
		s := good()
		change(&s)
		assert.ErrorContains(t, s.Validate(), message)
	}
}
