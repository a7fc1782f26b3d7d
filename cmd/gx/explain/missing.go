package explain

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gx-dev/gx/sdk"
)

// missing says what to install when code in a container lacks something.
func missing(e sdk.Exception) string {
	text := e.Message
	if !strings.Contains(e.Traceback, containerSource) {
		return ""
	}
	if m := regexp.MustCompile(`No module named '?([A-Za-z0-9_.]+)'?`).FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("add it to the function's image: .pip_install(%q)\n"+
			"or, if it is a module of your own: .add_local_python_source(%q)",
			PipPackage(m[1]), strings.SplitN(m[1], ".", 2)[0])
	}
	if m := regexp.MustCompile(`(lib[A-Za-z0-9_+.-]+\.so[.0-9]*): cannot open shared object file`).FindStringSubmatch(text); m != nil {
		if pkg := aptPackage(m[1]); pkg != "" {
			return fmt.Sprintf("add it to the function's image: .apt_install(%q)", pkg)
		}
		return fmt.Sprintf("add the Debian package that has %s to the function's image: .apt_install(...)", m[1])
	}
	return ""
}

// containerSource is in every traceback of code that ran in a container: the
// folder where the user's source is.
const containerSource = `File "/root/`

// PipPackage is the name under which a module is installed. Most are called as
// they are imported; the others are listed.
func PipPackage(module string) string {
	for m := module; m != ""; {
		if pkg, ok := pipNames()[m]; ok {
			return pkg
		}
		i := strings.LastIndexByte(m, '.')
		if i < 0 {
			return strings.ReplaceAll(m, "_", "-")
		}
		m = m[:i]
	}
	return module
}

func pipNames() map[string]string {
	return map[string]string{
		"attr":            "attrs",
		"bs4":             "beautifulsoup4",
		"Crypto":          "pycryptodome",
		"cv2":             "opencv-python-headless",
		"dateutil":        "python-dateutil",
		"docx":            "python-docx",
		"dotenv":          "python-dotenv",
		"faiss":           "faiss-cpu",
		"fitz":            "pymupdf",
		"git":             "GitPython",
		"google.cloud":    "google-cloud-storage",
		"google.protobuf": "protobuf",
		"grpc":            "grpcio",
		"jwt":             "PyJWT",
		"llama_cpp":       "llama-cpp-python",
		"magic":           "python-magic",
		"MySQLdb":         "mysqlclient",
		"OpenSSL":         "pyOpenSSL",
		"PIL":             "pillow",
		"pptx":            "python-pptx",
		"psycopg2":        "psycopg2-binary",
		"serial":          "pyserial",
		"skimage":         "scikit-image",
		"sklearn":         "scikit-learn",
		"socks":           "PySocks",
		"usb":             "pyusb",
		"whisper":         "openai-whisper",
		"win32api":        "pywin32",
		"yaml":            "pyyaml",
		"zmq":             "pyzmq",
	}
}

func aptPackage(library string) string {
	return map[string]string{
		"libGL.so.1":          "libgl1",
		"libglib-2.0.so.0":    "libglib2.0-0",
		"libgthread-2.0.so.0": "libglib2.0-0",
		"libgomp.so.1":        "libgomp1",
		"libsndfile.so.1":     "libsndfile1",
		"libmagic.so.1":       "libmagic1",
		"libpq.so.5":          "libpq5",
		"libxml2.so.2":        "libxml2",
		"libSM.so.6":          "libsm6",
		"libXext.so.6":        "libxext6",
		"libXrender.so.1":     "libxrender1",
		"libzbar.so.0":        "libzbar0",
	}[library]
}
