package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

const referenceFile = "../../docs/cli.md"

// TestReferenceIsTrue holds docs/cli.md to the commands that there are. Run it
// with -update-reference to write it.
func TestReferenceIsTrue(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Commands\n\nWritten by the commands themselves: `go test ./cmd/gx -run Reference -update-reference`.\n")
	root := newRootCmd(newDeps("reference"))
	b.WriteString("\n## Flags of every command\n")
	writeFlags(&b, root.PersistentFlags())
	writeReference(&b, root)
	fmt.Fprintf(&b, "\n## Exit codes\n\n```\n%s```\n", exit.Doc())
	if *updateReference {
		if err := os.WriteFile(referenceFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("docs/cli.md is not what the commands say; write it anew with go test ./cmd/gx -run Reference -update-reference")
	}
}

var updateReference = flag.Bool("update-reference", false, "write docs/cli.md")

func writeReference(b *strings.Builder, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.Name() == "completion" {
		return
	}
	if cmd.Runnable() && cmd.HasParent() && !cmd.HasSubCommands() {
		fmt.Fprintf(b, "\n## %s\n\n%s\n", cmd.CommandPath(), strings.TrimSpace(cmd.Short))
		if long := strings.TrimSpace(cmd.Long); long != "" && long != cmd.Short {
			fmt.Fprintf(b, "\n%s\n", long)
		}
		fmt.Fprintf(b, "\n```\n%s\n```\n", cmd.UseLine())
		if cmd.Example != "" {
			fmt.Fprintf(b, "\n```console\n%s\n```\n", strings.TrimRight(cmd.Example, "\n"))
		}
		writeFlags(b, cmd.LocalFlags())
	}
	for _, sub := range cmd.Commands() {
		writeReference(b, sub)
	}
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	if flags.HasAvailableFlags() {
		b.WriteString("\n| flag | what | default |\n| --- | --- | --- |\n")
		flags.VisitAll(func(f *pflag.Flag) { writeFlag(b, f) })
	}
}

func writeFlag(b *strings.Builder, f *pflag.Flag) {
	if f.Hidden || f.Name == "help" {
		return
	}
	name := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		name = "`-" + f.Shorthand + "`, " + name
	}
	value := ""
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" && f.DefValue != "0" {
		value = "`" + f.DefValue + "`"
	}
	fmt.Fprintf(b, "| %s | %s | %s |\n", name, strings.ReplaceAll(f.Usage, "|", "\\|"), value)
}
