package dict

import (
	"context"
	"maps"

	"github.com/gx-dev/gx/engine/ask"
)

// Operations implements ask.Service. Beside those of package named, with the
// dict's id as a parameter (keys and values are parts of the data, see
// ask.Split; keys alone are the data):
//
//	dict.put       lengths: of key, value, key, ...; skip_if_exists   {set: how many}
//	dict.get       data: a key                                        {found} and the value
//	dict.contains  data: a key                                        {found}
//	dict.pop       data: a key                                        {found} and the value
//	dict.len                                                          {len}
//	dict.clear                                                        {}
//	dict.items     after: whether data is the last key of the page before; values: whether they are wanted
//	               {lengths: of key, value, key, ...; more} and the entries
func (s *Service) Operations() map[string]ask.Handler {
	operations := map[string]ask.Handler{
		"dict.put": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			parts, err := ask.Split(data, p.Lengths)
			if err != nil {
				return ask.Answer{}, err
			}
			if len(parts)%2 != 0 {
				return ask.Answer{}, ask.Refused("dict.put takes keys and values, %d parts came", len(parts))
			}
			entries := make([]Entry, len(parts)/2)
			for i := range entries {
				entries[i] = Entry{parts[2*i], parts[2*i+1]}
			}
			set, err := s.Put(ctx, p.ID, entries, p.Skip)
			return ask.Answer{Result: map[string]int{"set": set}}, err
		}),
		"dict.get": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			value, found, err := s.Value(ctx, p.ID, data, true)
			return ask.Answer{Result: map[string]bool{"found": found}, Data: value}, err
		}),
		"dict.contains": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			_, found, err := s.Value(ctx, p.ID, data, false)
			return ask.Answer{Result: map[string]bool{"found": found}}, err
		}),
		"dict.pop": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			value, found, err := s.Pop(ctx, p.ID, data)
			return ask.Answer{Result: map[string]bool{"found": found}, Data: value}, err
		}),
		"dict.len": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			n, err := s.Len(ctx, p.ID)
			return ask.Answer{Result: map[string]int{"len": n}}, err
		}),
		"dict.clear": with(func(ctx context.Context, p params, _ []byte) (ask.Answer, error) {
			return ask.Answer{}, s.Clear(ctx, p.ID)
		}),
		"dict.items": with(func(ctx context.Context, p params, data []byte) (ask.Answer, error) {
			if !p.After {
				data = nil
			} else if data == nil {
				data = []byte{}
			}
			page, err := s.Page(ctx, p.ID, data, p.Values)
			if err != nil {
				return ask.Answer{}, err
			}
			parts := make([][]byte, 0, 2*len(page.Entries))
			for _, e := range page.Entries {
				parts = append(parts, e.Key, e.Value)
			}
			all, lengths := ask.Join(parts)
			return ask.Answer{Result: map[string]any{"lengths": lengths, "more": page.More}, Data: all}, nil
		}),
	}
	maps.Copy(operations, s.Directory.Operations())
	return operations
}

type params struct {
	ID      string `json:"id"`
	Lengths []int  `json:"lengths"`
	Skip    bool   `json:"skip_if_exists"`
	After   bool   `json:"after"`
	Values  bool   `json:"values"`
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
