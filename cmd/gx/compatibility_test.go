package main

import (
	"os"
	"strings"
	"testing"
)

// TestCompatibilityIsTrue holds the commands in docs/compatibility.md to those
// that there are.
func TestCompatibilityIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n## Commands\n")
	if !found {
		t.Fatal("docs/compatibility.md has no part about commands")
	}
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		words := strings.Fields(strings.Trim(strings.TrimSpace(cells[0]), "`"))
		if len(cells) != 3 || len(words) < 2 || words[0] != "gx" {
			continue
		}
		rows++
		state := strings.TrimSpace(cells[1])
		if state != "works" && state != "not yet" {
			t.Errorf("%v: %q is no state", words, state)
		}
		if there := hasCommand(t, words[1:]); there != (state == "works") {
			t.Errorf("%s: the document says %q", strings.Join(words, " "), state)
		}
	}
	if rows < 50 {
		t.Errorf("the document has %d commands", rows)
	}
}

// hasCommand reports whether there is such a command, with such a flag if the
// last word is one.
func hasCommand(t *testing.T, words []string) bool {
	t.Helper()
	last := words[len(words)-1]
	flag, isFlag := strings.CutPrefix(last, "--")
	if isFlag {
		words = words[:len(words)-1]
	}
	cmd, rest, err := newRootCmd(newDeps("test")).Find(words) // Flag knows those of the root, too
	if err != nil || len(rest) > 0 || !cmd.HasParent() {
		return false
	}
	return !isFlag || cmd.Flag(flag) != nil
}
