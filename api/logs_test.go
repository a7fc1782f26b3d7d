package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLogQuery(t *testing.T) {
	for _, q := range []LogQuery{
		{},
		{Follow: true, Tail: 7, After: 9},
		{Since: time.Unix(1e9, 5).UTC(), Until: time.Unix(2e9, 0).UTC(), Search: "a b&c=d"},
		{Functions: []string{"f", "g"}, Containers: []string{"co-1"}, Calls: []string{"fc-1"}, Streams: []string{"stderr"}, Where: []string{"a=b", `"x y">1`}},
	} {
		values, err := url.ParseQuery(q.Values().Encode())
		require.NoError(t, err)
		got, err := ParseLogQuery(values)
		require.NoError(t, err)
		require.Equal(t, q, got)
	}
	for query, want := range map[string]string{
		"tail=-1": "tail=\"-1\" is not", "tail=x": "is not a number", "tail=99999999999": "is not a number", "after=-1": "sequence number", "since=now": "is not a time",
		"until=9999-01-01T00:00:00Z": "is not a time", "function=": "1 to 4096 bytes", "search=" + strings.Repeat("x", 5000): "allowed",
		strings.Repeat("where=a&", 65): "65 times",
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		_, err = ParseLogQuery(values)
		require.ErrorContains(t, err, want, query)
	}
}
