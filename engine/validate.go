package engine

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/parameter"
	"github.com/gx-dev/gx/engine/schedule"
	"github.com/gx-dev/gx/engine/source"
	"github.com/gx-dev/gx/gpu"
)

// Limits of a manifest.
const (
	maxFunctions   = 1000
	maxSteps       = 1000
	maxName        = 128
	maxConcurrency = 1000
	maxRetries     = 10
	maxBatch       = 1000    // inputs in a batch
	maxLinger      = 600_000 // milliseconds that an input waits for company
	maxEnv         = 1000
	maxVolumes     = 100
	maxSecrets     = 100
	maxPath        = 1000     // bytes in the path of a volume
	maxEnvBytes    = 64 << 10 // of one variable
	maxTime        = 30 * 24 * 3600
)

var (
	// nameRule is what apps and functions may be called: a function's name is
	// a Python path, a method's class before a dot.
	nameRule = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.<>-]*$`)
	envRule  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// check says what is wrong with a manifest, in a user's words.
func check(m *app.Manifest, images []string) error {
	switch {
	case m.Version > app.ManifestVersion:
		return invalid("the app was written by an SDK (%s) that is newer than this host; update the host", m.SDK)
	case m.Version < app.ManifestVersion:
		return invalid("the app was written by an SDK (%s) that is older than this host; update the SDK", m.SDK)
	case m.Name != "" && (len(m.Name) > maxName || !nameRule.MatchString(m.Name)):
		return invalid("%.150q cannot be an app's name: letters, digits, dots, dashes and underscores, at most %d of them", m.Name, maxName)
	case len(m.Functions) > maxFunctions:
		return invalid("the app has %d functions; at most %d are allowed", len(m.Functions), maxFunctions)
	case len(images) != len(m.Images):
		return invalid("the app has %d images, but %d were built", len(m.Images), len(images))
	}
	names := map[string]bool{}
	for i := range m.Functions {
		f := &m.Functions[i]
		if names[f.Name] {
			return at(f, "there are two functions of this name in the app")
		}
		names[f.Name] = true
		if err := checkFunction(f, len(m.Images), len(m.Mounts)); err != nil {
			return err
		}
	}
	for _, mount := range m.Mounts {
		if err := checkFiles(mount.Files); err != nil {
			return err
		}
	}
	return nil
}

// at is an error about a function, with where it is.
func at(f *app.Function, format string, args ...any) error {
	where := ""
	if f.File != "" {
		where = fmt.Sprintf(" (%s, line %d)", f.File, f.Line)
	}
	return invalid("function %.150q%s: %s", f.Name, where, fmt.Sprintf(format, args...))
}

func checkFunction(f *app.Function, images, mounts int) error {
	switch {
	case len(f.Name) > maxName || !nameRule.MatchString(f.Name):
		return at(f, "this cannot be a function's name: at most %d letters, digits, dots and underscores", maxName)
	case len(f.Payload) == 0 && (f.Module == "" || f.Qualname == ""):
		return at(f, "it says neither where it is defined nor what it is")
	case f.Image < 0 || f.Image >= images:
		return at(f, "it has no image")
	case f.CPU.Request < 0 || f.CPU.Max < 0 || f.CPU.Max > 0 && f.CPU.Max < f.CPU.Request:
		return at(f, "cpu=%v with a limit of %v: the limit must not be below the request, nor one of them below 0", f.CPU.Request, f.CPU.Max)
	case f.Memory.Request < 0 || f.Memory.Max < 0 || f.Memory.Max > 0 && f.Memory.Max < f.Memory.Request:
		return at(f, "memory=%v with a limit of %v (MiB): the limit must not be below the request, nor one of them below 0", f.Memory.Request, f.Memory.Max)
	case f.Memory.Max > 0 && f.Memory.Max < 16:
		return at(f, "a memory limit of %v MiB is too little for Python; memory is given in MiB", f.Memory.Max)
	case f.Disk < 0:
		return at(f, "ephemeral_disk=%d: it must not be below 0", f.Disk)
	case f.Timeout < 0 || f.Timeout > maxTime || f.StartupTimeout < 0 || f.StartupTimeout > maxTime:
		return at(f, "timeout=%v, startup_timeout=%v: they must be between 0 and %d seconds", f.Timeout, f.StartupTimeout, maxTime)
	case f.Retries.Max < 0 || f.Retries.Max > maxRetries || f.Retries.Initial < 0 || f.Retries.Initial > 3600 || f.Retries.Longest < 0 || f.Retries.Longest > 3600 || f.Retries.Factor < 0 || f.Retries.Factor > 100:
		return at(f, "retries: at most %d, with delays of at most an hour", maxRetries)
	case f.Scaling.Min < 0 || f.Scaling.Max < 0 || f.Scaling.Buffer < 0 || f.Scaling.Window < 0 || f.Scaling.Window > maxTime:
		return at(f, "min_containers, max_containers, buffer_containers and scaledown_window must not be below 0")
	case f.Scaling.Max > 0 && f.Scaling.Min > f.Scaling.Max:
		return at(f, "min_containers=%d is more than max_containers=%d", f.Scaling.Min, f.Scaling.Max)
	case f.Concurrency < 0 || f.Concurrency > maxConcurrency:
		return at(f, "%d inputs at once in one container; at most %d are allowed", f.Concurrency, maxConcurrency)
	case f.MaxInputs < 0:
		return at(f, "max_inputs=%d: it must not be below 0", f.MaxInputs)
	case f.Network != "" && f.Network != "none":
		return at(f, "network %q is not known", f.Network)
	case len(f.Env) > maxEnv:
		return at(f, "it has %d environment variables; at most %d are allowed", len(f.Env), maxEnv)
	case f.Batch != nil && (f.Batch.Size < 1 || f.Batch.Size > maxBatch || f.Batch.Wait < 0 || f.Batch.Wait > maxLinger):
		return at(f, "batches of %d inputs within %d ms: at most %d inputs and %d ms are allowed", f.Batch.Size, f.Batch.Wait, maxBatch, maxLinger)
	case f.Batch != nil && f.Generator:
		return at(f, "a generator cannot be batched")
	case f.Class && len(f.Methods) == 0:
		return at(f, "the class has no method; put @method() on one")
	}
	if f.Schedule != nil {
		if _, err := schedule.Parse(*f.Schedule); err != nil {
			return at(f, "schedule: %v", err)
		}
		if f.Class || f.Web != nil || f.Generator || f.Batch != nil {
			return at(f, "only a plain function can have a schedule: no class, web endpoint, generator or batched function")
		}
	}
	if err := parameter.Check(f.Parameters); err != nil {
		return at(f, "%v", err)
	}
	if err := checkWeb(f, f.Web); err != nil {
		return err
	}
	for _, m := range f.Methods {
		if err := checkWeb(f, m.Web); err != nil {
			return err
		}
	}
	for _, i := range f.Mounts {
		if i < 0 || i >= mounts {
			return at(f, "it names a set of files that the app does not have")
		}
	}
	if err := checkVolumes(f.Volumes, func(format string, args ...any) error { return at(f, format, args...) }); err != nil {
		return err
	}
	if len(f.Secrets) > maxSecrets {
		return at(f, "it has %d secrets; at most %d are allowed", len(f.Secrets), maxSecrets)
	}
	for _, s := range f.Secrets {
		if err := checkSecret(s); err != nil {
			return at(f, "%v", err)
		}
	}
	for k, v := range f.Env {
		if !envRule.MatchString(k) || len(v) > maxEnvBytes || strings.ContainsRune(v, 0) {
			return at(f, "the environment variable %.50q: its name must be letters, digits and underscores, its value at most %d bytes without a NUL", k, maxEnvBytes)
		}
	}
	if _, err := gpu.ParseAll(f.GPU); err != nil {
		return at(f, "%v", err)
	}
	return nil
}

// checkSecret says what is wrong with a secret, without showing a value.
func checkSecret(s app.Secret) error {
	switch {
	case s.Name == "":
		return app.CheckValues(s.Values)
	case len(s.Values) > 0:
		return fmt.Errorf("secret %.80q has a name, and values", s.Name)
	case len(s.Required) > app.MaxSecretKeys:
		return fmt.Errorf("secret %.80q: required_keys= has %d names; at most %d are allowed", s.Name, len(s.Required), app.MaxSecretKeys)
	}
	return app.CheckName("secret", s.Name)
}

// reserved are folders of a container that a volume must not hide.
var reserved = []string{"/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/lib", "/lib64", "/sbin", "/__gx"}

// checkVolumes says what is wrong with where volumes are mounted; wrong makes an
// error that tells whose they are.
func checkVolumes(volumes []app.VolumeMount, wrong func(format string, args ...any) error) error {
	if len(volumes) > maxVolumes {
		return wrong("it has %d volumes; at most %d are allowed", len(volumes), maxVolumes)
	}
	var paths []string
	for _, v := range volumes {
		p := v.Path
		switch {
		case !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) || len(p) > maxPath:
			return wrong("the volume's path %.200q has to be absolute, without \"..\" and without a slash at its end", p)
		case p == "/" || p == "/root":
			return wrong("a volume cannot be mounted at %s, which has other files of the container", p)
		case strings.ContainsRune(v.SubPath, 0) || len(v.SubPath) > maxPath || slices.Contains(strings.Split(v.SubPath, "/"), ".."):
			return wrong("the folder %.200q of the volume at %s cannot have \"..\" in it", v.SubPath, p)
		}
		for _, r := range reserved {
			if p == r || r != "/etc" && r != "/usr" && strings.HasPrefix(p, r+"/") {
				return wrong("a volume cannot be mounted at %s, which has other files of the container", p)
			}
		}
		for _, other := range paths {
			if p == other {
				return wrong("two volumes are mounted at %s", p)
			}
			if strings.HasPrefix(p, other+"/") || strings.HasPrefix(other, p+"/") {
				return wrong("the volumes at %s and %s are one within the other", other, p)
			}
		}
		paths = append(paths, p)
	}
	return nil
}

func checkFiles(files []app.File) error {
	if len(files) > source.MaxFiles {
		return invalid("%d files are to be mounted; at most %d are allowed", len(files), source.MaxFiles)
	}
	for _, f := range files {
		if err := source.CheckPath(f.Remote); err != nil {
			return invalid("%v", err)
		}
		if !hashed(f) {
			return invalid("the file %s comes without its hash", f.Remote)
		}
	}
	return nil
}

// hashed tells whether a client has replaced a file's path by its hash; a
// directory has neither.
func hashed(f app.File) bool {
	return f.Local == "" && (f.Dir && f.SHA256 == "" || !f.Dir && blob.Valid(f.SHA256))
}

// checkImage says what is wrong with a recipe. What its steps mean is the
// builder's to say.
func checkImage(image *app.Image) error {
	if len(image.Steps) == 0 {
		return invalid("the image has no step, not even a base")
	}
	if len(image.Steps) > maxSteps {
		return invalid("the image has %d steps; at most %d are allowed", len(image.Steps), maxSteps)
	}
	for i, s := range image.Steps {
		for _, f := range s.Files {
			if !hashed(f) {
				return invalid("step %d of the image: the file %q comes without its hash", i+1, f.Remote)
			}
		}
		if err := checkVolumes(s.Volumes, func(format string, args ...any) error {
			return invalid("step %d of the image: %s", i+1, fmt.Sprintf(format, args...))
		}); err != nil {
			return err
		}
		if len(s.Secrets) > maxSecrets {
			return invalid("step %d of the image has %d secrets; at most %d are allowed", i+1, len(s.Secrets), maxSecrets)
		}
		for _, secret := range s.Secrets {
			if err := checkSecret(secret); err != nil {
				return invalid("step %d of the image: %v", i+1, err)
			}
		}
	}
	return nil
}
