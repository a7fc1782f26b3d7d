//go:build linux

package buildkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
)

// records are what the engine remembers of images it made: one file for each,
// by which a later build explains why a step has to run again.
type records struct {
	dir string
	now func() time.Time
}

// record is one image that was made.
type record struct {
	ID       string       `json:"id"`
	Created  time.Time    `json:"created"`
	LastUsed time.Time    `json:"last_used"`
	Evicted  time.Time    `json:"evicted,omitzero"` // when it was pruned
	Ref      string       `json:"ref"`              // BuildKit's id of the top layer
	Config   build.Config `json:"config"`
	Keys     []string     `json:"keys"`  // of the steps
	Steps    []app.Step   `json:"steps"` // without the contents of Dockerfiles' contexts
}

// keepRecords is how many are kept.
const keepRecords = 500

func (r *records) path(id string) string { return filepath.Join(r.dir, id+".json") }

func (r *records) load(id string) (record, error) {
	var rec record
	data, err := os.ReadFile(r.path(id))
	if err != nil {
		return rec, err
	}
	return rec, json.Unmarshal(data, &rec)
}

func (r *records) save(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	temporary := r.path(rec.ID) + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return fmt.Errorf("recording the image: %w", err)
	}
	return os.Rename(temporary, r.path(rec.ID))
}

// made remembers an image that was just finished.
func (r *records) made(rec *recipe, config build.Config, ref string) error {
	created := r.now()
	if older, err := r.load(rec.id); err == nil && older.Evicted.IsZero() {
		created = older.Created
	}
	if err := r.save(record{ID: rec.id, Created: created, LastUsed: r.now(), Ref: ref, Config: config, Keys: rec.keys, Steps: rec.identities()}); err != nil {
		return err
	}
	return r.trim()
}

// used remembers that an image was asked for.
func (r *records) used(id string) error {
	now := r.now()
	err := os.Chtimes(r.path(id), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// evicted remembers that an image's layers were deleted.
func (r *records) evicted(id string) {
	if rec, err := r.load(id); err == nil {
		rec.Evicted = r.now()
		_ = r.save(rec) // only an explanation is lost
	}
}

// all returns the records, last used first.
func (r *records) all() []record {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil
	}
	var out []record
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		rec, err := r.load(id)
		if err != nil {
			continue
		}
		if info, err := entry.Info(); err == nil && info.ModTime().After(rec.LastUsed) {
			rec.LastUsed = info.ModTime()
		}
		out = append(out, rec)
	}
	slices.SortFunc(out, func(a, b record) int { return b.LastUsed.Compare(a.LastUsed) })
	return out
}

