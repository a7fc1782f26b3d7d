//go:build cgo && linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"

	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/gpu/nvml/protocol"
)

// ask has a library serve requests, and returns what was said.
func ask(t *testing.T, lib nvml.Interface, requests string) (said []protocol.Message, err error) {
	t.Helper()
	var out bytes.Buffer
	err = serve(lib, strings.NewReader(requests), &out)
	for decoder := json.NewDecoder(&out); decoder.More(); {
		var m protocol.Message
		if err := decoder.Decode(&m); err != nil {
			t.Fatal(err)
		}
		said = append(said, m)
	}
	return said, err
}

// The machines that go-nvml pretends to be.
func TestMockServers(t *testing.T) {
	for name, c := range map[string]struct {
		lib  nvml.Interface
		card string
	}{
		"DGX A100": {dgxa100.New(), "A100-40GB"}, "DGX H100": {dgxh100.New(), "H100"}, "DGX H200": {dgxh200.New(), "H200"}, "DGX B200": {dgxb200.New(), "B200"},
	} {
		t.Run(name, func(t *testing.T) {
			said, err := ask(t, c.lib, `{"id":1,"op":"list"}`+"\n"+`{"id":2,"op":"sample"}`+"\n"+`{"id":3,"op":"dance"}`+"\n")
			if err != nil || len(said) != 4 || said[0].Driver == "" || said[0].Error != "" {
				t.Fatalf("%+v, %v", said, err)
			}
			for _, m := range said[1:3] {
				if len(m.Devices) != 8 || m.Error != "" {
					t.Errorf("%+v", m)
				}
				for i, d := range m.Devices {
					card, ok := gpu.ByDevice(d.Name, int(d.Memory>>20))
					if !ok || card.Name != c.card || d.Index != i || !strings.HasPrefix(d.UUID, "GPU-") {
						t.Errorf("%+v is a %q", d, card.Name)
					}
				}
			}
			if said[3].ID != 3 || !strings.Contains(said[3].Error, "dance") {
				t.Errorf("%+v", said[3])
			}
		})
	}
}

func TestNoLibrary(t *testing.T) {
	lib := &mock.Interface{InitFunc: func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }}
	said, err := ask(t, lib, "")
	if err == nil || len(said) != 1 || said[0].Error == "" {
		t.Errorf("%+v, %v", said, err)
	}
}

func TestNonsense(t *testing.T) {
	if said, err := ask(t, dgxa100.New(), "nonsense\n"); err == nil {
		t.Errorf("%+v", said)
	}
}
