package clock

import (
	"slices"
	"testing"
	"time"
)

func TestFakeCallsInOrder(t *testing.T) {
	start := time.Unix(1000, 0)
	c := NewFake(start)
	var got []string
	at := func(name string) func() {
		return func() { got = append(got, name+"@"+c.Now().Sub(start).String()) }
	}
	c.AfterFunc(3*time.Second, at("c"))
	c.AfterFunc(time.Second, func() {
		at("a")()
		c.AfterFunc(time.Second, at("b"))
	})
	stopped := c.AfterFunc(2*time.Second, at("never"))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must succeed once")
	}
	moved := c.AfterFunc(time.Second, at("d"))
	moved.Reset(4 * time.Second)
	c.Advance(10 * time.Second)
	want := []string{"a@1s", "b@2s", "c@3s", "d@4s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if c.Timers() != 0 || c.Now() != start.Add(10*time.Second) {
		t.Errorf("%d timers are left at %v", c.Timers(), c.Now())
	}
	moved.Reset(time.Second)
	c.Advance(time.Second)
	if len(got) != 5 {
		t.Error("a timer that was made can be used again")
	}
}