func (r *records) trim() error {
	all := r.all()
	for _, rec := range all[min(keepRecords, len(all)):] {
		if err := os.Remove(r.path(rec.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// explain tells, for each step, why it is not cached in case it is not.
func (r *records) explain(rec *recipe) []string {
	reasons := make([]string, len(rec.steps))
	closest, common := r.closest(rec)
	steps := rec.identities() // as records have them
	for i := range rec.steps {
		switch {
		case rec.force >= 0 && i == rec.force:
			reasons[i] = "force_build"
		case rec.force >= 0 && i > rec.force:
			reasons[i] = "an earlier step is built anew"
		case closest == nil:
			reasons[i] = "first build"
		case i < common && !closest.Evicted.IsZero():
			reasons[i] = "evicted on " + closest.Evicted.Format("2006-01-02") + " to free disk space"
		case i < common:
			reasons[i] = "no longer in the cache"
		case i > common:
			reasons[i] = "an earlier step changed"
		case i >= len(closest.Steps) || closest.Steps[i].File != steps[i].File:
			reasons[i] = "new step" // or one of another program
		default:
			reasons[i] = difference(closest.Steps[i], steps[i])
		}
	}
	return reasons
}

// closest is the image with the most first steps in common. Of several it is
// the one whose next step is most like the recipe's, then the one used last.
func (r *records) closest(rec *recipe) (*record, int) {
	var best *record
	most, alike := -1, -1
	for _, other := range r.all() {
		n := 0
		for n < len(rec.keys) && n < len(other.Keys) && rec.keys[n] == other.Keys[n] {
			n++
		}
		// An image that differs in its base explains nothing.
		if n == 0 || n < most {
			continue
		}
		likeness := 0
		if n < len(rec.steps) && n < len(other.Steps) {
			likeness = similarity(other.Steps[n], rec.steps[n])
		}
		if n > most || likeness > alike {
			best, most, alike = &other, n, likeness
		}
	}
	return best, most
}

// similarity tells how likely it is that one step was made of the other.
func similarity(before, after app.Step) int {
	points := 0
	for _, same := range []bool{
		before.Op == after.Op,
		before.Op == after.Op && before.File == after.File,
		before.Op == after.Op && before.File == after.File && before.Line == after.Line,
		before.Function != nil && after.Function != nil && before.Function.Name == after.Function.Name,
	} {
		if same {
			points++
		}
	}
	return points
}

// difference says what of a step changed.
func difference(before, after app.Step) string {
	switch {
	case before.Op != after.Op:
		return "new step"
	case !slices.Equal(before.Packages, after.Packages):
		return "packages changed: " + listChange(before.Packages, after.Packages)
	case before.Requirements != after.Requirements:
		return "requirements changed: " + listChange(strings.Split(before.Requirements, "\n"), strings.Split(after.Requirements, "\n"))
	case !slices.Equal(before.Options, after.Options):
		return "options changed: " + listChange(before.Options, after.Options)
	case !slices.Equal(before.Commands, after.Commands):
		return "commands changed: " + listChange(before.Commands, after.Commands)
	case before.Dockerfile != after.Dockerfile:
		return "the Dockerfile changed"
	case !maps.Equal(before.Env, after.Env):
		return "variables changed: " + mapChange(before.Env, after.Env)
	case !maps.Equal(app.Variables(before.Secrets), app.Variables(after.Secrets)):
		return "secrets changed: " + mapChange(app.Variables(before.Secrets), app.Variables(after.Secrets))
	case !slices.Equal(before.Volumes, after.Volumes):
		return "its volumes changed"
	case before.Function != nil && after.Function != nil && before.Function.Key != after.Function.Key:
		if before.Function.Name != after.Function.Name {
			return "another function"
		}
		return "its source, its arguments or what it refers to changed"
	}
	return fileChange(before.Files, after.Files)
}

// mapChange names what came, went or has another value.
func mapChange(before, after map[string]string) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if value, ok := after[name]; !ok || value != before[name] {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// listChange says what came and went, shortly.
func listChange(before, after []string) string {
	var gone, came []string
	for _, v := range before {
		if !slices.Contains(after, v) {
			gone = append(gone, v)
		}
	}
	for _, v := range after {
		if !slices.Contains(before, v) {
			came = append(came, v)
		}
	}
	switch {
	case len(gone) == 1 && len(came) == 1:
		return gone[0] + " -> " + came[0]
	case len(gone) == 0 && len(came) == 0 && !slices.Equal(before, after):
		return "order"
	}
	var parts []string
	for _, v := range gone {
		parts = append(parts, "-"+v)
	}
	for _, v := range came {
		parts = append(parts, "+"+v)
	}
	const most = 4
	if len(parts) > most {
		return strings.Join(parts[:most], " ") + fmt.Sprintf(" and %d more", len(parts)-most)
	}
	return strings.Join(parts, " ")
}

func fileChange(before, after []app.File) string {
	sums := map[string]string{}
	for _, f := range before {
		sums[f.Remote] = fmt.Sprint(f.SHA256, f.Mode)
	}
	for _, f := range after {
		sum, ok := sums[f.Remote]
		if !ok {
			return "file " + f.Remote + " is new"
		}
		if sum != fmt.Sprint(f.SHA256, f.Mode) {
			return "file " + f.Remote + " changed"
		}
		delete(sums, f.Remote)
	}
	for name := range sums {
		return "file " + name + " is gone"
	}
	return "changed"
}
