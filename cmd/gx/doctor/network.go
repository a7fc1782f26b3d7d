package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/gx-dev/gx/build/debian"
	"github.com/gx-dev/gx/build/hostenv"
)

// Network tells which of the machine's network settings reach builds and
// containers: certificate authorities, proxies, package indexes.
func Network(env func(string) string) Check {
	return one("network", func(context.Context) Result {
		dir, err := os.MkdirTemp("", "gx-doctor-")
		if err != nil {
			return Result{Level: Fail, Found: err.Error()}
		}
		defer os.RemoveAll(dir)
		found, err := hostenv.Discover(env, dir)
		if err != nil {
			return Result{Level: Fail, Found: err.Error()}
		}
		var authority string
		for _, m := range found.Mounts() {
			if strings.HasSuffix(m.Target, "/ca.crt") {
				authority = m.Source
			}
		}
		if authority == "" {
			return Result{Level: Warn, Found: "no certificate authorities were found: HTTPS will fail in builds", Mend: "apt-get install ca-certificates"}
		}
		text := "builds and containers trust " + authority
		if proxies := settings(found.Vars(), "_proxy"); len(proxies) > 0 {
			text += "; use " + strings.Join(proxies, ", ")
		}
		return Result{Level: OK, Found: text}
	})
}

// settings lists the variables whose name has a suffix, without passwords and
// without saying a thing twice in two spellings.
func settings(vars []string, suffix string) []string {
	var out []string
	for _, kv := range vars {
		key, value, _ := strings.Cut(kv, "=")
		if !strings.HasSuffix(strings.ToLower(key), suffix) || strings.ToLower(key) == "no_proxy" {
			continue
		}
		if u, err := url.Parse(value); err == nil && u.Host != "" {
			value = u.Redacted()
		}
		if text := strings.ToLower(key) + "=" + value; !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// Base checks where base images come from without a registry: for which
// versions of Python the Debian archive of the machine's apt answers.
func Base() Check {
	return one("base", func(ctx context.Context) Result {
		dir, err := os.MkdirTemp("", "gx-doctor-")
		if err != nil {
			return Result{Level: Fail, Found: err.Error()}
		}
		defer os.RemoveAll(dir)
		versions, err := debian.Available(ctx, debian.Options{Dir: dir})
		if err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err = fmt.Errorf("the Debian archive did not answer within %v", patience)
			}
			return Result{Level: Warn, Found: fmt.Sprintf("base images can only come from a registry: %v", err),
				Mend: "check the network and /etc/apt/sources.list"}
		}
		var names []string
		for _, v := range versions {
			names = append(names, fmt.Sprintf("%s (%s)", v.Python, v.Suite))
		}
		return Result{Level: OK, Found: "base images can be made from the package archive for Python " + strings.Join(names, ", ")}
	})
}
