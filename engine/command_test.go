package engine

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/redact"
)

// written is a command that a test writes the output of.
type written struct{ over chan struct{} }

func (p written) Terminal() *os.File          { return nil }
func (p written) Signal(syscall.Signal) error { return nil }
func (p written) Kill() error                 { return nil }
func (p written) Done() <-chan struct{}       { return p.over }
func (p written) Exit() container.Exit        { return container.Exit{} }

// TestCommandIsMasked has a command write secrets' values, in pieces too: they are
// not shown, and nothing else is kept back for longer than it may be one.
func TestCommandIsMasked(t *testing.T) {
	for name, c := range map[string]struct {
		hold   time.Duration
		pieces []string // each is written once what has to come of those before has come
		come   []string
	}{
		"whole":          {time.Hour, []string{"a planted-value\n", "b\n"}, []string{"a [TOKEN]\n", "b\n"}},
		"in pieces":      {time.Hour, []string{"a pla", "nted-va", "lue b"}, []string{"a ", "", "[TOKEN] b"}},
		"something else": {time.Hour, []string{"pla", "nted-grass\n"}, []string{"", "planted-grass\n"}},
		"typed":          {time.Millisecond, []string{"p", "l", "x"}, []string{"p", "l", "x"}},
		"last":           {time.Hour, []string{"the plan"}, []string{"the "}},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			defer w.Close()
			p := written{make(chan struct{})}
			command := &Command{process: p, outputs: []*os.File{r}, mask: redact.New(map[string]string{"TOKEN": "planted-value"}), hold: c.hold}
			hurried := make(chan struct{})
			go func() {
				defer close(hurried)
				command.hurry()
			}()
			got, ended := make(chan string), make(chan error)
			go func() {
				ended <- command.Copy(0, func(data []byte) error { got <- string(data); return nil })
			}()
			for i, piece := range c.pieces {
				_, err := w.WriteString(piece)
				require.NoError(t, err)
				for come := ""; come != c.come[i]; {
					come += <-got
					require.True(t, strings.HasPrefix(c.come[i], come), "%q", come)
				}
			}
			close(p.over)
			rest := ""
			for done := false; !done; {
				select {
				case more := <-got:
					rest += more
				case err := <-ended:
					require.NoError(t, err)
					done = true
				}
			}
			<-hurried
			all := redact.New(map[string]string{"TOKEN": "planted-value"}).Text(strings.Join(c.pieces, ""))
			require.Equal(t, all, strings.Join(c.come, "")+rest)
		})
	}
}
