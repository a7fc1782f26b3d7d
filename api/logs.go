package api

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Limits of a LogQuery.
const (
	MaxTail      = 1_000_000_000
	maxLogTerms  = 64   // of one kind
	maxLogTerm   = 4096 // bytes
	logTimeStyle = time.RFC3339Nano
)

// LogQuery says which lines of a log are wanted. Every field is optional; where
// several are given, a line has to fit all of them, and of a list one.
type LogQuery struct {
	Follow     bool      // go on with what comes, until the app ends or Until
	Tail       int       // only so many of the last lines that fit; 0 = all
	After      uint64    // only those with a higher sequence number
	Since      time.Time // only those that are not older
	Until      time.Time // only those that are not newer
	Functions  []string  // names
	Containers []string  // ids
	Calls      []string  // ids
	Streams    []string  // "stdout", "stderr", "system"
	Search     string    // a part of the text
	Where      []string  // conditions on fields of structured lines: "latency_ms>100"
}

// Values is the query of a request.
func (q LogQuery) Values() url.Values {
	v := url.Values{}
	set := func(name, value string, is bool) {
		if is {
			v.Set(name, value)
		}
	}
	set("follow", "1", q.Follow)
	set("tail", strconv.Itoa(q.Tail), q.Tail != 0)
	set("after", strconv.FormatUint(q.After, 10), q.After != 0)
	set("since", q.Since.UTC().Format(logTimeStyle), !q.Since.IsZero())
	set("until", q.Until.UTC().Format(logTimeStyle), !q.Until.IsZero())
	set("search", q.Search, q.Search != "")
	for name, list := range q.lists() {
		if len(*list) > 0 {
			v[name] = *list
		}
	}
	return v
}

func (q *LogQuery) lists() map[string]*[]string {
	return map[string]*[]string{
		"function": &q.Functions, "container": &q.Containers, "call": &q.Calls, "stream": &q.Streams, "where": &q.Where,
	}
}

// ParseLogQuery reads the query of a request. Its errors are for the one who
// asks.
func ParseLogQuery(v url.Values) (q LogQuery, err error) {
	invalid := func(name, want string) error {
		return &Error{Code: "invalid", Message: fmt.Sprintf("%s=%q is not %s", name, v.Get(name), want)}
	}
	q.Follow = v.Get("follow") == "1"
	if text := v.Get("tail"); text != "" {
		if q.Tail, err = strconv.Atoi(text); err != nil || q.Tail < 0 || q.Tail > MaxTail {
			return q, invalid("tail", fmt.Sprintf("a number from 0 to %d", MaxTail))
		}
	}
	if text := v.Get("after"); text != "" {
		if q.After, err = strconv.ParseUint(text, 10, 63); err != nil {
			return q, invalid("after", "a sequence number")
		}
	}
	for name, at := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if text := v.Get(name); text != "" {
			if *at, err = time.Parse(logTimeStyle, text); err != nil || at.Year() < 1970 || at.Year() > 2200 {
				return q, invalid(name, "a time as 2026-01-02T15:04:05Z, from 1970 to 2200")
			}
		}
	}
	q.Search = v.Get("search")
	if len(q.Search) > maxLogTerm {
		return q, &Error{Code: "invalid", Message: fmt.Sprintf("search has %d bytes; %d are allowed", len(q.Search), maxLogTerm)}
	}
	for name, list := range q.lists() {
		*list = v[name]
		if len(*list) > maxLogTerms {
			return q, &Error{Code: "invalid", Message: fmt.Sprintf("%s is given %d times; %d are allowed", name, len(*list), maxLogTerms)}
		}
		for _, term := range *list {
			if term == "" || len(term) > maxLogTerm {
				return q, &Error{Code: "invalid", Message: fmt.Sprintf("a %s has 1 to %d bytes, this has %d", name, maxLogTerm, len(term))}
			}
		}
	}
	return q, nil
}

// LogMessage is what a host sends of a log. One field is set.
type LogMessage struct {
	// Log comes first, and tells whose log it is.
	Log   *LogInfo  `json:"log,omitempty"`
	Lines []LogLine `json:"lines,omitempty"`
	// End comes last: all that was asked for has been sent. A stream that ends
	// without it can be asked for again, with After.
	End   bool   `json:"end,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// LogInfo is whose log it is.
type LogInfo struct {
	App         string    `json:"app"` // id
	Name        string    `json:"name"`
	Environment string    `json:"environment"`
	Created     time.Time `json:"created"`
	Live        bool      `json:"live"` // lines may still come
}
