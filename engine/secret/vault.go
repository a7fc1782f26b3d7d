package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"
)

// Vault encrypts what is kept on the disk, by an X25519 key of age
// (https://age-encryption.org/v1) in a file that only its user can read. What is
// sealed says what it is, so that one thing cannot take the place of another. It
// is safe for concurrent use.
type Vault struct {
	file string

	mu  sync.Mutex
	key *age.X25519Identity // nil = not read yet
}

// NewVault makes a vault whose key is in a file. It is made when the first thing
// is sealed.
func NewVault(file string) *Vault { return &Vault{file: file} }

// Seal encrypts data. label names what it is.
func (v *Vault) Seal(label string, data []byte) ([]byte, error) {
	key, err := v.identity(true)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, key.Recipient())
	if err != nil {
		return nil, fmt.Errorf("encrypting %s: %w", label, err)
	}
	if _, err := io.WriteString(w, label+"\x00"); err != nil {
		return nil, fmt.Errorf("encrypting %s: %w", label, err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("encrypting %s: %w", label, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypting %s: %w", label, err)
	}
	return out.Bytes(), nil
}

// Open decrypts what was sealed under the same label.
func (v *Vault) Open(label string, sealed []byte) ([]byte, error) {
	key, err := v.identity(false)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if err != nil {
		if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
			return nil, fmt.Errorf("%s was encrypted with another key than that in %s: put the former file back", label, v.file)
		}
		return nil, fmt.Errorf("decrypting %s: %w", label, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("decrypting %s: %w", label, err)
	}
	data, ok := bytes.CutPrefix(data, []byte(label+"\x00"))
	if !ok {
		return nil, fmt.Errorf("what is kept as %s is something else", label)
	}
	return data, nil
}

// identity reads the key; with create it makes one if there is none.
func (v *Vault) identity(create bool) (*age.X25519Identity, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != nil {
		return v.key, nil
	}
	text, err := v.read()
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := v.make(); err != nil {
			return nil, fmt.Errorf("making the key of secrets: %w", err)
		}
		text, err = v.read()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key of secrets, %s, is not there: put the file back", v.file)
	}
	if err != nil {
		return nil, err
	}
	key, err := age.ParseX25519Identity(strings.TrimSpace(text))
	if err != nil { // whose text may show the key
		return nil, fmt.Errorf("the key of secrets, %s, is no key of age: put the former file back", v.file)
	}
	v.key = key
	return key, nil
}

// read reads the file, if nobody else can.
func (v *Vault) read() (string, error) {
	f, err := os.Open(v.file)
	if err != nil {
		return "", fmt.Errorf("reading the key of secrets: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("reading the key of secrets: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return "", fmt.Errorf("the key of secrets, %s, can be read by others (its mode is %04o): find out who, and then: chmod 600 %s", v.file, info.Mode().Perm(), v.file)
	}
	const most = 4096 // bytes: a key has 74
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return "", fmt.Errorf("reading the key of secrets: %w", err)
	}
	return string(text), nil
}

// make makes the file, whole or not at all, and never in the place of another.
func (v *Vault) make() (err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(v.file), ".key-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(key.String() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), v.file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(v.file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
