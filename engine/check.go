package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/environment"
)

// Check finds what an app's functions name and the host does not have: an
// environment, secrets, volumes, cards. Whoever is about to build their images
// is told before that takes its time; starting the app looks again.
func (e *Engine) Check(ctx context.Context, req api.CheckRequest) error {
	end, err := e.begin()
	if err != nil {
		return err
	}
	defer end()
	if len(req.Functions) > maxFunctions {
		return invalid("the app has %d functions; at most %d are allowed", len(req.Functions), maxFunctions)
	}
	if _, err := e.environments.ID(ctx, req.Environment); err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err := e.checkSecrets(ctx, &app.Manifest{Environment: req.Environment, Functions: req.Functions}); err != nil {
		return err
	}
	made := map[string]bool{} // volumes that are made before the function is looked at
	name := func(m app.VolumeMount) string {
		return cmp.Or(m.Environment, req.Environment, environment.Main) + "/" + m.Volume
	}
	note := func(volumes []app.VolumeMount) {
		for _, m := range volumes {
			if m.Create {
				made[name(m)] = true
			}
		}
	}
	if why := e.unable(req.Volumes); why != "" {
		return invalid("a step of an image: %s", why)
	}
	note(req.Volumes)
	for i := range req.Functions {
		f := req.Functions[i]
		if err := e.checkCards(&f); err != nil {
			return err
		}
		if why := e.unable(f.Volumes); why != "" {
			return at(&f, "%s", why)
		}
		// What is to be made is made when the images are, or when the app starts.
		note(f.Volumes)
		f.Volumes = slices.DeleteFunc(slices.Clone(f.Volumes), func(m app.VolumeMount) bool { return !m.ID && made[name(m)] })
		if _, err := e.volumesOf(ctx, req.Environment, &f); err != nil {
			return err
		}
	}
	return nil
}
