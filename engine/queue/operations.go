package queue

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/gx-dev/gx/engine/ask"
)

// Operations implements ask.Service. Beside those of package named, with the
// queue's id and the partition's name ("" = that of those who name none) as
// parameters; timeouts are in seconds, null = no end, 0 = not at all; items are
// parts of the data, see ask.Split:
//
//	queue.put         lengths, partition_ttl (seconds), timeout   {}
//	queue.get         n, timeout                                  {lengths} and the items
//	queue.peek        n, timeout, after: number                   {lengths, last: number} and the items
//	queue.len         total                                       {len}
//	queue.clear       all                                         {}
//	queue.partitions  n                                           {partitions: [{name, items, expires_at}]}
func (s *Service) Operations() map[string]ask.Handler {
	operations := map[string]ask.Handler{
		"queue.put": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			items, err := ask.Split(data, p.Lengths)
			if err != nil {
				return ask.Answer{}, err
			}
			ttl := DefaultTTL
			if p.TTL != nil {
				ttl = time.Duration(*p.TTL)
			}
			return ask.Answer{}, s.Put(ctx, p.place(), items, ttl, p.timeout())
		}),
		"queue.get": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			items, err := s.Get(ctx, p.place(), p.N, p.timeout())
			data, lengths := ask.Join(items)
			return ask.Answer{Result: map[string]any{"lengths": lengths}, Data: data}, err
		}),
		"queue.peek": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			items, err := s.Peek(ctx, p.place(), p.After, p.N, p.timeout())
			data, lengths := ask.Join(items.Values)
			return ask.Answer{Result: map[string]any{"lengths": lengths, "last": items.Last}, Data: data}, err
		}),
		"queue.len": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			n, err := s.Len(ctx, p.place(), p.Total)
			return ask.Answer{Result: map[string]int{"len": n}}, err
		}),
		"queue.clear": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			return ask.Answer{}, s.Clear(ctx, p.place(), p.All)
		}),
		"queue.partitions": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			list, err := s.Partitions(ctx, p.ID, min(max(p.N, 1), maxPartitionList))
			return ask.Answer{Result: map[string]any{"partitions": list}}, err
		}),
	}
	maps.Copy(operations, s.Directory.Operations())
	return operations
}

// maxPartitionList is how many partitions one answer lists.
const maxPartitionList = 10_000

type params struct {
	ID        string   `json:"id"`
	Partition string   `json:"partition"`
	Lengths   []int    `json:"lengths"`
	N         int      `json:"n"`
	Timeout   *seconds `json:"timeout"`
	TTL       *seconds `json:"partition_ttl"`
	After     int64    `json:"after"`
	Total     bool     `json:"total"`
	All       bool     `json:"all"`
}

func (p params) place() Partition { return Partition{Queue: p.ID, Name: p.Partition} }

func (p params) timeout() *time.Duration { return (*time.Duration)(p.Timeout) }

// seconds is a time that JSON has as a number of seconds.
type seconds time.Duration

// longest is more than anybody waits.
const longest = 365 * 24 * time.Hour

// UnmarshalJSON implements json.Unmarshaler.
func (s *seconds) UnmarshalJSON(text []byte) error {
	var n float64
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*s = seconds(time.Duration(max(0, min(n, longest.Seconds())) * float64(time.Second)))
	return nil
}

func with(do func(context.Context, params, []byte) (ask.Answer, error)) ask.Handler {
	return func(ctx context.Context, q ask.Query) (ask.Answer, error) {
		var p params
		if err := q.Decode(&p); err != nil {
			return ask.Answer{}, err
		}
		return do(ctx, p, q.Data)
	}
}
