package runc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ociState is the directory in which the OCI runtime finds the container's
// state. It does not know of containers that were forked: for those, the state
// of the template, which it does know, is rewritten to what is theirs.
func (c *running) ociState(dir string) (string, error) {
	if c.template == "" {
		return c.runtime.stateDir(), nil
	}
	text, err := os.ReadFile(filepath.Join(c.runtime.stateDir(), c.template, "state.json"))
	if err != nil {
		return "", fmt.Errorf("read the state of its template: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	state := map[string]any{}
	if err := decoder.Decode(&state); err != nil {
		return "", fmt.Errorf("read the state of its template: %w", err)
	}
	config, ok := state["config"].(map[string]any)
	if !ok {
		return "", errors.New("the state of its template has no configuration: this version of runc is not known")
	}
	pid, start, err := c.first()
	if err != nil {
		return "", err
	}
	state["id"], state["init_process_pid"], state["init_process_start"] = c.id, pid, start
	spaces := map[string]string{}
	for kind, name := range map[string]string{"NEWUSER": "user", "NEWIPC": "ipc", "NEWUTS": "uts", "NEWNET": "net", "NEWPID": "pid", "NEWNS": "mnt", "NEWCGROUP": "cgroup"} {
		spaces[kind] = fmt.Sprintf("/proc/%d/ns/%s", pid, name)
	}
	state["namespace_paths"] = spaces
	// Where nothing is limited a container stays in its template's group.
	groups, _ := state["cgroup_paths"].(map[string]any)
	if groups == nil {
		groups = map[string]any{}
	}
	for name, path := range c.group.Views() {
		groups[name] = path
	}
	state["cgroup_paths"] = groups
	if groups, ok := config["cgroups"].(map[string]any); ok {
		groups["path"] = c.group.Path()
	}
	// A template shares the control groups' namespace with the host; what is
	// forked from it has one of its own.
	if list, ok := config["namespaces"].([]any); ok {
		config["namespaces"] = append(list, map[string]any{"type": "NEWCGROUP", "path": ""})
	}
	config["capabilities"] = map[string]any{}
	if err := confine(config); err != nil {
		return "", err
	}
	text, err = json.Marshal(state)
	if err != nil {
		return "", err
	}
	root := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(root, c.id), 0o700); err != nil {
		return "", err
	}
	return root, os.WriteFile(filepath.Join(root, c.id, "state.json"), text, 0o600)
}

// confine takes out of a template's configuration what only it may do.
func confine(config map[string]any) error {
	seccomp, ok := config["seccomp"].(map[string]any)
	if !ok {
		return errors.New("the state of its template has no seccomp profile: this version of runc is not known")
	}
	calls, ok := seccomp["syscalls"].([]any)
	if !ok {
		return errors.New("the state of its template has no seccomp rules: this version of runc is not known")
	}
	removed := map[string]bool{}
	seccomp["syscalls"] = slices.DeleteFunc(calls, func(call any) bool {
		rule, _ := call.(map[string]any)
		name, _ := rule["name"].(string)
		own := slices.ContainsFunc(privilegedCalls, func(c privilegedCall) bool { return c.name == name })
		if own {
			removed[name] = true
		}
		return own
	})
	if len(removed) != len(privilegedCalls) {
		return errors.New("the state of its template has other seccomp rules than it was given: this version of runc is not known")
	}
	return nil
}

// first is the container's first process, as the cell numbers it, and when it
// was started, in the kernel's ticks.
func (c *running) first() (pid int, start uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.init < 0 {
		return 0, 0, errors.New("it has ended")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", c.init))
	if err != nil {
		return 0, 0, fmt.Errorf("find its first process: %w", err)
	}
	host := 0
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			if len(f) < 3 {
				return 0, 0, errors.New("its first process is in no namespace")
			}
			host, _ = strconv.Atoi(f[0])
			pid, _ = strconv.Atoi(f[1])
		}
	}
	if host <= 0 || pid <= 0 {
		return 0, 0, unix.ESRCH
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", host))
	if err != nil {
		return 0, 0, fmt.Errorf("find its first process: %w", err)
	}
	// The name, in parentheses, may have spaces; after it comes field 3.
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, 0, errors.New("its first process can't be examined")
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return pid, start, err
}
