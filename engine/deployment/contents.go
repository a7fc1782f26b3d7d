package deployment

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/gx-dev/gx/app"
)

// Vault encrypts what must not be kept in the clear; label names what it is.
type Vault interface {
	Seal(label string, data []byte) ([]byte, error)
	Open(label string, sealed []byte) ([]byte, error)
}

// sealedAs is what the values of secrets are sealed as that a version has of its
// own: those of another one, or of another app, do not open in their place.
func sealedAs(app string, version int) string {
	return fmt.Sprintf("the secrets of version %d of deployed app %s", version, app)
}

// packed is how Contents are kept: the values of secrets are apart, encrypted.
type packed struct {
	Contents
	Secrets []byte `json:",omitempty"` // app.Withheld
}

// pack is the opposite of unpack; label is what secrets are sealed as.
func (s *Store) pack(label string, c Contents) (_ []byte, err error) {
	k := packed{Contents: c}
	var held app.Withheld
	k.Manifest, held = c.Manifest.Withhold()
	if !held.Empty() {
		data, err := json.Marshal(held)
		if err != nil {
			return nil, errors.New("recording what a version is made of: its secrets cannot be encoded")
		}
		if s.vault == nil {
			return nil, errors.New("recording what a version is made of: it has secrets, and nothing is there to encrypt them")
		}
		if k.Secrets, err = s.vault.Seal(label, data); err != nil {
			return nil, fmt.Errorf("recording what a version is made of: %w", err)
		}
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err = json.NewEncoder(w).Encode(k); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("recording what a version is made of: %w", err)
	}
	return b.Bytes(), nil
}

func (s *Store) unpack(label string, blob []byte) (Contents, error) {
	var k packed
	r, err := gzip.NewReader(bytes.NewReader(blob))
	if err == nil {
		var data []byte
		if data, err = io.ReadAll(r); err == nil {
			err = json.Unmarshal(data, &k)
		}
	}
	if err == nil && k.Secrets != nil {
		err = s.unseal(label, &k)
	}
	if err != nil {
		return Contents{}, fmt.Errorf("reading what a version is made of: %w", err)
	}
	return k.Contents, nil
}

// unseal puts the values of secrets back.
func (s *Store) unseal(label string, k *packed) error {
	if s.vault == nil {
		return errors.New("it has secrets, and nothing is there to decrypt them")
	}
	data, err := s.vault.Open(label, k.Secrets)
	if err != nil {
		return err
	}
	var held app.Withheld
	if json.Unmarshal(data, &held) != nil { // whose error may show a value
		return errors.New("what was decrypted as its secrets makes no sense")
	}
	k.Manifest, err = k.Manifest.Restore(held)
	return err
}
