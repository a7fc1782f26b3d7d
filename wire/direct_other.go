//go:build !linux

package wire

import "net"

// Direct returns the connection as it is; see socket_linux.go.
func Direct(conn net.Conn) Conn { return conn }
