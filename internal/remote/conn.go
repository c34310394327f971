package remote

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// watchedConn counts what comes, and notices when the other side breaks off or
// does not begin as an SSH server: the SSH library's errors don't tell these
// from a refused log-in.
type watchedConn struct {
	net.Conn
	received atomic.Int64 // bytes

	mu     sync.Mutex
	first  []byte // the beginning of what came
	broken error  // how the other side broke off
	closed bool   // by us
}

// maxFirst is how much of what came first is kept, in bytes.
const maxFirst = 80

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	c.note(p[:n], err)
	return n, err
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.note(nil, err)
	return n, err
}

// Close closes the connection: what comes of that is not the other side's doing.
func (c *watchedConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *watchedConn) note(came []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first = append(c.first, came[:min(len(came), maxFirst-len(c.first))]...)
	if c.broken == nil && !c.closed {
		c.broken = err
	}
}

// seen is the beginning of the first line that came, and how the other side
// broke off; nil where it did not.
func (c *watchedConn) seen() (first string, broken error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line, _, _ := strings.Cut(string(c.first), "\n")
	return strings.TrimSpace(strings.ToValidUTF8(line, "?")), c.broken
}
