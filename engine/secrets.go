package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
)

// resolveSteps is an image whose steps' secrets have the values that they have
// now. in is the environment of those that name none.
func (e *Engine) resolveSteps(ctx context.Context, in string, image app.Image) (app.Image, error) {
	image.Steps = slices.Clone(image.Steps)
	for i := range image.Steps {
		step := &image.Steps[i]
		if len(step.Secrets) == 0 {
			continue
		}
		found, err := e.secrets.Resolve(ctx, in, step.Secrets)
		if err != nil {
			where := ""
			if step.File != "" {
				where = fmt.Sprintf(" (%s, line %d)", step.File, step.Line)
			}
			return image, secretError(err, "the image's step %s%s", step.Op, where)
		}
		step.Secrets = found
	}
	return image, nil
}

// checkSecrets finds out whether the secrets that functions name are there now:
// who starts an app is told at once. A container that starts later has the values
// of its own time.
func (e *Engine) checkSecrets(ctx context.Context, m *app.Manifest) error {
	for i := range m.Functions {
		f := &m.Functions[i]
		if len(f.Secrets) == 0 {
			continue
		}
		if _, err := e.secrets.Resolve(ctx, m.Environment, f.Secrets); err != nil {
			if ask.Kind(err) != ask.KindInternal {
				return at(f, "%v", err)
			}
			return fmt.Errorf("function %q: %w", f.Name, err)
		}
	}
	return nil
}

// masked are log lines about a function without the values of its secrets.
func (a *App) masked(name string, lines []api.LogLine) []api.LogLine {
	for _, d := range a.definitions() {
		if d.name != name {
			continue
		}
		for _, f := range d.list() {
			if mask := f.Mask(); mask != nil {
				for i := range lines {
					lines[i].Text = mask.Text(lines[i].Text)
				}
			}
		}
	}
	return lines
}

// secretError says of what a secret is: an error that the user can do something
// about is the user's mistake.
func secretError(err error, format string, args ...any) error {
	if ask.Kind(err) != ask.KindInternal {
		return invalid("%s: %v", fmt.Sprintf(format, args...), err)
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
