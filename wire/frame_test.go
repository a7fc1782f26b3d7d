package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/wire"
)

type vectors struct {
	Frames []struct {
		Name     string
		Type     wire.Type
		Flags    uint8
		Attempt  uint16
		Call     uint32
		Index    uint32
		Body     string
		Logged   uint64
		FileSize int64 `json:"file_size"`
		Bytes    string
	}
	Bad []struct{ Name, Bytes string }
}

func readVectors(t testing.TB) vectors {
	data, err := os.ReadFile("testdata/frames.json")
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(data, &v))
	return v
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t).Frames {
		t.Run(v.Name, func(t *testing.T) {
			f := wire.Frame{
				Header: wire.Header{Type: v.Type, Flags: v.Flags, Attempt: v.Attempt, Call: v.Call, Index: v.Index},
				Logged: v.Logged, FileSize: v.FileSize,
			}
			want := unhex(t, v.Bytes)
			if v.Flags&wire.FlagFD != 0 {
				file, err := wire.NewFile()
				require.NoError(t, err)
				defer file.Close()
				f.File = file
			} else {
				f.Body = unhex(t, v.Body)
			}
			got, err := f.Append([]byte("before"))
			require.NoError(t, err)
			require.Equal(t, append([]byte("before"), want...), got)

			if f.File != nil {
				return // reading needs a socket: TestDescriptors
			}
			r := wire.NewReader(bytes.NewReader(want))
			back, err := r.Read()
			require.NoError(t, err)
			require.EqualValues(t, len(want)-wire.HeaderSize, back.Size)
			back.Size = 0
			require.Equal(t, f.Header, back.Header)
			require.Equal(t, f.Logged, back.Logged)
			require.Equal(t, string(f.Body), string(back.Body))
			_, err = r.Read()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestBadFrames(t *testing.T) {
	for _, v := range readVectors(t).Bad {
		t.Run(v.Name, func(t *testing.T) {
			r := wire.NewReader(bytes.NewReader(unhex(t, v.Bytes)))
			_, err := r.Read()
			require.ErrorIs(t, err, wire.ErrProtocol)
			_, again := r.Read()
			require.Equal(t, err, again, "the error is sticky")
		})
	}
}

func TestCutOff(t *testing.T) {
	whole := unhex(t, readVectors(t).Frames[2].Bytes)
	for n := 1; n < len(whole); n++ {
		_, err := wire.NewReader(bytes.NewReader(whole[:n])).Read()
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF), "after %d bytes: %v", n, err)
	}
}

func TestErrorBody(t *testing.T) {
	e := wire.ErrorBody{Type: "ValueError", Message: "nö", Traceback: "Traceback ...", File: "/root/a.py", Line: 3}
	body, err := wire.EncodeError(e, []byte("pickle"))
	require.NoError(t, err)
	back, pickled, err := wire.DecodeError(body)
	require.NoError(t, err)
	require.Equal(t, e, back)
	require.Equal(t, "pickle", string(pickled))

	for name, bad := range map[string][]byte{
		"empty": nil, "short": {1, 0, 0}, "head longer than the body": {9, 0, 0, 0, '{', '}'},
		"huge head": {255, 255, 255, 255, '{', '}'}, "no JSON": {2, 0, 0, 0, '{', '{'},
	} {
		_, _, err := wire.DecodeError(bad)
		require.ErrorIs(t, err, wire.ErrProtocol, name)
	}
}

func TestJSON(t *testing.T) {
	f, err := wire.JSON(wire.Open, 3, 0, wire.OpenBody{Function: "fu-1", Kind: "map"})
	require.NoError(t, err)
	var back wire.OpenBody
	require.NoError(t, f.Decode(&back))
	require.Equal(t, wire.OpenBody{Function: "fu-1", Kind: "map"}, back)

	empty, err := wire.JSON(wire.Cancel, 3, wire.AllInputs, nil)
	require.NoError(t, err)
	require.NoError(t, empty.Decode(&wire.CancelBody{}))

	f.Body = []byte("[1")
	require.ErrorIs(t, f.Decode(&back), wire.ErrProtocol)
	_, err = wire.JSON(wire.Reply, 1, 0, wire.ReplyBody{Result: make([]byte, wire.MaxJSON)})
	require.ErrorIs(t, err, wire.ErrTooLarge)
	f.Body = make([]byte, wire.MaxJSON+1)
	require.ErrorIs(t, f.Decode(&back), wire.ErrTooLarge)
}

// FuzzReader reads what anyone may send: it must not fail in a way that is not
// an error, and what it accepts must be written again as the same bytes.
func FuzzReader(f *testing.F) {
	v := readVectors(f)
	var all []byte
	for _, good := range v.Frames {
		b := unhex(f, good.Bytes)
		all = append(all, b...)
		f.Add(b)
	}
	f.Add(all)
	for _, bad := range v.Bad {
		f.Add(unhex(f, bad.Bytes))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := wire.NewReader(bytes.NewReader(data))
		defer r.Close()
		var again []byte
		for {
			more := r.More()
			frame, err := r.Read()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, wire.ErrProtocol) {
					t.Fatalf("unexpected error %v", err)
				}
				if more && !errors.Is(err, wire.ErrProtocol) {
					t.Fatalf("More promised a frame, Read gave %v", err)
				}
				break
			}
			if int(frame.Size) > len(data) {
				t.Fatalf("a body of %d bytes out of %d", frame.Size, len(data))
			}
			_, _, _ = wire.DecodeError(frame.Body)
			if again, err = frame.Append(again); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("read %x, wrote %x", data, again)
		}
	})
}
