package api

import "time"

// Top is what a host is doing at one moment.
type Top struct {
	Time       time.Time   `json:"time"`
	Started    time.Time   `json:"started"` // the host
	Version    string      `json:"version"`
	Runtime    string      `json:"runtime"`
	Total      TopShare    `json:"total"` // what all containers together can be set aside
	Used       TopShare    `json:"used"`  // what they are
	Apps       []TopApp    `json:"apps"`
	Containers []Container `json:"containers"`
}

// TopShare is a part of a host.
type TopShare struct {
	CPU        float64 `json:"cpu"`    // cores
	Memory     int64   `json:"memory"` // bytes
	Containers int     `json:"containers"`
}

// TopApp is an app that runs.
type TopApp struct {
	App
	Cost  float64       `json:"cost"` // US dollars until now, by its containers that are there, or were
	Pools []TopFunction `json:"pools"`
}

// TopFunction is what a function has to do, all its variants together.
type TopFunction struct {
	Name       string  `json:"name"`
	Containers int     `json:"containers"`
	Waiting    int     `json:"waiting"` // inputs that no container has begun
	Running    int     `json:"running"` // inputs that containers are at
	Inputs     int64   `json:"inputs"`  // that were done, ever
	Failed     int64   `json:"failed"`  // of those
	Cost       float64 `json:"cost"`
}
