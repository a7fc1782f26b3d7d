package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMoment(t *testing.T) {
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                     {},
		"10m":                  now.Add(-10 * time.Minute),
		"1h30m":                now.Add(-90 * time.Minute),
		"3d":                   now.Add(-72 * time.Hour),
		"0.5d":                 now.Add(-12 * time.Hour),
		"15:04":                time.Date(2026, 3, 4, 15, 4, 0, 0, zone),
		"2026-01-02":           time.Date(2026, 1, 2, 0, 0, 0, 0, zone),
		"2026-01-02 15:04":     time.Date(2026, 1, 2, 15, 4, 0, 0, zone),
		"2026-01-02T15:04:05":  time.Date(2026, 1, 2, 15, 4, 5, 0, zone),
		"2026-01-02T15:04:05Z": time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
	} {
		got, err := moment(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), "%s: %v", text, got)
	}
	for _, text := range []string{"-10m", "yesterday", "25:00", "2026-13-01", "d", "1e9d"} {
		_, err := moment(text, now)
		require.Error(t, err, text)
	}
}
