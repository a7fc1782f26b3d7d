package watch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// project is a folder with some files, and a watcher of it.
type project struct {
	t   *testing.T
	dir string
	w   *Watcher
}

// ways are how a watcher learns of changes; both must tell the same.
var ways = map[string]Options{"events": {}, "polls": {Poll: 20 * time.Millisecond}}

// both runs a test with events and with polls.
func both(t *testing.T, test func(p *project)) {
	t.Helper()
	for name, o := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newProject(t, o))
		})
	}
}

func newProject(t *testing.T, o Options) *project {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	p := &project{t: t, dir: filepath.Join(dir, "project")}
	require.NoError(t, os.Mkdir(p.dir, 0o700))
	o.Warn = func(err error) { t.Errorf("warning: %v", err) }
	p.w = New(o)
	t.Cleanup(p.w.Close)
	return p
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) write(name, text string) {
	p.t.Helper()
	require.NoError(p.t, os.MkdirAll(filepath.Dir(p.path(name)), 0o700))
	require.NoError(p.t, os.WriteFile(p.path(name), []byte(text), 0o600))
}

// watch watches files by name, and trees whose names end in a slash.
func (p *project) watch(names ...string) {
	p.t.Helper()
	set := Set{Ignore: func(path string) bool { return strings.HasSuffix(path, "~") }}
	for _, name := range names {
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			set.Trees = append(set.Trees, p.path(dir))
		} else {
			set.Files = append(set.Files, p.path(name))
		}
	}
	p.watchSet(set)
}

func (p *project) watchSet(set Set) {
	p.t.Helper()
	require.NoError(p.t, p.w.Watch(p.t.Context(), set))
}

// next is the next change set: "written app.py, created b.py".
func (p *project) next() string {
	p.t.Helper()
	select {
	case changes := <-p.w.Changes():
		var words []string
		for _, c := range changes {
			words = append(words, string(c.Kind)+" "+strings.TrimPrefix(c.Path, p.dir+"/"))
		}
		return strings.Join(words, ", ")
	case <-time.After(time.Minute):
		p.t.Fatal("no change was told")
		return ""
	}
}

// until collects changes until those wanted were told: where a look falls
// between two steps of a test, they come in two sets.
func (p *project) until(want ...string) {
	p.t.Helper()
	got := map[string]bool{}
	for {
		missing := false
		for _, w := range want {
			missing = missing || !got[w]
		}
		if !missing {
			require.Len(p.t, got, len(want), "more was told: %v", got)
			return
		}
		for _, word := range strings.Split(p.next(), ", ") {
			got[word] = true
		}
	}
}

// silent writes a sentinel, whose change must be the next that is told.
func (p *project) silent() {
	p.t.Helper()
	p.sentinel(time.Now().String())
	p.until("written sentinel")
}

// sentinel writes a file in one step, so that it is told once.
func (p *project) sentinel(text string) {
	p.t.Helper()
	p.write(".sentinel", text)
	require.NoError(p.t, os.Rename(p.path(".sentinel"), p.path("sentinel")))
}

func TestAFileIsWritten(t *testing.T) {
	both(t, func(p *project) {
		p.write("app.py", "one")
		p.watch("app.py")
		p.write("app.py", "two")
		p.until("written app.py")
		p.write("app.py", "six") // the same size
		p.until("written app.py")
	})
}

func TestATouchIsNoChange(t *testing.T) {
	both(t, func(p *project) {
		p.write("app.py", "one")
		p.write("sentinel", "")
		p.watch("app.py", "sentinel")
		require.NoError(t, os.Chtimes(p.path("app.py"), time.Now(), time.Now().Add(time.Hour)))
		p.silent()
		p.write("app.py", "one")
		p.silent()
		require.NoError(t, os.Chmod(p.path("app.py"), 0o700))
		p.until("written app.py")
	})
}

