package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/session"
)

func newCallCmd(d deps) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "call APP FUNCTION [--args JSON] [--kwargs JSON] [--NAME VALUE ...]",
		Short: "Call a function of an app that runs, and print what it returns",
		Long: `Call a function of an app that runs on the host, or a method (Class.method), and
print what it returns.

    --args JSON      positional arguments: '[1, "two"]'; anything else is the only one
    --kwargs JSON    arguments by name: '{"n": 3}'
    --NAME VALUE     one argument by name; a value that is no JSON is a text
    --params JSON    parameters of a method's class
    --version N      as it is in this version of a deployed app, whichever is current
    --json           print the result as JSON
    --spawn          do not wait: print the call's id
    --env NAME       the environment of the app`,
		Example: `  gx call pricing quote --args '[3, "EUR"]'
  gx call pricing quote --amount 3 --currency EUR --json
  gx call llm Model.ask --params '{"size": "7b"}' --prompt "hello there"`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, help, err := callArgs(args)
			if err != nil {
				return err
			}
			if help {
				return cmd.Help()
			}
			return runCall(cmd.Context(), d, rest)
		},
	}
	return cmd
}

// callArgs takes what is gx's own out of the arguments: the others are the
// function's.
func callArgs(args []string) (rest []string, help bool, err error) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--help" || arg == "-h":
			return nil, true, nil
		case arg == "--env" || arg == "-e":
			if i++; i == len(args) {
				return nil, false, exit.With(exit.Usage, errorText("--env needs the name of an environment"))
			}
			err = setEnvironment(args[i])
		case len(arg) > 6 && arg[:6] == "--env=":
			err = setEnvironment(arg[6:])
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, false, err
		}
	}
	if len(rest) == 0 {
		return nil, false, exit.With(exit.Usage, errorText("gx call needs an app and a function: gx call APP FUNCTION"))
	}
	return rest, false, nil
}

func runCall(ctx context.Context, d deps, args []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	connecting := connect(ctx, d, hostOptions{})
	defer connecting.close()
	python, err := startPython(ctx, d, append([]string{"-m", "gx._cli", "call"}, args...))
	if err != nil {
		return err
	}
	opts, err := sessionOptions(d, connecting, python.Control(), signals)
	if err != nil {
		return err
	}
	opts.Python, opts.Terminal, opts.ShowExceptions = python.Signal, inForeground(), true
	outcome := session.Run(ctx, opts)
	code, err := waitPython(python, signals)
	if result := outcome.Exit; result != nil && result.Result != "" {
		d.ui.Println(result.Result)
	}
	return verdict(outcome, code, err)
}
