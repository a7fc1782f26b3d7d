package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Choice is cards that a host can give for a request.
type Choice struct {
	Card  string // Card.Name
	Count int
	// Price is the Card.Name by whose price they are paid: that of the request,
	// also where a better card is given for it.
	Price string
}

// String writes it for people.
func (c Choice) String() string {
	if c.Count > 1 {
		return strconv.Itoa(c.Count) + " × " + c.Card
	}
	return c.Card
}

// Choices are the cards that may be given for requests, of what a host has
// (Provider.Stock), the best first. Where there are as many as are asked for,
// it is just what was asked for. No requests have no choices; it is an error if
// there are requests and the host can never meet one.
func Choices(requests []Request, stock map[string]int) ([]Choice, error) {
	var list []Choice
	for _, r := range requests {
		models := []string{r.Card}
		if card, ok := Lookup(r.Card); ok && !r.Exact && stock != nil {
			models = append(models, card.Next...)
		}
		for _, model := range models {
			c := Choice{Card: model, Count: r.Count, Price: r.Card}
			if (stock == nil || stock[model] >= r.Count) && !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	if len(requests) > 0 && len(list) == 0 {
		words := make([]string, len(requests))
		for i, r := range requests {
			words[i] = r.String()
		}
		return nil, fmt.Errorf("%w: this host has none of %s; it has %s", ErrRequest, strings.Join(words, ", "), StockString(stock))
	}
	return list, nil
}

// maxStock is how many cards of a model an inventory may have.
const maxStock = 10_000

// ParseStock reads an inventory: "A100-80GB:8,T4:4"; "none" is one without a
// card, "unlimited" and "" are nil, which has as many as are asked for.
func ParseStock(s string) (map[string]int, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "unlimited":
		return nil, nil
	case "none":
		return map[string]int{}, nil
	}
	stock := map[string]int{}
	for _, part := range strings.Split(s, ",") {
		name, number, counted := strings.Cut(strings.TrimSpace(part), ":")
		card, ok := Lookup(strings.TrimSpace(name))
		if !ok {
			return nil, fmt.Errorf("%q is no card; there are %s", name, strings.Join(names(), ", "))
		}
		n := 1
		if counted {
			var err error
			if n, err = strconv.Atoi(strings.TrimSpace(number)); err != nil || n < 1 {
				return nil, fmt.Errorf("%q: the number of cards behind the colon must be 1 or more", part)
			}
		}
		if stock[card.Name] += n; stock[card.Name] > maxStock || n > maxStock {
			return nil, fmt.Errorf("%q: there can be at most %d cards of a model", part, maxStock)
		}
	}
	return stock, nil
}

// StockString writes an inventory for people, the cheapest card first.
func StockString(stock map[string]int) string {
	switch {
	case stock == nil:
		return "as many as are asked for"
	case len(stock) == 0:
		return "no GPU at all"
	}
	order := func(name string) int {
		return slices.IndexFunc(catalogue, func(c Card) bool { return c.Name == name })
	}
	list := slices.SortedFunc(maps.Keys(stock), func(a, b string) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), strings.Compare(a, b))
	})
	for i, name := range list {
		list[i] = fmt.Sprintf("%d × %s", stock[name], name)
	}
	return strings.Join(list, ", ")
}
