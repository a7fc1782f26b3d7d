package deployment

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
)

// maxFiles is how many files a Diff names.
const maxFiles = 200

// SourceDigest names the local files that a manifest's functions have: where
// they are in containers, what is in them, and whether they can be executed.
func SourceDigest(m app.Manifest) string {
	h := sha256.New()
	files := filesOf(m)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		f := files[path]
		_, _ = fmt.Fprintf(h, "%q %s %o %t\n", path, f.SHA256, f.Mode, f.Dir) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// filesOf is the files of all mounts by path. Of several at one path, which
// different functions may have, all contents count.
func filesOf(m app.Manifest) map[string]app.File {
	files := map[string]app.File{}
	for _, mount := range m.Mounts {
		for _, f := range mount.Files {
			if other, ok := files[f.Remote]; ok && other.SHA256 != f.SHA256 {
				f.SHA256 = hash(other.SHA256 + f.SHA256)
			}
			files[f.Remote] = f
		}
	}
	return files
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Compare says what differs between two versions. text makes a unified diff of
// two contents, by their hashes ("" = there is no file), or "" where it cannot;
// it may be nil. step is how a user reads an image's step.
func Compare(before, after Contents, step func(app.Step) string, text func(path, before, after string) string) api.Diff {
	var d diff
	d.functions(before.Manifest, after.Manifest)
	d.images(before, after, step)
	d.files(before.Manifest, after.Manifest, text)
	return d.Diff
}

type diff struct{ api.Diff }

// functions compares the functions' settings.
func (d *diff) functions(before, after app.Manifest) {
	old := map[string]app.Function{}
	for _, f := range before.Functions {
		old[f.Name] = f
	}
	for _, f := range after.Functions {
		o, ok := old[f.Name]
		delete(old, f.Name)
		if !ok {
			d.Added = append(d.Added, f.Name)
			continue
		}
		d.Settings = append(d.Settings, settings(f.Name, o, f)...)
	}
	d.Removed = slices.Sorted(maps.Keys(old))
}

// settings compares one function's, by their names in JSON.
func settings(name string, before, after app.Function) []api.SettingChange {
	old, now := flat(before), flat(after)
	names := map[string]bool{}
	for k := range old {
		names[k] = true
	}
	for k := range now {
		names[k] = true
	}
	var list []api.SettingChange
	for _, k := range slices.Sorted(maps.Keys(names)) {
		if old[k] != now[k] {
			list = append(list, api.SettingChange{Function: name, Setting: k, Before: old[k], After: now[k]})
		}
	}
	return list
}

// flat is a function's settings as JSON by their paths: "scaling.max". Where it
// is written, and what is compared otherwise, is left out.
func flat(f app.Function) map[string]string {
	if len(f.Payload) > 0 {
		f.Payload = []byte(hash(string(f.Payload)))[:16]
	}
	f.File, f.Line, f.Shape, f.Image, f.Mounts = "", 0, "", 0, nil
	f.Secrets = app.WithoutValues(f.Secrets)
	text, _ := json.Marshal(f) // texts and numbers: it cannot fail
	var tree map[string]json.RawMessage
	_ = json.Unmarshal(text, &tree)
	delete(tree, "image")
	out := map[string]string{}
	flatten(out, "", tree)
	return out
}

func flatten(out map[string]string, prefix string, tree map[string]json.RawMessage) {
	for name, value := range tree {
		var inner map[string]json.RawMessage
		if json.Unmarshal(value, &inner) == nil && inner != nil {
			flatten(out, prefix+name+".", inner)
			continue
		}
		out[prefix+name] = string(value)
	}
}

// images compares the images of functions that are in both.
func (d *diff) images(before, after Contents, step func(app.Step) string) {
	old := map[string]int{}
	for _, f := range before.Manifest.Functions {
		old[f.Name] = f.Image
	}
	type pair struct{ before, after int }
	users := map[pair][]string{}
	var order []pair
	for _, f := range after.Manifest.Functions {
		i, ok := old[f.Name]
		p := pair{i, f.Image}
		if !ok || kept(before, p.before) == kept(after, p.after) {
			continue
		}
		if users[p] == nil {
			order = append(order, p)
		}
		users[p] = append(users[p], f.Name)
	}
	for _, p := range order {
		was, is := steps(before.Manifest, p.before, step), steps(after.Manifest, p.after, step)
		c := api.ImageChange{Functions: users[p], Before: kept(before, p.before).ID, After: kept(after, p.after).ID}
		c.Removed, c.Added = changed(was, is)
		c.Rebuilt = c.Before == c.After
		d.Images = append(d.Images, c)
	}
}

// ref tells images apart.
type ref struct{ ID, Ref string }

func kept(c Contents, i int) ref {
	if i < 0 || i >= len(c.Images) {
		return ref{}
	}
	return ref{c.Images[i].ID, c.Images[i].Ref}
}

func steps(m app.Manifest, i int, step func(app.Step) string) []string {
	if i < 0 || i >= len(m.Images) {
		return nil
	}
	var list []string
	for _, s := range m.Images[i].Steps {
		list = append(list, step(s))
	}
	return list
}

// changed leaves out the steps that two recipes begin and end with alike.
func changed(before, after []string) (removed, added []string) {
	for len(before) > 0 && len(after) > 0 && before[0] == after[0] {
		before, after = before[1:], after[1:]
	}
	for len(before) > 0 && len(after) > 0 && before[len(before)-1] == after[len(after)-1] {
		before, after = before[:len(before)-1], after[:len(after)-1]
	}
	return before, after
}

// files compares the local files.
func (d *diff) files(before, after app.Manifest, text func(path, before, after string) string) {
	if text == nil {
		text = func(string, string, string) string { return "" }
	}
	old, now := filesOf(before), filesOf(after)
	var list []api.FileChange
	for path, f := range now {
		o, ok := old[path]
		switch {
		case !ok:
			list = append(list, api.FileChange{Path: path, Change: "added"})
		case o.SHA256 != f.SHA256 || o.Mode != f.Mode || o.Dir != f.Dir:
			list = append(list, api.FileChange{Path: path, Change: "changed"})
		}
	}
	for path := range old {
		if _, ok := now[path]; !ok {
			list = append(list, api.FileChange{Path: path, Change: "removed"})
		}
	}
	slices.SortFunc(list, func(a, b api.FileChange) int { return cmp.Compare(a.Path, b.Path) })
	if len(list) > maxFiles {
		list, d.MoreFiles = list[:maxFiles], len(list)-maxFiles
	}
	for i, c := range list {
		list[i].Text = text(c.Path, old[c.Path].SHA256, now[c.Path].SHA256)
	}
	d.Files = list
}

// Text is a unified diff of two contents of a file; "" where one of them is no
// text.
func Text(path string, before, after io.Reader) string {
	a, ok := read(before)
	b, also := read(after)
	if !ok || !also {
		return ""
	}
	path = strings.TrimPrefix(path, "/")
	return udiff.Unified("a/"+path, "b/"+path, a, b)
}

// maxText is how many bytes of a file are compared.
const maxText = 256 << 10

// read reads a text; nil is an empty one.
func read(r io.Reader) (string, bool) {
	if r == nil {
		return "", true
	}
	data, err := io.ReadAll(io.LimitReader(r, maxText+1))
	return string(data), err == nil && len(data) <= maxText && utf8.Valid(data) && !bytes.ContainsRune(data, 0)
}
