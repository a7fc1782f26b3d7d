package explain

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/sdk"
)

func TestPipPackage(t *testing.T) {
	for module, want := range map[string]string{
		"numpy":           "numpy",
		"cv2":             "opencv-python-headless",
		"PIL.Image":       "pillow",
		"sklearn.svm":     "scikit-learn",
		"yaml":            "pyyaml",
		"google.protobuf": "protobuf",
		"my_package.sub":  "my-package",
	} {
		require.Equal(t, want, PipPackage(module), module)
	}
}

func TestMissingModuleInContainer(t *testing.T) {
	remote := "Traceback (most recent call last):\n  File \"/root/app.py\", line 3, in f\n    import cv2\n"
	p := Exception(sdk.Exception{Kind: "user", Type: "ModuleNotFoundError", Message: "No module named 'cv2'",
		Traceback: remote + "ModuleNotFoundError: No module named 'cv2'\n"})
	require.Equal(t, "ModuleNotFoundError: No module named 'cv2'", p.What)
	require.Equal(t, remote, p.Detail, "what is said below is not said twice")
	require.Contains(t, p.Do, `.pip_install("opencv-python-headless")`)

	p = Exception(sdk.Exception{Kind: "user", Type: "ExecutionError", Message: "lost", Traceback: remote + "gx.exception.ExecutionError: lost\n"})
	require.Equal(t, remote, p.Detail)

	p = Exception(sdk.Exception{Kind: "user", Type: "ModuleNotFoundError", Message: "No module named 'cv2'", Traceback: "File \"/home/me/app.py\""})
	require.Empty(t, p.Do, "the image has nothing to do with what is missing here")

	p = Exception(sdk.Exception{Kind: "user", Type: "ImportError", Traceback: remote,
		Message: "libGL.so.1: cannot open shared object file: No such file or directory"})
	require.Contains(t, p.Do, `.apt_install("libgl1")`)
}

func TestLostContainer(t *testing.T) {
	p := Exception(sdk.Exception{Kind: "user", Type: "ExecutionError", Message: "the process crashed while container co-abcdefghijklmnop ran this input"})
	require.Contains(t, p.Do, "gx why co-abcdefghijklmnop")
	p = Exception(sdk.Exception{Kind: "user", Type: "ValueError", Message: "no container co-op"})
	require.Empty(t, p.Do)
}

func TestBuild(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.py")
	require.NoError(t, os.WriteFile(file, []byte("import gx\n\nimage = gx.Image.debian_slim().pip_install(\"nunpy\")\n"), 0o600))
	p := Build("square", &api.Error{Message: "pip ended with status 1", Step: &api.StepFailure{
		Name: "pip_install nunpy", File: file, Line: 3, Code: 1, Log: "ERROR: No matching distribution found for nunpy"}}, "")
	require.Equal(t, "the image of square could not be built: pip_install nunpy ended with exit status 1", p.What)
	require.Equal(t, `image = gx.Image.debian_slim().pip_install("nunpy")`, p.Source)
	require.Contains(t, p.Detail, "No matching distribution")
	require.Contains(t, p.Do, "check the package's name")
}

func TestBuildHints(t *testing.T) {
	for text, want := range map[string]string{
		"write /x: no space left on device":                        "gx image prune",
		"E: Unable to locate package pyhton":                       "Debian package",
		"SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed": "gx doctor",
		"error: command 'gcc' failed: No such file":                "build-essential",
		"whatever": "",
	} {
		if want == "" {
			require.Empty(t, buildHint(text))
		} else {
			require.Contains(t, buildHint(text), want)
		}
	}
}
