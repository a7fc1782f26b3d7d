package debian

import (
	"fmt"
	"strings"
)

// configureScript is the second stage: it runs the packages' maintainer
// scripts, and makes the result what users expect of a slim Python image.
func configureScript(l *lock) string {
	var s strings.Builder
	s.WriteString(`set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# No package may start a service in an image.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

# Maintainer scripts use users, groups and awk before the packages that bring
# them are configured.
if [ -x /var/lib/dpkg/info/base-passwd.preinst ]; then
	/var/lib/dpkg/info/base-passwd.preinst install
fi
[ -e /usr/bin/awk ] || ln -s mawk /usr/bin/awk
dpkg --force-unsafe-io --force-depends --configure base-passwd
dpkg --force-unsafe-io --force-depends --configure base-files
dpkg --force-unsafe-io --configure -a

problems="$(dpkg --audit)"
if [ -n "$problems" ]; then
	echo "$problems" >&2
	exit 1
fi

# An image is not a system whose Python needs protection from pip (PEP 668).
for file in /usr/lib/python3*/EXTERNALLY-MANAGED; do
	[ ! -e "$file" ] || dpkg-divert --quiet --local --rename --divert "$file.dist" --add "$file"
done
mkdir -p /usr/local/bin
[ -e /usr/local/bin/python ] || ln -s /usr/bin/python3 /usr/local/bin/python

`)
	s.WriteString(aptSetup(l))
	s.WriteString(`
rm -f /usr/sbin/policy-rc.d
rm -f /var/lib/dpkg/*-old /var/lib/dpkg/available /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache
rm -rf /var/cache/apt/archives/*.deb /tmp/* /var/tmp/*
find /var/lib/apt/lists -type f -delete
find /var/log -type f -exec truncate -s 0 {} +
[ ! -e /etc/machine-id ] || : > /etc/machine-id
`)
	return s.String()
}

// aptSetup makes the image's apt use the archive that the base came from.
func aptSetup(l *lock) string {
	var list, keys strings.Builder
	for i, src := range l.Sources {
		var options []string
		switch {
		case src.Trusted:
			options = append(options, "trusted=yes")
		case src.Key != "":
			path := fmt.Sprintf("/etc/apt/keyrings/gx-archive-%d.asc", i)
			fmt.Fprintf(&keys, "mkdir -p /etc/apt/keyrings\ncat > %s <<'END-OF-KEYRING'\n%s\nEND-OF-KEYRING\n", path, strings.TrimSpace(src.Key))
			options = append(options, "signed-by="+path)
		default:
			options = append(options, "signed-by=$keyring")
		}
		if !src.ValidUntil {
			options = append(options, "check-valid-until=no")
		}
		fmt.Fprintf(&list, "deb [%s] %s %s %s\n", strings.Join(options, " "), shellSafe(src.URI), src.Suite, strings.Join(src.Components, " "))
	}
	return fmt.Sprintf(`keyring=%[1]s/%[2]s-archive-keyring.gpg
[ -e "$keyring" ] || keyring=%[1]s/%[2]s-archive-keyring.pgp
%[3]smkdir -p /etc/apt
cat > /etc/apt/sources.list <<END-OF-SOURCES
%[4]sEND-OF-SOURCES
`, keyringFolder, l.Distribution, keys.String(), list.String())
}

// shellSafe escapes an address for a here-document in which variables are
// replaced.
func shellSafe(s string) string {
	return strings.NewReplacer(`\`, `\\`, `$`, `\$`, "`", "\\`").Replace(s)
}
