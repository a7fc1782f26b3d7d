package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"golang.org/x/term"

	"github.com/gx-dev/gx/cmd/gx/exit"
)

// ask asks the host about what it stores; see package ask of the engine. The
// error has its exit code.
func (d deps) ask(ctx context.Context, op string, params, result any) error {
	c, err := d.ensure(ctx, hostOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	if params == nil {
		params = struct{}{}
	}
	if _, err := c.Ask(ctx, op, params, nil, result); err != nil {
		return answer(err)
	}
	return nil
}

// confirm asks before something is lost. Without a terminal nobody can answer,
// so that yes has to be said by a flag.
func (d deps) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !term.IsTerminal(int(d.stdin.Fd())) {
		return exit.With(exit.Usage, fmt.Errorf("%s Say so by --yes", question))
	}
	fmt.Fprintf(d.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(d.stdin).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(line)); err == nil && (word == "y" || word == "yes") {
		return nil
	}
	return exit.With(exit.Usage, fmt.Errorf("nothing was deleted"))
}
