package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of the forwarder.
const (
	maxQuestions   = 512              // in progress at once; more are dropped, resolvers ask again
	answerTimeout  = 10 * time.Second // for one question over UDP
	maxDatagram    = 4096
	streamLifetime = 30 * time.Second // of one TCP connection
)

// forwarder passes DNS messages on, unread, from one address to servers that
// only this machine itself can reach.
type forwarder struct {
	udp     *net.UDPConn
	tcp     *net.TCPListener
	servers []netip.AddrPort
	slots   chan struct{}
	cancel  context.CancelFunc
	ctx     context.Context
	work    sync.WaitGroup
}

// forward starts a forwarder on an address; close stops it.
func forward(on netip.AddrPort, servers []netip.AddrPort) (*forwarder, error) {
	if len(servers) == 0 {
		return nil, errors.New("no name server to forward to")
	}
	udp, tcp, err := listenBoth(on)
	if err != nil {
		return nil, fmt.Errorf("listen for containers' name lookups: %w", err)
	}
	f := &forwarder{udp: udp, tcp: tcp, servers: servers, slots: make(chan struct{}, maxQuestions)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.work.Go(f.serveUDP)
	f.work.Go(f.serveTCP)
	return f, nil
}

// listenBoth listens on the same port of UDP and TCP; 0 (in tests) is one that is
// free in both.
func listenBoth(on netip.AddrPort) (*net.UDPConn, *net.TCPListener, error) {
	for tries := 0; ; tries++ {
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(on))
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(udp.LocalAddr().(*net.UDPAddr).AddrPort()))
		if err == nil {
			return udp, tcp, nil
		}
		udp.Close()
		if on.Port() != 0 || tries == 100 {
			return nil, nil, err
		}
	}
}

func (f *forwarder) addr() netip.AddrPort { return f.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

func (f *forwarder) close() {
	f.cancel()
	f.udp.Close()
	f.tcp.Close()
	f.work.Wait()
}

// spawn runs fn if there is room for one more.
func (f *forwarder) spawn(fn func()) bool {
	select {
	case f.slots <- struct{}{}:
	default:
		return false
	}
	f.work.Go(func() {
		defer func() { <-f.slots }()
		fn()
	})
	return true
}

func (f *forwarder) serveUDP() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := f.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if f.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier answer
		}
		question := append([]byte(nil), buf[:n]...)
		f.spawn(func() {
			if answer, err := f.ask(question); err == nil {
				_, _ = f.udp.WriteToUDPAddrPort(answer, from)
			}
		})
	}
}

// ask puts a question to the servers in turn and returns the first answer.
func (f *forwarder) ask(question []byte) ([]byte, error) {
	var failed error
	each := answerTimeout / time.Duration(len(f.servers))
	for _, server := range f.servers {
		answer, err := f.askOne(question, server, each)
		if err == nil {
			return answer, nil
		}
		failed = err
		if f.ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

func (f *forwarder) askOne(question []byte, server netip.AddrPort, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 65535)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return nil, err
		}
		// An answer carries its question's identifier.
		if n >= 2 && len(question) >= 2 && answer[0] == question[0] && answer[1] == question[1] {
			return answer[:n], nil
		}
	}
}

func (f *forwarder) serveTCP() {
	for {
		conn, err := f.tcp.Accept()
		if err != nil {
			if f.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // out of descriptors: let some close
			continue
		}
		if !f.spawn(func() { f.splice(conn) }) {
			conn.Close()
		}
	}
}

// splice connects a stream with the first server that accepts one.
func (f *forwarder) splice(client net.Conn) {
	defer client.Close()
	ctx, cancel := context.WithTimeout(f.ctx, streamLifetime)
	defer cancel()
	var d net.Dialer
	for _, s := range f.servers {
		server, err := d.DialContext(ctx, "tcp", s.String())
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
		var copies sync.WaitGroup
		copies.Go(func() { _, _ = io.Copy(server, client); _ = server.(*net.TCPConn).CloseWrite() })
		copies.Go(func() { _, _ = io.Copy(client, server); _ = client.(*net.TCPConn).CloseWrite() })
		copies.Wait()
		stop()
		server.Close()
		return
	}
}
