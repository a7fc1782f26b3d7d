package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gx-dev/gx/api"
)

// Attach returns a descriptor that speaks frames with the app. Behind a unix
// socket it is the host's connection itself; elsewhere it is one end of a pair
// whose other end is bridged to a WebSocket for as long as the session lives.
func (s *Session) Attach(ctx context.Context) (*os.File, error) {
	path := "/v1/apps/" + url.PathEscape(s.started.App) + "/attach"
	if s.client.unix {
		return s.client.attachBare(ctx, path)
	}
	return s.bridges.attach(ctx, s.client, path)
}

// Connection is a client's connection for calls that belongs to no app.
type Connection struct {
	File    *os.File // speaks frames; the caller's to close
	bridges *bridges
}

// Connect returns a connection by which functions of running apps can be
// called. Close it when it is not needed any more.
func (c *Client) Connect(ctx context.Context) (*Connection, error) {
	made := &Connection{bridges: newBridges()}
	var err error
	if c.unix {
		made.File, err = c.attachBare(ctx, "/v1/attach")
	} else {
		made.File, err = made.bridges.attach(ctx, c, "/v1/attach")
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

// Close ends the connection, but not File.
func (c *Connection) Close() { c.bridges.close() }

// attachBare upgrades a connection to bare frames and takes its descriptor.
func (c *Client) attachBare(ctx context.Context, path string) (*os.File, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to the host: %w", err)
	}
	defer conn.Close() // File duplicates the descriptor
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := upgrade(conn, c.base+path); err != nil {
		return nil, fmt.Errorf("attaching to the host: %w", errors.Join(ctx.Err(), err))
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("attaching to the host: %T has no descriptor", conn)
	}
	return socket.File()
}

// upgrade asks for bare frames, and reads the answer's head and no byte more.
func upgrade(conn net.Conn, address string) error {
	req, err := http.NewRequest(http.MethodGet, address, nil) //nolint:noctx // written by hand below
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", api.FramesProtocol)
	if err := req.Write(conn); err != nil {
		return err
	}
	head, err := readHead(conn)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(head), conn)), req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return refusal(resp)
	}
	return nil
}

// readHead reads up to the empty line that ends an HTTP head, byte by byte:
// what follows belongs to whoever gets the descriptor.
func readHead(r io.Reader) (string, error) {
	var head strings.Builder
	var b [1]byte
	for head.Len() < 64<<10 {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return "", err
		}
		head.WriteByte(b[0])
		if b[0] == '\n' && strings.HasSuffix(head.String(), "\r\n\r\n") {
			return head.String(), nil
		}
	}
	return "", errors.New("the head of the host's answer has no end")
}