// Editors save by a new file that takes the place of the old one, some with a
// copy of the old one beside it.
func TestAtomicSaves(t *testing.T) {
	for name, save := range map[string]func(p *project, text string){
		"rename over": func(p *project, text string) {
			p.write(".app.py.tmp", text)
			require.NoError(p.t, os.Rename(p.path(".app.py.tmp"), p.path("app.py")))
		},
		"vim": func(p *project, text string) {
			p.write("4913", "")
			require.NoError(p.t, os.Remove(p.path("4913")))
			require.NoError(p.t, os.Rename(p.path("app.py"), p.path("app.py~")))
			p.write("app.py", text)
			require.NoError(p.t, os.Remove(p.path("app.py~")))
		},
		"emacs": func(p *project, text string) {
			require.NoError(p.t, os.Symlink("somebody@somewhere.1", p.path(".#app.py")))
			require.NoError(p.t, os.Rename(p.path("app.py"), p.path("app.py~")))
			p.write("app.py", text)
			require.NoError(p.t, os.Remove(p.path(".#app.py")))
		},
		"remove and write": func(p *project, text string) {
			require.NoError(p.t, os.Remove(p.path("app.py")))
			p.write("app.py", text)
		},
		"truncate and write": func(p *project, text string) {
			require.NoError(p.t, os.Truncate(p.path("app.py"), 0))
			p.write("app.py", text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, Options{})
			p.write("app.py", "0")
			p.write("sentinel", "")
			p.watch("app.py", "sentinel")
			for i := range 20 {
				began := time.Now()
				save(p, fmt.Sprint("version ", i))
				if time.Since(began) < gap {
					require.Equal(t, "written app.py", p.next(), "round %d", i)
					continue
				}
				// A machine that had other things to do: it was seen in the midst of it.
				for p.sentinel(fmt.Sprint(i)); !strings.Contains(p.next(), "sentinel"); {
				}
			}
		})
	}
}

func TestAFileComesIntoBeing(t *testing.T) {
	both(t, func(p *project) {
		p.watch("helper.py", "deep/er/module.py")
		p.write("helper.py", "x = 1")
		p.until("created helper.py")
		p.write("deep/er/module.py", "x = 1")
		p.until("created deep/er/module.py")
		p.write("deep/er/module.py", "x = 2")
		p.until("written deep/er/module.py")
	})
}

func TestAFileIsDeletedAndRenamed(t *testing.T) {
	both(t, func(p *project) {
		p.write("a.py", "a")
		p.write("b.py", "b")
		p.watch("a.py", "b.py", "c.py")
		require.NoError(t, os.Remove(p.path("a.py")))
		p.until("removed a.py")
		require.NoError(t, os.Rename(p.path("b.py"), p.path("c.py")))
		p.until("removed b.py", "created c.py")
		p.write("a.py", "a")
		p.until("created a.py")
	})
}

func TestAFolderIsRenamedAwayAndComesBack(t *testing.T) {
	both(t, func(p *project) {
		p.write("src/pkg/a.py", "a")
		p.watch("src/pkg/a.py", "app.py")
		require.NoError(t, os.Rename(p.path("src"), p.path("old")))
		p.until("removed src/pkg/a.py")
		p.write("src/pkg/a.py", "another")
		p.until("created src/pkg/a.py")
		require.NoError(t, os.RemoveAll(p.path("src")))
		p.until("removed src/pkg/a.py")
		require.NoError(t, os.Rename(p.path("old"), p.path("src")))
		p.until("created src/pkg/a.py")
		p.write("src/pkg/a.py", "and another")
		p.until("written src/pkg/a.py")
	})
}

func TestATree(t *testing.T) {
	both(t, func(p *project) {
		p.write("data/a.txt", "a")
		p.write("data/sub/b.txt", "b")
		p.write("sentinel", "")
		p.watch("data/", "sentinel")
		p.write("data/sub/b.txt", "bb")
		p.until("written data/sub/b.txt")
		p.write("data/new/deep/c.txt", "c")
		p.until("created data/new/deep/c.txt")
		p.write("data/new/deep/c.txt", "cc")
		p.until("written data/new/deep/c.txt")
		p.write("data/a.txt~", "ignored")
		p.silent()
		require.NoError(t, os.RemoveAll(p.path("data/new")))
		p.until("removed data/new/deep/c.txt")
		require.NoError(t, os.RemoveAll(p.path("data")))
		p.until("removed data/a.txt", "removed data/sub/b.txt")
		p.write("data/a.txt", "a")
		p.until("created data/a.txt")
	})
}

func TestLinks(t *testing.T) {
	both(t, func(p *project) {
		p.write("real/pkg/a.py", "a")
		p.write("v1/conf", "1")
		p.write("v2/conf", "two")
		require.NoError(t, os.Symlink("real", p.path("src")))
		require.NoError(t, os.Symlink("src/pkg/a.py", p.path("a.py")))
		require.NoError(t, os.Symlink("v1", p.path("current")))
		require.NoError(t, os.Symlink(".", p.path("real/circle")))
		p.watch("a.py", "current/conf", "src/")
		p.write("real/pkg/a.py", "aa")
		p.until("written a.py", "written src/pkg/a.py")
		// What deployments do: the link is exchanged in one step.
		require.NoError(t, os.Symlink("v2", p.path("next")))
		require.NoError(t, os.Rename(p.path("next"), p.path("current")))
		p.until("written current/conf")
		p.write("v2/conf", "three")
		p.until("written current/conf")
	})
}

