package sdk

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// The patterns name files, not folders, so that byte code never gets in.
//
//go:embed python/gx/*.py python/gx/py.typed python/gx/_runner/*.py python/modal/*.py python/modal/py.typed
var packages embed.FS

// file is one file of the packages, by its path under the folder that goes on
// the Python path: "gx/app.py".
type file struct {
	path string
	data []byte
}

// files reads what is embedded and names it by one hash. Both never change in
// a process.
var files = sync.OnceValues(func() ([]file, string) {
	var all []file
	sum := sha256.New()
	err := fs.WalkDir(packages, "python", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := packages.ReadFile(path)
		if err != nil {
			return err
		}
		f := file{path: strings.TrimPrefix(path, "python/"), data: data}
		fmt.Fprintf(sum, "%s\x00%d\x00", f.path, len(f.data))
		sum.Write(f.data)
		all = append(all, f)
		return nil
	})
	if err != nil {
		panic("sdk: the embedded packages can't be read: " + err.Error())
	}
	return all, hex.EncodeToString(sum.Sum(nil))[:16]
})

// Extract writes the embedded packages gx and modal to a folder under cacheDir,
// once per content, and returns the folder, which is for PYTHONPATH. Several
// processes may do so at once; what one of them has left incomplete is replaced.
func Extract(cacheDir string) (dir string, err error) {
	all, hash := files()
	parent := filepath.Join(cacheDir, "sdk")
	dir = filepath.Join(parent, hash)
	if complete(dir, all) {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("making a folder for the SDK: %w", err)
	}
	staged, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the SDK: %w", err)
	}
	defer os.RemoveAll(staged)
	if err := write(staged, all); err != nil {
		return "", err
	}
	err = os.Rename(staged, dir)
	if err == nil || complete(dir, all) {
		return dir, nil
	}
	if !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return "", fmt.Errorf("putting the SDK in place: %w", err)
	}
	// What is there lacks a file or has one cut short. It stays where it is,
	// for a Python that may be using it, and gets the right content.
	if err := write(dir, all); err != nil {
		return "", err
	}
	return dir, nil
}

// complete tells whether dir has every file with its size.
func complete(dir string, all []file) bool {
	for _, f := range all {
		info, err := os.Stat(filepath.Join(dir, f.path))
		if err != nil || info.Size() != int64(len(f.data)) {
			return false
		}
	}
	return true
}

// write writes the files that dir does not have as they should be, each
// atomically.
func write(dir string, all []file) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("unpacking the SDK: %w", err)
	}
	for _, f := range all {
		path := filepath.Join(dir, f.path)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.data) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("unpacking the SDK: %w", err)
		}
		staged := path + ".new"
		if err := os.WriteFile(staged, f.data, 0o644); err != nil {
			return fmt.Errorf("unpacking the SDK: %w", err)
		}
		if err := os.Rename(staged, path); err != nil {
			return fmt.Errorf("unpacking the SDK: %w", err)
		}
	}
	return nil
}
