//go:build cgo && linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gx-dev/gx/gpu/nvml/protocol"
)

// waitMilliseconds is how long one wait for events takes.
const waitMilliseconds = 1000

// server answers requests about the library's cards.
type server struct {
	lib nvml.Interface

	mu  sync.Mutex
	out *json.Encoder
	// cards that were there at the start: one that is lost is not found any more.
	known []protocol.Device
}

// serve answers until in ends.
func serve(lib nvml.Interface, in io.Reader, out io.Writer) error {
	s := &server{lib: lib, out: json.NewEncoder(out)}
	if r := lib.Init(); r != nvml.SUCCESS {
		return errors.Join(s.write(protocol.Message{Error: trouble("starting NVIDIA's library", r)}), errors.New("no library"))
	}
	defer func() { _ = lib.Shutdown() }() // the process ends
	driver, _ := lib.SystemGetDriverVersion()
	var err error
	if s.known, err = s.devices(true); err != nil {
		return errors.Join(s.write(protocol.Message{Error: err.Error()}), err)
	}
	if err := s.write(protocol.Message{Driver: driver}); err != nil {
		return err
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(stop) })
	defer watching.Wait()
	defer close(stop)

	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var req protocol.Request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return fmt.Errorf("a request: %w", err)
		}
		answer := protocol.Message{ID: req.ID}
		switch req.Op {
		case protocol.List:
			answer.Devices = s.known
		case protocol.Sample:
			if answer.Devices, err = s.devices(false); err != nil {
				answer.Error = err.Error()
			}
		default:
			answer.Error = fmt.Sprintf("there is no operation %q", req.Op)
		}
		if err := s.write(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *server) write(m protocol.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Encode(m)
}

func trouble(doing string, r nvml.Return) string { return fmt.Sprintf("%s: %v", doing, r) }

// devices lists the cards as they are. At the start one that is lost already is
// left out: nobody can tell which it is.
func (s *server) devices(first bool) ([]protocol.Device, error) {
	count, r := s.lib.DeviceGetCount()
	if r != nvml.SUCCESS {
		return nil, errors.New(trouble("counting the cards", r))
	}
	list := make([]protocol.Device, 0, count)
	for i := range count {
		device, r := s.lib.DeviceGetHandleByIndex(i)
		var d protocol.Device
		if r == nvml.SUCCESS {
			d, r = describe(device)
		}
		d.Index = i
		switch {
		case r == nvml.SUCCESS:
		case r != nvml.ERROR_GPU_IS_LOST:
			return nil, errors.New(trouble(fmt.Sprintf("looking at card %d", i), r))
		case first:
			continue
		default:
			d.Lost = true
			for _, k := range s.known {
				if k.Index == i {
					d.UUID, d.Name, d.Memory = k.UUID, k.Name, k.Memory
				}
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// describe is a card as it is. What only some cards tell is left out where they
// do not.
func describe(device nvml.Device) (d protocol.Device, r nvml.Return) {
	if d.UUID, r = device.GetUUID(); r != nvml.SUCCESS {
		return d, r
	}
	if d.Name, r = device.GetName(); r != nvml.SUCCESS {
		return d, r
	}
	memory, r := device.GetMemoryInfo()
	if r != nvml.SUCCESS {
		return d, r
	}
	d.Memory, d.Used = memory.Total, memory.Used
	optional(func() {
		if detail, r := device.GetMemoryInfo_v2(); r == nvml.SUCCESS {
			d.Used = detail.Used
		}
	})
	optional(func() {
		if util, r := device.GetUtilizationRates(); r == nvml.SUCCESS {
			d.Util = util.Gpu
		}
	})
	optional(func() {
		if heat, r := device.GetTemperature(nvml.TEMPERATURE_GPU); r == nvml.SUCCESS {
			d.Heat = heat
		}
	})
	optional(func() {
		if power, r := device.GetPowerUsage(); r == nvml.SUCCESS {
			d.Power = float64(power) / 1000
		}
	})
	return d, nvml.SUCCESS
}

// optional does what a library need not be able to do: the mock servers of
// go-nvml panic at a function that they have not.
func optional(ask func()) {
	defer func() { _ = recover() }()
	ask()
}

// watch tells of Xid errors until it is stopped, where the library can.
func (s *server) watch(stop <-chan struct{}) {
	optional(func() {
		set, r := s.lib.EventSetCreate()
		if r != nvml.SUCCESS {
			return
		}
		defer func() { _ = set.Free() }()
		registered := 0
		for _, k := range s.known {
			device, r := s.lib.DeviceGetHandleByIndex(k.Index)
			if r == nvml.SUCCESS && device.RegisterEvents(nvml.EventTypeXidCriticalError, set) == nvml.SUCCESS {
				registered++
			}
		}
		for registered > 0 {
			event, r := set.Wait(waitMilliseconds)
			select {
			case <-stop:
				return
			default:
			}
			switch r {
			case nvml.SUCCESS:
				s.tell(event)
			case nvml.ERROR_TIMEOUT:
			default:
				return
			}
		}
	})
}

// tell writes an event. A card that is lost does not say who it is any more.
func (s *server) tell(event nvml.EventData) {
	e := &protocol.Event{Xid: int(event.EventData)}
	uuid, r := event.Device.GetUUID()
	for _, k := range s.known {
		if r == nvml.SUCCESS {
			break
		}
		if device, found := s.lib.DeviceGetHandleByIndex(k.Index); found == nvml.ERROR_GPU_IS_LOST || found == nvml.SUCCESS && device == event.Device {
			uuid, r = k.UUID, nvml.SUCCESS
		}
	}
	e.UUID = uuid
	_ = s.write(protocol.Message{Event: e}) // gx is gone if it fails
}
