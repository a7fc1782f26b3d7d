package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/cmd/gx/dotenv"
	"github.com/gx-dev/gx/cmd/gx/exit"
)

// secretValues are the variables that the options give. No error shows a value,
// nor what may be one: an argument that is no KEY=VALUE is told by its number.
func (d deps) secretValues(o secretOptions) (map[string]string, error) {
	wrong := func(format string, args ...any) (map[string]string, error) {
		return nil, exit.With(exit.Usage, fmt.Errorf(format, args...))
	}
	pairs, asked := map[string]string{}, 0
	for i, arg := range o.pairs {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || app.CheckVariable(name) != nil {
			return wrong("argument %d behind the secret's name is no KEY=VALUE, whose KEY has letters, digits and underscores, and begins with no digit", i+1)
		}
		if value == "-" {
			asked++
		}
		pairs[name] = value
	}
	terminal := term.IsTerminal(int(d.stdin.Fd()))
	readers := asked
	for _, file := range []string{o.dotenv, o.json} {
		if file == "-" {
			readers++
		}
	}
	switch {
	case len(o.pairs) == 0 && o.dotenv == "" && o.json == "":
		return wrong("what is in the secret? Give it KEY=VALUE, --from-dotenv FILE or --from-json FILE")
	case readers > 1 && (!terminal || readers > asked):
		return wrong("standard input can be one value, or one file")
	}
	values := map[string]string{}
	if o.dotenv != "" {
		data, err := d.readSecrets(o.dotenv)
		if err != nil {
			return wrong("%v", err)
		}
		found, err := dotenv.Parse(string(data), d.env)
		if err != nil {
			return wrong("%s, %v", o.dotenv, err)
		}
		maps.Copy(values, found)
	}
	if o.json != "" {
		data, err := d.readSecrets(o.json)
		if err != nil {
			return wrong("%v", err)
		}
		found, err := jsonSecrets(data)
		if err != nil {
			return wrong("%s, %v", o.json, err)
		}
		maps.Copy(values, found)
	}
	for name, value := range pairs {
		if value == "-" {
			var err error
			if value, err = d.askSecret(name, terminal); err != nil {
				return wrong("%v", err)
			}
		}
		values[name] = value
	}
	if err := app.CheckValues(values); err != nil {
		return wrong("%v", err)
	}
	return values, nil
}

// readSecrets reads a file, or with "-" standard input.
func (d deps) readSecrets(file string) ([]byte, error) {
	in := d.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading secrets: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, dotenv.MaxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading secrets from %s: %w", file, err)
	case len(data) > dotenv.MaxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes, which is what a file of secrets may have", file, dotenv.MaxFile)
	}
	return data, nil
}

// askSecret asks at the terminal for a value, or reads it from standard input,
// whose last end of line is no part of it.
func (d deps) askSecret(name string, terminal bool) (string, error) {
	if terminal {
		fmt.Fprintf(d.stderr, "%s: ", name)
		value, err := term.ReadPassword(int(d.stdin.Fd()))
		fmt.Fprintln(d.stderr)
		if err != nil {
			return "", fmt.Errorf("nothing was set: %w", err)
		}
		return string(value), nil
	}
	data, err := d.readSecrets("-")
	if err != nil {
		return "", err
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(data) == 0 {
		return "", fmt.Errorf("standard input has no value for %s", name)
	}
	return string(data), nil
}

// jsonSecrets reads a JSON object of strings; what is null is left out.
func jsonSecrets(data []byte) (map[string]string, error) {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(data, &found); err != nil {
		at := int64(len(data))
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = min(at, max(syntax.Offset-1, 0))
			return nil, fmt.Errorf("line %d: this is no JSON", 1+bytes.Count(data[:at], []byte("\n")))
		}
		found = nil
	}
	if found == nil {
		return nil, errors.New(`it has no JSON object, such as {"KEY": "value"}`)
	}
	values := map[string]string{}
	for name, raw := range found {
		if string(raw) == "null" {
			continue
		}
		var value string
		if json.Unmarshal(raw, &value) != nil {
			return nil, fmt.Errorf("the value of %.80q is no string: put it in quotes", name)
		}
		values[name] = value
	}
	return values, nil
}
