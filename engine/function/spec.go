package function

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/sdk"
)

// What a container is set aside where its function says nothing, as users of
// Modal expect it. It may use more, if nobody else does.
const (
	DefaultCores  = 0.125
	DefaultMemory = 128 << 20 // bytes
)

// Resources is what one container of a function is set aside and held to.
// Nothing is set aside, and no more memory may be used, than the host has.
func Resources(f app.Function, ledger *pool.Ledger) (pool.Capacity, Limits) {
	const mib = 1 << 20
	need := pool.Capacity{CPU: f.CPU.Request, Memory: int64(f.Memory.Request * mib), Containers: 1}
	if need.CPU <= 0 {
		need.CPU = DefaultCores
	}
	if need.Memory <= 0 {
		need.Memory = DefaultMemory
	}
	limits := Limits{CPU: f.CPU.Max, Memory: int64(f.Memory.Max * mib), Disk: int64(f.Disk) * mib}
	if limits.Memory <= 0 {
		limits.Memory = ledger.Total().Memory
	}
	return ledger.Clamp(need), limits
}

// root is where the user's files are, and the working directory.
const root = "/root"

// spec says what to run in a container.
func (f *Function) spec(v *Version, s secrets, id, token string) (container.Spec, error) {
	image := v.Image.Config()
	if image.Python == "" {
		return container.Spec{}, fmt.Errorf("the image of %s has no Python: give it one with add_python", f.Name())
	}
	packages, err := f.host.SDK(v.Image)
	if err != nil {
		return container.Spec{}, fmt.Errorf("the SDK for the container: %w", err)
	}
	at := v.Image.Root()
	where := container.Root{Venv: at.Venv}
	where.Lower = append(slices.Clone(v.Sources), at.Lower...)
	dir := image.Workdir
	if dir == "" {
		dir = root
	}
	network := container.NetworkOutbound
	if v.Spec.Network == "none" {
		network = container.NetworkNone
	}
	mounts := []container.Mount{
		{Source: packages, Target: sdk.ContainerDir, ReadOnly: true},
		{Source: f.host.Hub.Dir(), Target: sdk.ContainerRunDir, ReadOnly: true},
	}
	return container.Spec{
		ID: id, Hostname: id, Root: where, Args: sdk.RunnerArgs(image.Python), Dir: dir,
		Env: f.env(v, id, image.Env), ExtraEnv: func() []string { return append(s.early[:len(s.early):len(s.early)], "GX_TOKEN="+token) },
		Mounts: append(mounts, f.host.Mounts...),
		CPU:    v.Limits.CPU, Memory: v.Limits.Memory, Disk: v.Limits.Disk, Network: network,
	}, nil
}

// env is a container's environment: gx's own variables win over the function's,
// those over the network's, and those over the image's. Those of its secrets, which
// lie between gx's own and the network's, come by another way, see secrets.
func (f *Function) env(v *Version, id string, image []string) []string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": root,
		"LANG": "C.UTF-8",
	}
	set := func(list []string) {
		for _, entry := range list {
			if k, v, ok := strings.Cut(entry, "="); ok && k != "" {
				env[k] = v
			}
		}
	}
	set(image)
	set(f.host.Env)
	maps.Copy(env, v.Spec.Env)
	maps.DeleteFunc(env, func(name, _ string) bool { return isInner(name) })
	maps.Copy(env, f.own(v, id))
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// isInner reports whether gx's parts use a variable of that name between
// themselves in some container: in none may an image's, a function's or a secret's
// be taken for it.
func isInner(name string) bool {
	switch name {
	case "GX_TOKEN", "GX_CONTAINER_TOKEN", "GX_CONTROL_FD", container.ForkVariable, "GX_GPU_PAGE":
		return true
	}
	return false
}

// own are the variables that gx sets.
func (f *Function) own(v *Version, id string) map[string]string {
	return map[string]string{
		"GX_APP_ID":        f.cfg.App.ID,
		"GX_APP_NAME":      f.cfg.App.Name,
		"GX_ENVIRONMENT":   f.cfg.App.Environment,
		"GX_FUNCTION":      f.Name(),
		"GX_FUNCTION_ID":   f.cfg.ID,
		"GX_CONTAINER_ID":  id,
		"GX_IMAGE_ID":      v.Image.ID(),
		"GX_ROOT":          root,
		"GX_VERSION":       f.host.Version,
		"GX_RUNNER_SOCKET": sdk.ContainerRunDir + "/" + runner.SocketName,
		// The names that programs written for Modal look at.
		"MODAL_TASK_ID":        id,
		"MODAL_IMAGE_ID":       v.Image.ID(),
		"MODAL_ENVIRONMENT":    f.cfg.App.Environment,
		"MODAL_CLOUD_PROVIDER": "gx",
		"MODAL_REGION":         "local",
		"MODAL_IS_REMOTE":      "1",
	}
}
