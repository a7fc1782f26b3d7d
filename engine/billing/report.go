package billing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/gpu"
)

// maxRows is how many rows a report has at most.
const maxRows = 100_000

// Report sums up what was used from Start to End, which are taken to full
// hours: Start to the beginning of its own, End to the end of its own.
type Report struct {
	Start, End time.Time // zero = the first there is; now
	// Step is what one row is about in time: "h" an hour, "d" a day (UTC), "" =
	// all of it.
	Step string
	// Environment is the name of the only one that counts; "" = all.
	Environment string
	// By is what else a row is about: any of "app", "function", "gpu".
	By []string
}

// columns are the parts of a row, by the names in Report.By.
var columns = map[string][]string{
	"app":      {"environment", "app", "app_name"},
	"function": {"environment", "app", "app_name", "function"},
	"gpu":      {"gpu", "gpus"},
}

// Sum reads a report, the latest first, then the dearest. What runs is in it as
// of now.
func (b *Book) Sum(ctx context.Context, r Report) ([]api.BilledUsage, error) {
	query, args, err := b.query(r)
	if err != nil {
		return nil, err
	}
	if err := b.PostRunning(ctx); err != nil {
		return nil, err
	}
	rows, err := b.cfg.DB.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("adding up what was used: %w", err)
	}
	defer rows.Close()
	list := []api.BilledUsage{}
	for rows.Next() {
		var u api.BilledUsage
		var at int64
		if err := rows.Scan(&at, &u.Environment, &u.App, &u.AppName, &u.Function, &u.GPU, &u.GPUs, &u.Emulated, &u.Containers, &u.Inputs, &u.Failed, &u.Seconds, &u.Cost); err != nil {
			return nil, fmt.Errorf("adding up what was used: %w", err)
		}
		u.Start = time.Unix(at, 0).UTC()
		list = append(list, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("adding up what was used: %w", err)
	}
	if len(list) == maxRows {
		return nil, ask.Refused("the report has more than %d rows: ask for less time, or for days in place of hours", maxRows)
	}
	return list, nil
}

// query is the SQL of a report.
func (b *Book) query(r Report) (string, []any, error) {
	var at string
	switch r.Step {
	case "":
		at = "min(hour)"
	case "h":
		at = "hour"
	case "d":
		at = "hour / 86400 * 86400"
	default:
		return "", nil, ask.Refused("a report has a row for each hour (h) or day (d), not for each %.20q", r.Step)
	}
	asked := map[string]bool{}
	for _, by := range r.By {
		if columns[by] == nil {
			return "", nil, ask.Refused("a report can be by app, function and gpu, not by %.20q", by)
		}
		for _, c := range columns[by] {
			asked[c] = true
		}
	}
	chosen := func(column, none string) string {
		if asked[column] {
			return column
		}
		return none
	}
	parts := []string{
		at + " AS at", chosen("environment", "''"), chosen("app", "''"), chosen("app_name", "''"), chosen("function", "''"),
		chosen("gpu", "''"), chosen("gpus", "0"), "max(emulated)",
		"sum(containers)", "sum(inputs)", "sum(failed)", "sum(seconds)", "sum(cost) AS total",
	}
	group := []string{}
	if r.Step != "" {
		group = append(group, "at")
	}
	for _, c := range []string{"environment", "app", "app_name", "function", "gpu", "gpus"} {
		if asked[c] {
			group = append(group, c)
		}
	}
	end := r.End
	if end.IsZero() {
		end = b.cfg.Clock.Now()
	}
	if !r.Start.IsZero() && !r.Start.Before(end) {
		return "", nil, ask.Refused("the report would end (%s) before it begins (%s)", end.UTC().Format(time.RFC3339), r.Start.UTC().Format(time.RFC3339))
	}
	where, args := "hour >= ? AND hour < ?", []any{r.Start.Truncate(time.Hour).Unix(), end.Add(time.Hour - 1).Truncate(time.Hour).Unix()}
	if r.Start.IsZero() {
		args[0] = int64(0)
	}
	if r.Environment != "" {
		where, args = where+" AND environment = ?", append(args, r.Environment)
	}
	query := "SELECT " + strings.Join(parts, ", ") + " FROM billing WHERE " + where
	if len(group) > 0 {
		query += " GROUP BY " + strings.Join(group, ", ")
	}
	return query + fmt.Sprintf(" HAVING count(*) > 0 ORDER BY at DESC, total DESC, app_name, function LIMIT %d", maxRows), args, nil
}

// Operations implements ask.Service.
//
//	billing.report  start, end (seconds since 1970, 0 = open), step, environment, by   {"rows": [api.BilledUsage]}
//	billing.rates   {}                                                                 api.Rates
func (b *Book) Operations() map[string]ask.Handler {
	return map[string]ask.Handler{
		"billing.report": func(ctx context.Context, q ask.Query) (ask.Answer, error) {
			var p struct {
				Start       float64  `json:"start"`
				End         float64  `json:"end"`
				Step        string   `json:"step"`
				Environment string   `json:"environment"`
				By          []string `json:"by"`
			}
			if err := q.Decode(&p); err != nil {
				return ask.Answer{}, err
			}
			start, err := moment(p.Start)
			if err != nil {
				return ask.Answer{}, err
			}
			end, err := moment(p.End)
			if err != nil {
				return ask.Answer{}, err
			}
			rows, err := b.Sum(ctx, Report{Start: start, End: end, Step: p.Step, Environment: p.Environment, By: p.By})
			return ask.Answer{Result: map[string]any{"rows": rows}}, err
		},
		"billing.rates": func(context.Context, ask.Query) (ask.Answer, error) {
			return ask.Answer{Result: Rates()}, nil
		},
	}
}

// moment is a time given in seconds since 1970; 0 = none.
func moment(seconds float64) (time.Time, error) {
	const latest = 1 << 36 // in the fifth millennium
	switch {
	case seconds == 0:
		return time.Time{}, nil
	case seconds > 0 && seconds < latest:
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	return time.Time{}, ask.Refused("%g seconds since 1970 is no time of a report", seconds)
}

// Rates are the prices that costs are counted by.
func Rates() api.Rates {
	rates := api.Rates{Source: gpu.PriceSource, Date: gpu.PriceDate, Core: gpu.CorePrice, Memory: gpu.MemoryPrice}
	for _, c := range gpu.Cards() {
		rates.Cards = append(rates.Cards, api.CardRate{Card: c.Name, Memory: c.Memory, Price: c.Price})
	}
	return rates
}
