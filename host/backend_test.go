package host

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine"
)

// TestErrorsSayItOnce has the engine's errors lose what their code says.
func TestErrorsSayItOnce(t *testing.T) {
	for _, test := range []struct {
		err  error
		want api.Error
	}{
		{fmt.Errorf("no app %q is deployed: %w", "x", engine.ErrNotFound), api.Error{Code: "not_found", Message: `no app "x" is deployed`}},
		{fmt.Errorf("%w: there is no environment", engine.ErrNotFound), api.Error{Code: "not_found", Message: "there is no environment"}},
		{fmt.Errorf("%w: a tag is too long", engine.ErrInvalid), api.Error{Code: "invalid", Message: "a tag is too long"}},
		{engine.ErrNotFound, api.Error{Code: "not_found", Message: "not found"}},
	} {
		require.Equal(t, &test.want, known(test.err))
	}
}
