package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/environment"
	"github.com/gx-dev/gx/engine/store"
)

// fixture is a store on a disk, used by its operations.
type fixture struct {
	*Store
	t    *testing.T
	db   *store.DB
	dir  string
	time *clock.Fake
	keep Keep
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), time: clock.NewFake(time.Unix(1_700_000_000, 0))}
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) start() {
	var err error
	f.db, err = store.Open(filepath.Join(f.dir, "host.db"))
	require.NoError(f.t, err)
	environments, err := environment.Open(f.t.Context(), f.db, f.time)
	require.NoError(f.t, err)
	f.Store, err = Open(f.t.Context(), Config{
		Dir: filepath.Join(f.dir, "volumes"), DB: f.db, Environments: environments, Clock: f.time, Keep: f.keep,
		Log: slog.New(slog.NewTextHandler(f.t.Output(), nil)),
	})
	require.NoError(f.t, err)
}

func (f *fixture) stop() {
	require.NoError(f.t, f.Close())
	require.NoError(f.t, f.db.Close())
}

// try asks for an operation.
func (f *fixture) try(op string, params map[string]any, data ...byte) (map[string]any, []byte, error) {
	return f.tryFrom(ask.From{}, op, params, data...)
}

func (f *fixture) tryFrom(from ask.From, op string, params map[string]any, data ...byte) (map[string]any, []byte, error) {
	text, err := json.Marshal(params)
	require.NoError(f.t, err)
	a, err := ask.NewDesk(f.Store).Answer(f.t.Context(), ask.Query{Op: op, Params: text, Data: data, From: from})
	if err != nil {
		return nil, nil, err
	}
	text, err = json.Marshal(a.Result)
	require.NoError(f.t, err)
	var result map[string]any
	require.NoError(f.t, json.Unmarshal(text, &result))
	return result, a.Data, nil
}

func (f *fixture) do(op string, params map[string]any, data ...byte) map[string]any {
	f.t.Helper()
	r, _, err := f.try(op, params, data...)
	require.NoError(f.t, err)
	return r
}

func (f *fixture) create(name string) string {
	return f.do("volume.create", map[string]any{"name": name})["id"].(string)
}

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// put uploads a content and puts it somewhere.
func (f *fixture) put(id, path, content string) {
	f.t.Helper()
	f.upload(content)
	f.do("volume.edit", map[string]any{"id": id, "force": true, "edits": []any{map[string]any{"op": "put", "path": path, "sha256": sum(content)}}})
}

func (f *fixture) upload(content string) {
	f.t.Helper()
	r := f.do("volume.upload", map[string]any{"sha256": sum(content), "size": len(content), "offset": 0}, []byte(content)...)
	require.EqualValues(f.t, len(content), r["received"])
}

func (f *fixture) read(id, path string, version ...int) string {
	f.t.Helper()
	p := map[string]any{"id": id, "path": path, "offset": 0, "length": 1 << 20}
	if len(version) > 0 {
		p["version"] = version[0]
	}
	_, data, err := f.try("volume.read", p)
	require.NoError(f.t, err)
	return string(data)
}

func (f *fixture) paths(id string) []string {
	f.t.Helper()
	list := []string{}
	for _, e := range f.do("volume.ls", map[string]any{"id": id, "path": "/", "recursive": true})["entries"].([]any) {
		list = append(list, e.(map[string]any)["path"].(string))
	}
	return list
}

func kind(err error) string {
	if err == nil {
		return ""
	}
	return ask.Kind(err)
}