// A burst of saves is few change sets, and the last state is never missed.
func TestABurst(t *testing.T) {
	p := newProject(t, Options{})
	p.write("app.py", "0")
	p.write("b.py", "0")
	p.write("sentinel", "")
	p.watch("app.py", "b.py", "sentinel")
	for i := range 200 {
		p.write("app.py", fmt.Sprint("version ", i))
		p.write("b.py", fmt.Sprint("version ", i))
	}
	p.sentinel("now")
	told := map[string]int{}
	sets := 0
	for told["written sentinel"] == 0 {
		sets++
		for _, word := range strings.Split(p.next(), ", ") {
			told[word]++
		}
	}
	require.Positive(t, told["written app.py"])
	require.Positive(t, told["written b.py"])
	require.Less(t, sets, 40, "of 400 saves; a machine that has other things to do makes pauses")
}

// A file that is written slowly is told when it is whole.
func TestASlowWriter(t *testing.T) {
	p := newProject(t, Options{})
	p.write("model.bin", "0")
	p.watch("model.bin")
	f, err := os.Create(p.path("model.bin"))
	require.NoError(t, err)
	defer f.Close()
	block := make([]byte, 1<<20)
	for range 64 {
		_, err := f.Write(block)
		require.NoError(t, err)
	}
	require.Equal(t, "written model.bin", p.next())
	info, err := os.Stat(p.path("model.bin"))
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, info.Size())
}

func TestGitSwitch(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	p := newProject(t, Options{})
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), git, args...)
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b.c", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b.c")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	run("init", "-q", "-b", "main")
	var files, want []string
	for i := range 50 {
		name := fmt.Sprintf("pkg%d/m%d.py", i%5, i)
		files = append(files, name)
		p.write(name, "main")
	}
	p.write("only_main/a.py", "a")
	run("add", ".")
	run("commit", "-qm", "main")
	run("switch", "-qc", "other")
	run("rm", "-rq", "only_main")
	for _, name := range files {
		p.write(name, "the other")
		want = append(want, "written "+name)
	}
	run("commit", "-qam", "other")
	run("switch", "-q", "main")

	set := Set{Files: []string{p.path("only_main/a.py")}, Locks: []string{p.path(".git/index.lock")}}
	for _, name := range files {
		set.Files = append(set.Files, p.path(name))
	}
	p.watchSet(set)
	run("switch", "-q", "other")
	got := strings.Split(p.next(), ", ")
	require.ElementsMatch(t, append(want, "removed only_main/a.py"), got, "a switch is one change set")
	run("switch", "-q", "main")
	require.Contains(t, p.next(), "created only_main/a.py")
}

// What changes while a set is not taken, or is replaced, is not lost.
func TestNothingIsLostBetweenSets(t *testing.T) {
	both(t, func(p *project) {
		p.write("app.py", "one")
		p.watch("app.py")
		p.write("app.py", "two")
		p.watch("app.py", "helper.py")
		p.until("written app.py")
		begun := time.Now().Add(-time.Minute)
		p.write("late.py", "changed after it was read")
		p.watchSet(Set{Files: []string{p.path("app.py"), p.path("late.py")}, Since: begun})
		p.until("written late.py")
		p.write("app.py", "three")
		p.write("late.py", "x")
		p.until("written app.py", "written late.py")
		p.write("late.py", "gone from the set")
		p.watch("app.py")
		p.write("app.py", "four")
		p.until("written app.py")
	})
}

func TestClose(t *testing.T) {
	w := New(Options{})
	w.Close()
	w.Close()
	_, ok := <-w.Changes()
	require.False(t, ok)
	require.Error(t, w.Watch(t.Context(), Set{}))
}

// Where the kernel refuses to tell, the watcher says so once, and goes on by
// looking from time to time.
func TestFallsBackToPolling(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.py")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o600))
	var warnings []error
	l := newLoop(Options{Quiet: time.Millisecond, Fallback: 10 * time.Millisecond, Sum: sum, Warn: func(err error) { warnings = append(warnings, err) }})
	l.fallBack(&os.PathError{Op: "inotify_add_watch", Path: dir, Err: syscall.ENOSPC})
	l.fallBack(errors.New("and again"))
	sets, changes := make(chan request), make(chan []Change)
	done := make(chan struct{})
	go func() { defer close(done); l.run(t.Context(), sets, changes) }()
	r := request{set: Set{Files: []string{file}}, done: make(chan struct{})}
	sets <- r
	<-r.done
	require.NoError(t, os.WriteFile(file, []byte("two"), 0o600))
	require.Equal(t, []Change{{Path: file, Kind: Written}}, <-changes)
	require.Len(t, warnings, 1)
	require.ErrorContains(t, warnings[0], "fs.inotify.max_user_watches")
	require.ErrorIs(t, warnings[0], syscall.ENOSPC)
}
