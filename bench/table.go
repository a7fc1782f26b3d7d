package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// row is one line of the table: what gx took, what the floor took in the same
// run, and the ratio that was aimed at and the one that is owed.
type row struct {
	What   string  `json:"what"`
	Ours   string  `json:"ours"`             // with its unit
	Peer   string  `json:"peer"`             // what it is held against, with its figure
	Ratio  float64 `json:"ratio"`            // ours to the peer's; 0 where there is no peer
	Spread string  `json:"spread,omitempty"` // the least and the greatest ratio of several rounds
	Aim    string  `json:"aim"`
	Owe    string  `json:"owe"`
	Good   verdict `json:"good"`
}

type verdict string

const (
	aimed  verdict = "aim"
	owed   verdict = "owed"
	missed verdict = "missed"
	none   verdict = ""
)

// below judges a figure that should be small.
func below(figure, aim, owe float64) verdict {
	switch {
	case figure <= aim:
		return aimed
	case figure <= owe:
		return owed
	}
	return missed
}

// above judges a figure that should be large.
func above(figure, aim, owe float64) verdict {
	switch {
	case figure >= aim:
		return aimed
	case figure >= owe:
		return owed
	}
	return missed
}

func printTable(w io.Writer, rows []row) error {
	tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tab, "what\tgx\tagainst\tratio\tspread\taim\towed\t")
	for _, r := range rows {
		ratio := ""
		if r.Ratio != 0 {
			ratio = fmt.Sprintf("%.2fx", r.Ratio)
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.What, r.Ours, r.Peer, ratio, r.Spread, r.Aim, r.Owe, r.Good)
	}
	return tab.Flush()
}

func median(values []float64) float64 { return percentile(values, 0.5) }

// percentile is 0 where there are no values.
func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*share))]
}

func ms(value float64) string { return fmt.Sprintf("%.1f ms", value) }