func TestNames(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	_, _, err := f.try("volume.create", map[string]any{"name": "data"})
	require.Equal(t, ask.KindExists, kind(err))
	for _, bad := range []string{"", "a/b", "..", ".hidden", "ü", strings.Repeat("a", 300), "-x", "a\x00b"} {
		for _, op := range []string{"volume.create", "volume.get"} {
			_, _, err := f.try(op, map[string]any{"name": bad, "create_if_missing": true})
			require.Equal(t, ask.KindRefused, kind(err), "%s %q", op, bad)
		}
		_, _, err := f.try("volume.rename", map[string]any{"name": "data", "to": bad})
		require.Equal(t, ask.KindRefused, kind(err), bad)
	}
	got := f.do("volume.get", map[string]any{"name": "data"})
	require.Equal(t, map[string]any{"id": id, "name": "data", "version": 0.0}, got)
	_, _, err = f.try("volume.get", map[string]any{"name": "other"})
	require.Equal(t, ask.KindNotFound, kind(err))
	_, _, err = f.try("volume.get", map[string]any{"name": "data", "environment": "dev"})
	require.Equal(t, ask.KindNotFound, kind(err))
	require.NotEqual(t, id, f.do("volume.get", map[string]any{"name": "other", "create_if_missing": true})["id"])
	_, _, err = f.try("volume.rename", map[string]any{"name": "data", "to": "other"})
	require.Equal(t, ask.KindExists, kind(err))
	f.do("volume.rename", map[string]any{"name": "data", "to": "renamed"})
	list := f.do("volume.list", nil)["volumes"].([]any)
	require.Len(t, list, 2)
	require.Equal(t, "other", list[0].(map[string]any)["name"])
	f.do("volume.delete", map[string]any{"name": "renamed"})
	_, _, err = f.try("volume.ls", map[string]any{"id": id, "path": "/"})
	require.Equal(t, ask.KindNotFound, kind(err))

	ephemeral := f.do("volume.ephemeral", nil)["id"].(string)
	require.Len(t, f.do("volume.list", nil)["volumes"], 1)
	f.put(ephemeral, "x", "1")
	require.Equal(t, "1", f.read(ephemeral, "x"))
	r, _, err := f.tryFrom(ask.From{App: "ap-1"}, "volume.ephemeral", nil)
	require.NoError(t, err)
	require.NoError(t, f.AppEnded(t.Context(), "ap-1"))
	_, _, err = f.try("volume.get", map[string]any{"id": r["id"]})
	require.Equal(t, ask.KindNotFound, kind(err))
	f.do("volume.get", map[string]any{"id": ephemeral})
}

