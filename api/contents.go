package api

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Limits of POST /v1/blobs: what is larger is sent by itself, so that it need
// not be held in memory.
const (
	MaxContent  = 1 << 20  // bytes of one content among several
	MaxContents = 16 << 20 // bytes of a whole request
)

// contentHead is what comes before each content of POST /v1/blobs: its SHA-256
// and, little-endian, how many bytes it has.
const contentHead = 32 + 4

// AppendContent adds a content to the body of POST /v1/blobs. sha256 is in hex.
func AppendContent(body []byte, sha256 string, content []byte) ([]byte, error) {
	sum, err := hex.DecodeString(sha256)
	if err != nil || len(sum) != 32 {
		return body, fmt.Errorf("%.80q is no SHA-256 in hex", sha256)
	}
	if len(content) > MaxContent {
		return body, fmt.Errorf("a content of %d bytes among others; at most %d are allowed", len(content), MaxContent)
	}
	body = append(body, sum...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(content))) //nolint:gosec // it was checked
	return append(body, content...), nil
}

// ReadContents hands over the contents of a body of POST /v1/blobs, one after
// the other. What put leaves unread is skipped.
func ReadContents(body io.Reader, put func(sha256 string, content io.Reader) error) error {
	var head [contentHead]byte
	for {
		if _, err := io.ReadFull(body, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading what is uploaded: %w", err)
		}
		size := int64(binary.LittleEndian.Uint32(head[32:]))
		if size > MaxContent {
			return &Error{Code: "invalid", Message: fmt.Sprintf("a content of %d bytes among others; at most %d are allowed", size, MaxContent)}
		}
		content := &io.LimitedReader{R: body, N: size}
		if err := put(hex.EncodeToString(head[:32]), content); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return fmt.Errorf("reading what is uploaded: %w", err)
		}
		if content.N > 0 {
			return fmt.Errorf("reading what is uploaded: %w", io.ErrUnexpectedEOF)
		}
	}
}
