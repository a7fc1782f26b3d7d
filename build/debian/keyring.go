package debian

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// maxKeyring bounds a keyring file.
const maxKeyring = 16 << 20

// keyringFolder is where the distributions' keyring packages put their files.
const keyringFolder = "/usr/share/keyrings"

// keysFor returns the keys that may sign a source: those it names itself, or
// else the defaults: opts.Keyrings, or what the machine's apt trusts.
func keysFor(s source, aptDir string, keyrings []string) (openpgp.EntityList, error) {
	if s.Key != "" {
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(s.Key))
		if err != nil {
			return nil, fmt.Errorf("%s: reading the key in Signed-By: %w", s.Where, err)
		}
		return keys, nil
	}
	var keys openpgp.EntityList
	var prints []string
	for _, by := range s.SignedBy {
		if !filepath.IsAbs(by) {
			prints = append(prints, strings.TrimSuffix(by, "!"))
			continue
		}
		found, err := readKeyring(by)
		if err != nil {
			return nil, fmt.Errorf("%s: Signed-By: %w", s.Where, err)
		}
		keys = append(keys, found...)
	}
	if len(s.SignedBy) > 0 && len(prints) == 0 {
		return keys, nil
	}
	trusted, err := trustedKeys(aptDir, keyrings)
	if err != nil {
		return nil, err
	}
	if len(prints) == 0 {
		return trusted, nil
	}
	for _, key := range trusted {
		for _, print := range prints {
			if hasFingerprint(key, print) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// trustedKeys reads the default keyrings: the given ones, all of which have to
// be readable, or those of the machine as far as they are.
func trustedKeys(aptDir string, keyrings []string) (openpgp.EntityList, error) {
	var keys openpgp.EntityList
	for _, file := range keyrings {
		found, err := readKeyring(file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
	}
	if len(keyrings) > 0 {
		return keys, nil
	}
	files := sortedNames(filepath.Join(aptDir, "trusted.gpg.d"), ".gpg", ".asc", ".pgp")
	for _, name := range []string{"debian-archive-keyring", "ubuntu-archive-keyring"} {
		for _, ending := range []string{".gpg", ".pgp"} {
			files = append(files, filepath.Join(keyringFolder, name+ending))
		}
	}
	for _, file := range append(files, filepath.Join(aptDir, "trusted.gpg")) {
		if found, err := readKeyring(file); err == nil {
			keys = append(keys, found...)
		}
	}
	return keys, nil
}

// readKeyring reads an OpenPGP keyring, armoured or binary.
func readKeyring(file string) (openpgp.EntityList, error) {
	data, err := readLimited(file, maxKeyring)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("the keyring %s doesn't exist", file)
		}
		return nil, fmt.Errorf("reading the keyring: %w", err)
	}
	var keys openpgp.EntityList
	if bytes.Contains(data, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
		keys, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
	} else {
		keys, err = openpgp.ReadKeyRing(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keyring %s: %w", file, err)
	}
	return keys, nil
}

func hasFingerprint(key *openpgp.Entity, print string) bool {
	if strings.EqualFold(hex.EncodeToString(key.PrimaryKey.Fingerprint), print) {
		return true
	}
	for _, sub := range key.Subkeys {
		if strings.EqualFold(hex.EncodeToString(sub.PublicKey.Fingerprint), print) {
			return true
		}
	}
	return false
}

// verifyInRelease returns the text that an InRelease file signs. One good
// signature by one of the keys is enough: archives sign with the keys of
// several releases, of which a machine may know only some.
func verifyInRelease(data []byte, keys openpgp.EntityList, now time.Time) ([]byte, error) {
	block, _ := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("it is not signed")
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key is known that could have signed it")
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	signatures, err := splitSignatures(block.ArmoredSignature.Body)
	if err != nil {
		return nil, fmt.Errorf("reading its signature: %w", err)
	}
	var problems []error
	for _, signature := range signatures {
		_, err := openpgp.CheckDetachedSignature(keys, bytes.NewReader(block.Bytes), bytes.NewReader(signature), config)
		if err == nil {
			return block.Plaintext, nil
		}
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		return nil, fmt.Errorf("it is not signed")
	}
	err = errors.Join(problems...)
	if errors.Is(err, pgperrors.ErrUnknownIssuer) {
		err = fmt.Errorf("%w (this machine's keyrings lack the key; on Debian the package debian-archive-keyring brings new ones)", err)
	}
	return nil, err
}

// splitSignatures returns the packets of a signature block one by one.
func splitSignatures(r io.Reader) ([][]byte, error) {
	const most = 32
	var signatures [][]byte
	packets := packet.NewOpaqueReader(r)
	for len(signatures) < most {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return signatures, nil
		}
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := p.Serialize(&out); err != nil {
			return nil, err
		}
		signatures = append(signatures, out.Bytes())
	}
	return nil, fmt.Errorf("more than %d signatures", most)
}

// armored is keys as text, for the apt of an image.
func armored(keys openpgp.EntityList) (string, error) {
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		if err := key.Serialize(w); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return text.String() + "\n", nil
}