func TestEdits(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	edit := func(edits ...map[string]any) error {
		_, _, err := f.try("volume.edit", map[string]any{"id": id, "edits": edits})
		return err
	}
	put := func(path, content string) map[string]any {
		f.upload(content)
		return map[string]any{"op": "put", "path": path, "sha256": sum(content), "mode": 0o600, "mtime": 1234567890.5}
	}
	require.NoError(t, edit(put("/dir/sub/a", "one"), put("dir/b", "two"), put("dir/c", "two"), put("empty", ""),
		map[string]any{"op": "mkdir", "path": "/none/at/all"}, map[string]any{"op": "symlink", "path": "link", "target": "dir/b"}))
	require.Equal(t, []string{"dir", "dir/b", "dir/c", "dir/sub", "dir/sub/a", "empty", "link", "none", "none/at", "none/at/all"}, f.paths(id))
	require.Equal(t, "two", f.read(id, "/link"))
	one := f.do("volume.ls", map[string]any{"id": id, "path": "dir/b"})["entries"].([]any)
	require.Equal(t, []any{map[string]any{"path": "dir/b", "type": "file", "size": 3.0, "mode": float64(0o600), "mtime": 1234567890.5}}, one)

	for name, c := range map[string]struct {
		kind string
		edit map[string]any
	}{
		"it is there":           {ask.KindExists, put("dir/b", "x")},
		"a directory":           {ask.KindRefused, put("dir", "x")},
		"the root":              {ask.KindRefused, put("/", "x")},
		"below a file":          {ask.KindRefused, put("dir/b/c", "x")},
		"through a link":        {ask.KindRefused, put("link/c", "x")},
		"not uploaded":          {ask.KindNotFound, map[string]any{"op": "put", "path": "n", "sha256": sum("never")}},
		"no hash":               {ask.KindRefused, map[string]any{"op": "put", "path": "n", "sha256": "../../etc/passwd"}},
		"upwards":               {ask.KindRefused, put("dir/../../x", "x")},
		"a long name":           {ask.KindRefused, put(strings.Repeat("n", 256), "x")},
		"a zero byte":           {ask.KindRefused, put("a\x00b", "x")},
		"not recursive":         {ask.KindRefused, map[string]any{"op": "remove", "path": "dir"}},
		"nothing to remove":     {ask.KindNotFound, map[string]any{"op": "remove", "path": "nope"}},
		"copy of nothing":       {ask.KindNotFound, map[string]any{"op": "copy", "from": "nope", "to": "x"}},
		"copy into itself":      {ask.KindRefused, map[string]any{"op": "copy", "from": "dir", "to": "dir/sub", "recursive": true}},
		"move into itself":      {ask.KindRefused, map[string]any{"op": "rename", "from": "dir", "to": "dir/sub/x"}},
		"move to what is there": {ask.KindExists, map[string]any{"op": "rename", "from": "dir", "to": "none"}},
		"unknown":               {ask.KindRefused, map[string]any{"op": "chmod", "path": "dir"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.do("volume.get", map[string]any{"id": id})["version"]
			err := edit(map[string]any{"op": "mkdir", "path": "sideeffect"}, c.edit)
			require.Equal(t, c.kind, kind(err), "%v", err)
			require.Equal(t, before, f.do("volume.get", map[string]any{"id": id})["version"])
			require.NotContains(t, f.paths(id), "sideeffect")
		})
	}

	require.NoError(t, edit(
		map[string]any{"op": "rename", "from": "dir", "to": "moved/here"},
		map[string]any{"op": "copy", "from": "moved/here/b", "to": "moved"},
		map[string]any{"op": "copy", "from": "moved/here/sub", "to": "none", "recursive": true},
		map[string]any{"op": "remove", "path": "none/at", "recursive": true},
		map[string]any{"op": "mkdir", "path": "none/at"},
		map[string]any{"op": "remove", "path": "link"},
	))
	require.Equal(t, []string{"empty", "moved", "moved/b", "moved/here", "moved/here/b", "moved/here/c", "moved/here/sub", "moved/here/sub/a", "none", "none/at", "none/sub", "none/sub/a"}, f.paths(id))
	require.Equal(t, "one", f.read(id, "none/sub/a"))
	info := f.do("volume.list", nil)["volumes"].([]any)[0].(map[string]any)
	require.EqualValues(t, 6, info["files"])
	require.EqualValues(t, 3+3+3+3+3, info["bytes"])

	require.NoError(t, edit(map[string]any{"op": "remove", "path": "/", "recursive": true}))
	require.Empty(t, f.paths(id))
	require.NoError(t, edit(), "no change is no error")

	versions := f.do("volume.history", map[string]any{"id": id})["versions"].([]any)
	require.Len(t, versions, 4)
	require.Equal(t, "remove /", versions[0].(map[string]any)["note"])
	require.EqualValues(t, 4, f.do("volume.restore", map[string]any{"id": id, "version": 1})["version"])
	require.Equal(t, "two", f.read(id, "dir/b"))
	require.Equal(t, "two", f.read(id, "moved/b", 2))
	_, _, err := f.try("volume.restore", map[string]any{"id": id, "version": 77})
	require.Equal(t, ask.KindNotFound, kind(err))
}

