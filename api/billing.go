package api

import "time"

// BilledUsage is a row of a bill: what was used in a span of time by one app,
// function or kind of card, or by all together; fields that the row is not
// about are empty.
type BilledUsage struct {
	Start       time.Time `json:"start"`
	Environment string    `json:"environment,omitempty"` // name
	App         string    `json:"app,omitempty"`         // id
	AppName     string    `json:"app_name,omitempty"`
	Function    string    `json:"function,omitempty"`
	GPU         string    `json:"gpu,omitempty"`
	GPUs        int       `json:"gpus,omitempty"`
	Emulated    bool      `json:"emulated,omitempty"` // some of it on emulated cards
	Containers  int64     `json:"containers"`
	Inputs      int64     `json:"inputs"`
	Failed      int64     `json:"failed"`
	Seconds     float64   `json:"seconds"` // of containers
	Cost        float64   `json:"cost"`    // US dollars
}

// Rates are the prices that costs are counted by, in US dollars per second.
type Rates struct {
	Source string     `json:"source"`
	Date   string     `json:"date"`
	Core   float64    `json:"core"`   // of one CPU core
	Memory float64    `json:"memory"` // of one GiB of memory
	Cards  []CardRate `json:"cards"`  // the cheapest first
}

// CardRate is the price of one card.
type CardRate struct {
	Card   string  `json:"card"`
	Memory int     `json:"memory"` // GB
	Price  float64 `json:"price"`  // US dollars per second; 0 = there is no list price
}
