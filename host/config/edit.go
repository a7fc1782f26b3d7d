package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Setting is one setting as it is.
type Setting struct {
	Key   string `json:"key"`   // "images.registry"
	Value string `json:"value"` // as it is written; "" = the default
	From  string `json:"from"`  // "default", "file", or the variable that says it
}

// Settings lists all settings, those of a file with the environment's.
func Settings(path string, getenv func(string) string) ([]Setting, error) {
	if _, err := Load(path, getenv); err != nil {
		return nil, err
	}
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	said := map[string]any{}
	if err := toml.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("%s: %w", path, explain(err))
	}
	values := map[string]string{}
	flatten("", said, values)
	keys := keysOf("", reflect.TypeFor[Config]())
	for key := range values {
		if _, known := keys[key]; !known { // of a map: gpu_prices.T4
			keys[key] = reflect.String
		}
	}
	variables := map[string]string{}
	for _, v := range variablesOf(&Config{}) {
		variables[v.key] = v.name
	}
	var list []Setting
	for key := range keys {
		s := Setting{Key: key, Value: values[key], From: "file"}
		if _, ok := values[key]; !ok {
			s.From = "default"
		}
		if name := variables[key]; name != "" && getenv(name) != "" {
			s.Value, s.From = getenv(name), name
		}
		if keys[key] != reflect.Map {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return list, nil
}

// Set writes a setting into a file, which is made if there is none, and leaves
// everything else in it as it is, comments too; "" takes the setting out. A
// value that would not load changes nothing.
func Set(path, key, value string) error {
	text, err := read(path)
	if err != nil {
		return err
	}
	keys := keysOf("", reflect.TypeFor[Config]())
	kind, known := keys[key]
	if section, _, dotted := strings.Cut(key, "."); !known && dotted && keys[section] == reflect.Map {
		kind, known = reflect.Float64, true
	}
	if !known || kind == reflect.Map {
		list := make([]string, 0, len(keys))
		for k, kind := range keys {
			if kind == reflect.Map {
				k += ".NAME"
			}
			list = append(list, k)
		}
		slices.Sort(list)
		return fmt.Errorf("there is no setting %s; there are %s", key, strings.Join(list, ", "))
	}
	written := strconv.Quote(value)
	if kind == reflect.Int || kind == reflect.Float64 {
		if _, err := strconv.ParseFloat(value, 64); err != nil && value != "" {
			return fmt.Errorf("%s is a number, and not %q", key, value)
		}
		written = value
	}
	if value == "" {
		written = ""
	}
	next := edit(text, key, written)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the configuration: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".config-*.toml")
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(next)
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	if _, err := Load(temp.Name(), func(string) string { return "" }); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), temp.Name()+": "))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

// edit gives a key of a TOML text another value; "" takes it out.
func edit(text []byte, key, value string) []byte {
	section, name := "", key
	if i := strings.LastIndex(key, "."); i >= 0 {
		section, name = key[:i], key[i+1:]
	}
	line := ""
	if value != "" {
		line = name + " = " + value + "\n"
	}
	var out bytes.Buffer
	at, done := "", false
	end := func() { // of a section: the setting goes there if it was not found
		if at != section || done {
			return
		}
		done = true
		kept := bytes.TrimRight(out.Bytes(), "\n")
		blank := out.Len() - len(kept)
		out.Truncate(len(kept))
		if len(kept) > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(line)
		for range max(blank-1, 0) {
			out.WriteByte('\n')
		}
	}
	for old := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(old)
		if strings.HasPrefix(trimmed, "[") {
			end()
			head, _, _ := strings.Cut(trimmed, "]")
			at = strings.TrimSpace(strings.TrimPrefix(head, "["))
		}
		k, rest, isSetting := strings.Cut(trimmed, "=")
		if isSetting && at == section && strings.Trim(strings.TrimSpace(k), `"`) == name && !strings.HasPrefix(trimmed, "#") {
			done = true
			if value != "" {
				comment := ""
				if _, after, ok := strings.Cut(rest, " #"); ok {
					comment = " #" + strings.TrimRight(after, "\n")
				}
				out.WriteString(name + " = " + value + comment + "\n")
			}
			continue
		}
		out.WriteString(old)
	}
	end()
	if !done && value != "" {
		if n := out.Len(); n > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
			out.WriteByte('\n')
		}
		out.WriteString("\n[" + section + "]\n" + line)
	}
	return out.Bytes()
}

func read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return text, nil
}

// keysOf are the settings of a struct, and what kind of value each has.
func keysOf(prefix string, t reflect.Type) map[string]reflect.Kind {
	keys := map[string]reflect.Kind{}
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("toml")
		switch {
		case f.Type.Kind() == reflect.Struct:
			for k, kind := range keysOf(key+".", f.Type) {
				keys[k] = kind
			}
		case f.Type.PkgPath() != "": // reads itself from a text
			keys[key] = reflect.String
		default:
			keys[key] = f.Type.Kind()
		}
	}
	return keys
}

func flatten(prefix string, from map[string]any, to map[string]string) {
	for key, value := range from {
		if inner, ok := value.(map[string]any); ok {
			flatten(prefix+key+".", inner, to)
			continue
		}
		to[prefix+key] = fmt.Sprint(value)
	}
}