func TestLinksStayInTheVolume(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	f.put(id, "dir/file", "inside")
	for path, target := range map[string]string{
		"absolute": "/etc/passwd", "up": "../../../../etc/passwd", "dir/fine": "../dir/./file", "dir/up": "../..", "loop": "loop", "dangling": "nothing",
	} {
		f.do("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "symlink", "path": path, "target": target}}})
	}
	require.Equal(t, "inside", f.read(id, "dir/fine"))
	for path, want := range map[string]string{
		"absolute": ask.KindRefused, "up": ask.KindRefused, "dir/up/etc/passwd": ask.KindRefused, "loop": ask.KindRefused,
		"dangling": ask.KindNotFound, "../host.db": ask.KindRefused, "/dir/../../host.db": ask.KindRefused, "dir": ask.KindRefused,
	} {
		_, _, err := f.try("volume.read", map[string]any{"id": id, "path": path, "offset": 0, "length": 100})
		require.Equal(t, want, kind(err), "%s: %v", path, err)
	}
}

func TestUploadsGoOn(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	content := strings.Repeat("0123456789", 100)
	piece := func(offset, end int) map[string]any {
		return f.do("volume.upload", map[string]any{"sha256": sum(content), "size": len(content), "offset": offset}, []byte(content[offset:end])...)
	}
	require.EqualValues(t, 300, piece(0, 300)["received"])
	require.EqualValues(t, 300, piece(600, 1000)["received"], "a piece that is not the next one")
	f.stop()
	f.start() // a host that was killed, and another one
	have := f.do("volume.have", map[string]any{"sha256": []string{sum(content), sum("other")}})
	require.Equal(t, map[string]any{"missing": []any{sum(content), sum("other")}, "partial": map[string]any{sum(content): 300.0}}, have)
	require.EqualValues(t, 1000, piece(300, 1000)["received"])
	require.Empty(t, f.do("volume.have", map[string]any{"sha256": []string{sum(content)}})["missing"])
	f.do("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "put", "path": "x", "sha256": sum(content)}}})
	require.Equal(t, content, f.read(id, "x"))

	_, _, err := f.try("volume.upload", map[string]any{"sha256": sum("right"), "size": 5, "offset": 0}, []byte("wrong")...)
	require.Equal(t, ask.KindRefused, kind(err))
	f.upload("right")
	f.time.Advance(stageAge + time.Hour)
	require.NoError(t, f.Collect(t.Context()))
	require.Len(t, f.do("volume.have", map[string]any{"sha256": []string{sum("right")}})["missing"], 1)
	for _, bad := range []map[string]any{
		{"sha256": "x", "size": 1, "offset": 0}, {"sha256": sum("a"), "size": -1, "offset": 0}, {"sha256": sum("a"), "size": 1, "offset": 1}, {"sha256": sum("a"), "size": 1, "offset": -1},
	} {
		_, _, err := f.try("volume.upload", bad, 'a')
		require.Equal(t, ask.KindRefused, kind(err), "%v", bad)
	}
}

func TestContentsAreSharedOnce(t *testing.T) {
	f := newFixture(t)
	a, b := f.create("a"), f.create("b")
	f.upload("same")
	put := func(id, path string, mode int) {
		f.do("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "put", "path": path, "sha256": sum("same"), "mode": mode, "mtime": 1000 + mode}}})
	}
	entry := func(id, path string) map[string]any {
		return f.do("volume.ls", map[string]any{"id": id, "path": path})["entries"].([]any)[0].(map[string]any)
	}
	put(a, "x", 0o600)
	require.Empty(t, f.do("volume.have", map[string]any{"sha256": []string{sum("same")}})["missing"], "somebody else may be about to put it")
	put(b, "y", 0o755)
	require.EqualValues(t, 0o600, entry(a, "x")["mode"])
	require.EqualValues(t, 1000+0o600, entry(a, "x")["mtime"])
	require.EqualValues(t, 0o755, entry(b, "y")["mode"])
	f.time.Advance(usedAge)
	require.NoError(t, f.Collect(t.Context()))
	require.Len(t, f.do("volume.have", map[string]any{"sha256": []string{sum("same")}})["missing"], 1)
	require.Equal(t, "same", f.read(a, "x"))

	// What is put at the same moment has modes of its own as well.
	f.upload("again")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			mode := uint32(0o600 + i)
			if _, err := f.edit(context.Background(), []string{a, b}[i%2], []Edit{{Op: "put", Path: fmt.Sprint(i), SHA256: sum("again"), Mode: &mode}}, false, ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		require.EqualValues(t, 0o600+i, entry([]string{a, b}[i%2], fmt.Sprint(i))["mode"])
	}
}

func TestHolesStayHoles(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	content := strings.Repeat("\x00", 4<<20) + "end"
	for at := 0; at < len(content); at += 1 << 20 {
		end := min(at+1<<20, len(content))
		f.do("volume.upload", map[string]any{"sha256": sum(content), "size": len(content), "offset": at}, []byte(content[at:end])...)
	}
	f.do("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "put", "path": "x", "sha256": sum(content)}}})
	_, tree, done, err := f.open(t.Context(), id, nil)
	require.NoError(t, err)
	defer done()
	e, err := tree.Lookup("x")
	require.NoError(t, err)
	file, err := tree.Open(e)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	require.EqualValues(t, len(content), info.Size())
	require.Less(t, info.Sys().(*syscall.Stat_t).Blocks, int64(1<<20/512))
}

// TestFullDisk fills the disk of a store, which says so, and has every version
// as it was.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a small file system can only be mounted as root")
	}
	f := newFixture(t)
	id := f.create("data")
	f.put(id, "x", "first")
	f.stop()
	small := filepath.Join(f.dir, "volumes")
	moved := filepath.Join(f.dir, "moved")
	require.NoError(t, os.Rename(small, moved))
	require.NoError(t, os.Mkdir(small, 0o700))
	require.NoError(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(small, unix.MNT_DETACH)) })
	require.NoError(t, os.CopyFS(small, os.DirFS(moved)))
	f.start()
	failed := 0
	for i := range 40 {
		content := strings.Repeat(fmt.Sprint(i, " "), 20_000)
		_, _, err := f.try("volume.upload", map[string]any{"sha256": sum(content), "size": len(content), "offset": 0}, []byte(content)...)
		if err == nil {
			_, _, err = f.try("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "put", "path": fmt.Sprint(i), "sha256": sum(content)}}})
		}
		if err != nil {
			require.ErrorContains(t, err, "no space left")
			failed++
		}
	}
	require.NotZero(t, failed)
	require.Equal(t, "first", f.read(id, "x"))
	for _, p := range f.paths(id) {
		if p != "x" {
			i, err := strconv.Atoi(p)
			require.NoError(t, err)
			require.Equal(t, strings.Repeat(fmt.Sprint(i, " "), 20_000), f.read(id, p))
		}
	}
	// Once there is room, all goes on.
	f.do("volume.restore", map[string]any{"id": id, "version": 1})
	f.time.Advance(60 * 24 * time.Hour)
	require.NoError(t, f.Collect(t.Context()))
	f.put(id, "y", "again")
	require.Equal(t, []string{"x", "y"}, f.paths(id))
}

func TestPages(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	var edits []any
	f.upload("x")
	for i := range 2500 {
		edits = append(edits, map[string]any{"op": "mkdir", "path": fmt.Sprintf("d%d/%d", i%7, i)})
	}
	f.do("volume.edit", map[string]any{"id": id, "edits": edits})
	all := f.do("volume.ls", map[string]any{"id": id, "path": "", "recursive": true})
	require.Len(t, all["entries"], 1000)
	var got []string
	after := ""
	for pages := 0; ; pages++ {
		r := f.do("volume.ls", map[string]any{"id": id, "path": "/", "recursive": true, "after": after, "limit": 99})
		for _, e := range r["entries"].([]any) {
			got = append(got, e.(map[string]any)["path"].(string))
		}
		if after = r["next"].(string); after == "" {
			break
		}
	}
	require.Len(t, got, 2507)
	seen := map[string]bool{}
	for _, p := range got {
		require.False(t, seen[p], p)
		seen[p] = true
	}
	flat := f.do("volume.ls", map[string]any{"id": id, "path": "/d3"})["entries"].([]any)
	require.Len(t, flat, 357)
}

// layers counts the layers on the disk.
func (f *fixture) layers() int {
	entries, err := os.ReadDir(f.layersDir())
	require.NoError(f.t, err)
	return len(entries)
}

func TestOldVersionsAreCollected(t *testing.T) {
	f := newFixture(t)
	f.stop()
	f.keep = Keep{Age: 24 * time.Hour, Versions: 5}
	f.start()
	id := f.create("data")
	for i := range 20 {
		f.put(id, fmt.Sprint("file", i%3), fmt.Sprint(i))
		f.time.Advance(time.Minute)
	}
	require.NoError(t, f.Collect(t.Context()))
	require.Len(t, f.do("volume.history", map[string]any{"id": id})["versions"], 5)
	f.time.Advance(48 * time.Hour)
	require.NoError(t, f.Collect(t.Context()))
	require.Len(t, f.do("volume.history", map[string]any{"id": id})["versions"], 1)
	require.Equal(t, "19", f.read(id, "file1"))
	_, _, err := f.try("volume.restore", map[string]any{"id": id, "version": 19})
	require.Equal(t, ask.KindNotFound, kind(err))
}

func TestKeep(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(ago time.Duration) float64 { return float64(now.Add(-ago).Unix()) }
	keep := Keep{Age: time.Hour, Versions: 4, Bytes: 100}
	for name, c := range map[string]struct {
		list []Version
		want int
	}{
		"none":            {nil, 0},
		"the newest":      {[]Version{{At: at(10 * time.Hour), Bytes: 1000, added: 1000}}, 1},
		"many":            {make([]Version, 1), 1},
		"replaced lately": {[]Version{{At: at(time.Minute)}, {At: at(10 * time.Hour)}, {At: at(20 * time.Hour)}}, 2},
		"in number":       {[]Version{{At: at(0)}, {At: at(0)}, {At: at(0)}, {At: at(0)}, {At: at(0)}, {At: at(0)}}, 4},
		"what was added is no waste": {[]Version{
			{At: at(0), Bytes: 3000, added: 1000}, {At: at(0), Bytes: 2000, added: 1000}, {At: at(0), Bytes: 1000, added: 1000},
		}, 3},
		"what was replaced is": {[]Version{
			{At: at(0), Bytes: 60, added: 60}, {At: at(0), Bytes: 60, added: 60}, {At: at(0), Bytes: 60, added: 60}, {At: at(0), Bytes: 60, added: 60},
		}, 2},
		"what was removed is": {[]Version{{At: at(0)}, {At: at(0), Bytes: 1000, added: 1000}}, 1},
	} {
		require.Equal(t, c.want, keep.kept(c.list, now), name)
	}
}

func TestManyLayersAreSquashed(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	want := map[string]string{}
	for i := range 200 {
		name := fmt.Sprintf("d%d/f%d", i%4, i%50)
		f.put(id, name, fmt.Sprint(i))
		want[name] = fmt.Sprint(i)
		if i%9 == 0 {
			f.do("volume.edit", map[string]any{"id": id, "edits": []any{map[string]any{"op": "remove", "path": name}}})
			delete(want, name)
		}
		require.NoError(t, f.compact(t.Context()))
		v, err := head(t.Context(), f.db.Read(), id)
		require.NoError(t, err)
		require.LessOrEqual(t, len(v.layers), maxDepth+1)
		require.EqualValues(t, len(want), v.Files)
	}
	for name, content := range want {
		require.Equal(t, content, f.read(id, name))
	}
	for _, v := range f.do("volume.history", map[string]any{"id": id})["versions"].([]any)[:60] {
		version := int(v.(map[string]any)["version"].(float64))
		_, tree, done, err := f.open(t.Context(), id, &version)
		require.NoError(t, err)
		total, err := tree.Total("")
		require.NoError(t, err)
		require.EqualValues(t, v.(map[string]any)["files"], total.Files)
		done()
	}
	f.do("volume.delete", map[string]any{"id": id})
	require.NoError(t, f.Collect(t.Context()))
	require.Zero(t, f.layers())
}

func TestEditsAtOnce(t *testing.T) {
	f := newFixture(t)
	id := f.create("data")
	var all sync.WaitGroup
	for w := range 10 {
		all.Go(func() {
			for i := range 10 {
				content := fmt.Sprint(w, "-", i)
				_, err := f.stage.upload(context.Background(), sum(content), int64(len(content)), 0, []byte(content))
				if err == nil {
					_, err = f.edit(context.Background(), id, []Edit{{Op: "put", Path: fmt.Sprintf("shared/%d/%d", w, i), SHA256: sum(content)}}, false, "")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.Len(t, f.paths(id), 1+10+100)
}

func TestResolve(t *testing.T) {
	f := newFixture(t)
	_, err := f.Resolve(t.Context(), "", []app.VolumeMount{{Volume: "data", Path: "/data"}})
	require.Equal(t, ask.KindNotFound, kind(err))
	got, err := f.Resolve(t.Context(), "", []app.VolumeMount{{Volume: "data", Path: "/data", Create: true}})
	require.NoError(t, err)
	again, err := f.Resolve(t.Context(), "", append(got, app.VolumeMount{Volume: "data", Path: "/x"}))
	require.NoError(t, err)
	require.Equal(t, got[0].Volume, again[1].Volume)
}
