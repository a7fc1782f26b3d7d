package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minPython is the oldest Python that the SDK runs on, as 3.minPython.
const minPython = 9

// askPython prints where the interpreter really is, which a shim (pyenv, asdf)
// does not tell by its own path, and its version.
const askPython = `import sys; print(sys.executable); print("%d.%d.%d" % sys.version_info[:3])`

// interpreter is what a Python says of itself.
type interpreter struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// FindPython finds the Python that runs the user's files: GX_PYTHON, else that
// of the active virtual environment, else python3 on PATH. It returns the path
// of the interpreter itself and its version ("3.11.2").
//
// Asking a Python costs tens of milliseconds, behind a shim a hundred, so the
// answer is remembered in the user's cache folder until the file changes.
func FindPython(ctx context.Context, getenv func(string) string) (path, version string, err error) {
	asked, why, err := choosePython(getenv)
	if err != nil {
		return "", "", err
	}
	key, err := pythonKey(asked, getenv)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", why, err)
	}
	memory := openPythonMemory(getenv)
	found, ok := memory.recall(key)
	if !ok {
		if found, err = ask(ctx, asked); err != nil {
			return "", "", fmt.Errorf("%s: %w", why, err)
		}
		memory.remember(key, found)
	}
	if !supported(found.Version) {
		return "", "", fmt.Errorf("%s: %s is Python %s, and gx needs 3.%d or newer; set GX_PYTHON to one that is",
			why, found.Path, found.Version, minPython)
	}
	return found.Path, found.Version, nil
}

// choosePython decides which Python to ask, and says why that one.
func choosePython(getenv func(string) string) (path, why string, err error) {
	if name := getenv("GX_PYTHON"); name != "" {
		path, err := lookPath(name, getenv)
		if err != nil {
			return "", "", fmt.Errorf("GX_PYTHON is %q: %w", name, err)
		}
		return path, "GX_PYTHON", nil
	}
	if env := getenv("VIRTUAL_ENV"); env != "" {
		path := filepath.Join(env, "bin", "python")
		if _, err := os.Stat(path); err == nil {
			return path, "the virtual environment " + env, nil
		}
		// A stale variable of a deleted environment is no reason to stop.
	}
	path, err = lookPath("python3", getenv)
	if err != nil {
		return "", "", errors.New("there is no python3 on PATH: install one (3.9 or newer), or set GX_PYTHON to one")
	}
	return path, "python3 on PATH", nil
}

// lookPath is exec.LookPath with the PATH of getenv.
func lookPath(name string, getenv func(string) string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return filepath.Abs(name)
	}
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		if dir == "" {
			dir = "."
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("there is no %s on PATH", name)
}

// ask runs a Python to learn what it is.
func ask(ctx context.Context, python string) (interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-I", "-S", "-c", askPython)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return interpreter{}, fmt.Errorf("%s can't be run: %w\n%s", python, err, strings.TrimSpace(stderr.String()))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !filepath.IsAbs(lines[0]) {
		return interpreter{}, fmt.Errorf("%s is not a Python: asked for its version it printed %.200q", python, out)
	}
	return interpreter{Path: lines[0], Version: lines[1]}, nil
}

func supported(version string) bool {
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (major > 3 || major == 3 && minor >= minPython)
}

// pythonKey names a Python as it is now. What a shim stands for is decided by
// files and variables beside it, so these are part of the name.
func pythonKey(path string, getenv func(string) string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		key += " -> " + target
	}
	if isScript(path) {
		key += " " + shimState(getenv)
	}
	return key, nil
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 2)
	n, _ := f.Read(head)
	return n == 2 && string(head) == "#!"
}

// shimState is what pyenv and asdf look at.
func shimState(getenv func(string) string) string {
	state := []string{getenv("PYENV_VERSION"), getenv("ASDF_PYTHON_VERSION")}
	root := getenv("PYENV_ROOT")
	if root == "" {
		root = filepath.Join(getenv("HOME"), ".pyenv")
	}
	names := []string{filepath.Join(root, "version"), filepath.Join(getenv("HOME"), ".tool-versions")}
	if dir, err := os.Getwd(); err == nil {
		for ; ; dir = filepath.Dir(dir) {
			names = append(names, filepath.Join(dir, ".python-version"), filepath.Join(dir, ".tool-versions"))
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			state = append(state, name, strings.TrimSpace(string(text)))
		}
	}
	return strconv.Quote(strings.Join(state, "\x00"))
}

// pythonMemory is the file in which answers are remembered; "" = nowhere.
type pythonMemory string

func openPythonMemory(getenv func(string) string) pythonMemory {
	dir := getenv("GX_CACHE_DIR")
	if dir == "" {
		switch cache, home := getenv("XDG_CACHE_HOME"), getenv("HOME"); {
		case cache != "":
			dir = filepath.Join(cache, "gx")
		case home != "":
			dir = filepath.Join(home, ".cache", "gx")
		default:
			return ""
		}
	}
	return pythonMemory(filepath.Join(dir, "pythons.json"))
}

// mostPythons bounds what is remembered; beyond it everything is forgotten.
const mostPythons = 32

func (m pythonMemory) load() map[string]interpreter {
	known := map[string]interpreter{}
	if data, err := os.ReadFile(string(m)); m != "" && err == nil {
		// A file that can't be understood is as good as none.
		_ = json.Unmarshal(data, &known)
	}
	return known
}

func (m pythonMemory) recall(key string) (interpreter, bool) {
	found, ok := m.load()[key]
	if !ok {
		return found, false
	}
	_, err := os.Stat(found.Path)
	return found, err == nil
}

// remember is best effort: without it the next command asks again.
func (m pythonMemory) remember(key string, found interpreter) {
	if m == "" {
		return
	}
	known := m.load()
	if len(known) >= mostPythons || known == nil {
		known = map[string]interpreter{}
	}
	known[key] = found
	data, err := json.Marshal(known)
	if err != nil || os.MkdirAll(filepath.Dir(string(m)), 0o755) != nil {
		return
	}
	staged := fmt.Sprintf("%s.%d", m, os.Getpid())
	if os.WriteFile(staged, data, 0o644) == nil && os.Rename(staged, string(m)) == nil {
		return
	}
	_ = os.Remove(staged)
}
