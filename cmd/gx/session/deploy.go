package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/user"
	"slices"
	"strings"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// Deployer is a host that keeps deployed apps.
type Deployer interface {
	Deploy(ctx context.Context, req api.DeployRequest) (api.Deployed, error)
}

// Deploy makes what a program declares a version of a deployed app; output
// decides whether it shows how that goes.
func (p Preparer) Deploy(ctx context.Context, d sdk.Deploy) (api.Deployed, error) {
	ready, err := p.Prepare(ctx, d.Manifest, d.Output)
	if d.Output {
		for _, text := range ready.Said {
			p.UI.Warn(text)
		}
	}
	if err != nil {
		return api.Deployed{}, err
	}
	if d.Output {
		p.UI.Notice("starting containers of the new version")
	}
	done, err := ready.Host.Deploy(ctx, api.DeployRequest{Manifest: ready.Manifest, Images: ready.Images, Tag: d.Tag, Strategy: d.Strategy, Who: Who()})
	if err != nil {
		return done, NotDeployed(err)
	}
	if d.Output {
		ShowDeployed(p.UI, done)
	}
	return done, nil
}

// NotDeployed is why a host did not go on to a version, as a user is told.
func NotDeployed(err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != "start_failed" {
		return Refusal(err)
	}
	t := &Trouble{Kind: "ExecutionError", Code: exit.UserCode, Problem: ui.Problem{What: e.Message}}
	if r := e.Raised; r != nil {
		t.Problem = explain.Exception(sdk.Exception{Kind: "user", Type: r.Type, Message: r.Message, Traceback: r.Traceback, File: r.File, Line: r.Line})
		t.What = e.Message
	}
	return t
}

// Who is who deploys, for the app's history.
func Who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// ShowDeployed tells of a version that was made.
func ShowDeployed(u *ui.UI, d api.Deployed) {
	what := fmt.Sprintf("deployed %s version %d", Title(d.Environment, d.Name), d.Version)
	u.Done(what+" in "+ui.Seconds(d.Took), Summary(d))
	for _, name := range slices.Sorted(maps.Keys(d.Web)) {
		u.Done(name, d.Web[name])
	}
	for _, note := range d.Notes {
		u.Warn(note)
	}
}

// Title is an app's name, and its environment's if that is not the main one.
func Title(environment, name string) string {
	if environment == "" || environment == "main" {
		return name
	}
	return environment + "/" + name
}

// Summary says in one line what a version changed.
func Summary(d api.Deployed) string {
	if d.Before == 0 {
		return ui.Count(int64(len(d.Functions)), "function")
	}
	c := d.Changes
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, ui.Count(int64(n), what))
		}
	}
	add(len(c.Files)+c.MoreFiles, "file")
	add(len(c.Settings), "setting")
	add(len(c.Images), "image")
	if len(c.Added) > 0 {
		parts = append(parts, "new: "+strings.Join(c.Added, ", "))
	}
	if len(c.Removed) > 0 {
		parts = append(parts, "gone: "+strings.Join(c.Removed, ", "))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("nothing differs from version %d", d.Before)
	}
	return fmt.Sprintf("differs from version %d in %s", d.Before, strings.Join(parts, ", "))
}
