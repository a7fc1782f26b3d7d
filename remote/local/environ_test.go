package local

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAHostKeepsNoSecretsOfWhoStartedIt(t *testing.T) {
	for pair, want := range map[string]bool{
		"HOME=/home/a": true, "PATH=/bin": true, "LC_ALL=C": true, "GX_DISK_BUDGET=5GiB": true,
		"PIP_FIND_LINKS=/opt/wheels": true, "SSL_CERT_FILE=/ca": true, "https_proxy=http://p:1": true,
		"AWS_SECRET_ACCESS_KEY=x": false, "HF_TOKEN=x": false, "GX_TOKEN=x": false, "PYTHONPATH=/x": false,
		"VIRTUAL_ENV=/v": false, "TMPDIR=/tmp/x": false, "HOMER=x": false, "": false, "=x": false,
	} {
		require.Equal(t, want, len(environ([]string{pair})) == 1, pair)
	}
}
