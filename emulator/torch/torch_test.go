package torch

import (
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	files := Files()
	for _, name := range []string{"sitecustomize.py", "gx_cuda/__init__.py", "gx_cuda/hook.py", "gx_cuda/tensors.py"} {
		if len(files[name]) == 0 {
			t.Errorf("%s is not there", name)
		}
	}
	for name := range files {
		if !strings.HasSuffix(name, ".py") {
			t.Errorf("%s is no source", name)
		}
	}
}
