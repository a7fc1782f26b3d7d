package emulator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	cdi "tags.cncf.io/container-device-interface/specs-go"

	"github.com/gx-dev/gx/emulator/driver"
	"github.com/gx-dev/gx/emulator/page"
	"github.com/gx-dev/gx/emulator/torch"
	"github.com/gx-dev/gx/gpu"
)

// Kind is the emulator's kind of CDI device: a container's cards are the device
// of this kind that has the container's id for a name.
const Kind = "gx.local/gpu"

// root is where a container finds what is shown to it; see package page.
const root = "/__gx/gpu"

// Where containers with real cards have the driver's program and library, so that
// they are found without any variable: whatever the distribution, the dynamic
// linker looks into one of these folders by itself.
const driverSMI = "/usr/bin/nvidia-smi"

var driverLibraries = []string{"/usr/lib/libnvidia-ml.so.1", "/usr/lib64/libnvidia-ml.so.1"}

// What is shown to a container, by its name below root.
const (
	nameLibrary   = "lib/libnvidia-ml.so.1"
	nameSMI       = "bin/nvidia-smi"
	namePython    = "python"
	nameCatalogue = "catalogue.json"
	namePage      = "page"   // an empty file, over which the page is mounted
	nameDevice    = "device" // an empty file, which stands for device nodes
)

// writeFiles writes what containers are shown into a folder, and says which
// names there are.
func writeFiles(dir string, prices gpu.Prices) (_ string, names map[string]bool, err error) {
	if prices.Source == "" {
		prices = gpu.ListPrices()
	}
	catalogue, err := prices.JSON()
	if err != nil {
		return "", nil, fmt.Errorf("writing the catalogue: %w", err)
	}
	files := map[string][]byte{nameCatalogue: catalogue, namePage: nil, nameDevice: nil}
	if d, ok := driver.For(runtime.GOARCH); ok {
		files[nameLibrary], files[nameSMI] = d.Library, d.SMI
	}
	for name, data := range torch.Files() {
		files[namePython+"/"+name] = data
	}
	if err := dropBytecode(dir, files); err != nil {
		return "", nil, err
	}
	names = map[string]bool{namePython: true}
	for name, data := range files {
		if err := replace(filepath.Join(dir, name), data); err != nil {
			return "", nil, err
		}
		names[name] = true
	}
	return dir, names, nil
}

// dropBytecode removes what package bytecode has put beside the Python source if
// any of it is about to change: Python does not look whether it did.
func dropBytecode(dir string, files map[string][]byte) error {
	same := true
	for name, data := range files {
		if strings.HasPrefix(name, namePython+"/") {
			old, err := os.ReadFile(filepath.Join(dir, name))
			same = same && err == nil && string(old) == string(data)
		}
	}
	if same {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(dir, namePython)); err != nil {
		return fmt.Errorf("removing an earlier gx_cuda: %w", err)
	}
	return nil
}

// replace writes a file that everybody may read and execute, if it is not there
// already: containers that go on have the one that is.
func replace(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading what containers are shown of GPUs: %w", err)
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o755)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("writing what containers are shown of GPUs: %w", err)
	}
	return nil
}

// Source is where the Python source is that containers are shown, and where they
// find it, so that it can be compiled for them.
func (e *Emulator) Source() (dir, target string) {
	return filepath.Join(e.files, namePython), root + "/" + namePython
}

// Edits implements gpu.Lease.
func (l *lease) Edits(env []string) (*cdi.ContainerEdits, error) {
	e := l.emulator
	edits := &cdi.ContainerEdits{}
	show := func(source, target string, options ...string) {
		edits.Mounts = append(edits.Mounts, &cdi.Mount{
			HostPath: source, ContainerPath: target, Type: "bind", Options: append([]string{"bind", "rprivate", "nosuid", "nodev"}, options...),
		})
	}
	show(e.files, root, "ro")
	show(l.path, page.Path)
	if e.fixed[nameLibrary] {
		show(filepath.Join(e.files, nameSMI), driverSMI, "ro")
		for _, target := range driverLibraries {
			show(filepath.Join(e.files, nameLibrary), target, "ro")
		}
	}
	nodes := []string{"nvidiactl", "nvidia-uvm"}
	indices := make([]string, len(l.cards))
	for i := range l.cards {
		indices[i] = strconv.Itoa(i)
		nodes = append(nodes, "nvidia"+indices[i])
	}
	for _, name := range nodes {
		show(filepath.Join(e.files, nameDevice), "/dev/"+name, "ro")
	}

	set := func(name, value string) { edits.Env = append(edits.Env, name+"="+value) }
	first := func(name, folder string) {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok && value != "" {
				folder += ":" + value
			}
		}
		set(name, folder)
	}
	set(page.Variable, page.Path)
	set("CUDA_VISIBLE_DEVICES", strings.Join(indices, ","))
	set("NVIDIA_VISIBLE_DEVICES", l.uuids())
	set("NUMBA_ENABLE_CUDASIM", "1") // numba's own emulator of kernels
	if e.fixed[nameLibrary] {
		first("LD_LIBRARY_PATH", root+"/lib")
		first("PATH", root+"/bin")
	}
	first("PYTHONPATH", root+"/"+namePython)
	return edits, nil
}

// Spec is the lease's device as a CDI specification of the emulator's kind.
func (l *lease) Spec(env []string) (*cdi.Spec, error) {
	edits, err := l.Edits(env)
	if err != nil {
		return nil, err
	}
	return &cdi.Spec{Version: "0.6.0", Kind: Kind, Devices: []cdi.Device{{Name: l.container, ContainerEdits: *edits}}}, nil
}
