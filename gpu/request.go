package gpu

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Request is one thing that a function may be given: so many cards of a model.
type Request struct {
	Card  string // Card.Name
	Count int    // at least 1
	// Exact forbids a better card in its place ("H100!").
	Exact bool
	// OrBetter also accepts the models that follow it in its line ("B200+").
	OrBetter bool
}

// String spells the request as users do: "A100-80GB:2".
func (r Request) String() string {
	s := r.Card
	switch {
	case r.Exact:
		s += "!"
	case r.OrBetter:
		s += "+"
	}
	if r.Count > 1 {
		s += ":" + strconv.Itoa(r.Count)
	}
	return s
}

// ErrRequest is in the chain of every error of Parse and ParseAll.
var ErrRequest = errors.New("not a GPU request")

// maxRequest is how long a request may be that is worth reading.
const maxRequest = 64

// Parse reads a request: a card of the catalogue in any case, or "any"; "!" or
// "+" behind it; ":n" for several. "any" is several requests, so Parse returns
// a list, the first of which is preferred.
func Parse(s string) ([]Request, error) {
	if len(s) > maxRequest {
		return nil, fmt.Errorf("%w: it is %d characters long", ErrRequest, len(s))
	}
	name, number, counted := strings.Cut(strings.TrimSpace(s), ":")
	name = strings.TrimSpace(name)
	count := 1
	if counted {
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%w: %q: the number of cards behind the colon must be 1 or more", ErrRequest, s)
		}
		count = n
	}
	r := Request{Count: count}
	switch {
	case strings.HasSuffix(name, "!"):
		r.Exact, name = true, strings.TrimSuffix(name, "!")
	case strings.HasSuffix(name, "+"):
		r.OrBetter, name = true, strings.TrimSuffix(name, "+")
	}
	if strings.EqualFold(name, "any") && !r.Exact && !r.OrBetter {
		return anyCard(s, count)
	}
	card, ok := Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%w: %q: there is no card of that name; there are %s, and \"any\"", ErrRequest, s, strings.Join(names(), ", "))
	}
	if count > card.MaxCount {
		return nil, fmt.Errorf("%w: %q: one container may have at most %d of %s", ErrRequest, s, card.MaxCount, card.Name)
	}
	r.Card = card.Name
	return []Request{r}, nil
}

// anyCard is what "any" stands for: the three cheapest cards.
func anyCard(s string, count int) ([]Request, error) {
	var list []Request
	for _, card := range catalogue[:3] {
		if count <= card.MaxCount {
			list = append(list, Request{Card: card.Name, Count: count})
		}
	}
	if list == nil {
		return nil, fmt.Errorf("%w: %q: one container may have at most %d cards", ErrRequest, s, catalogue[0].MaxCount)
	}
	return list, nil
}

// ParseAll reads a list of requests in order of preference. An empty list, and
// an empty string in it, ask for nothing.
func ParseAll(requests []string) ([]Request, error) {
	const most = 16
	if len(requests) > most {
		return nil, fmt.Errorf("%w: %d alternatives, at most %d are allowed", ErrRequest, len(requests), most)
	}
	var list []Request
	for _, s := range requests {
		if strings.TrimSpace(s) == "" {
			continue
		}
		parsed, err := Parse(s)
		if err != nil {
			return nil, err
		}
		list = append(list, parsed...)
	}
	return list, nil
}

func names() []string {
	list := make([]string, len(catalogue))
	for i, c := range catalogue {
		list[i] = c.Name
	}
	return list
}
