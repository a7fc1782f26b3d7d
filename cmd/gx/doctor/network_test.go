package doctor

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettingsHidePasswords(t *testing.T) {
	require.Equal(t, []string{"https_proxy=http://user:xxxxx@proxy:3128"},
		settings([]string{"https_proxy=http://user:secret@proxy:3128", "HTTPS_PROXY=http://user:secret@proxy:3128", "no_proxy=localhost", "X=1"}, "_proxy"))
}
