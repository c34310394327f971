package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
)

// Listeners are where a Server serves. Metrics and Admin may be nil.
type Listeners struct {
	API, Metrics, Admin net.Listener
}

// Listen opens the listeners that the settings name. The admin socket is the
// owner's only.
func Listen(r RelayFile) (ls Listeners, err error) {
	defer func() {
		if err != nil {
			ls.close()
		}
	}()
	if ls.API, err = listenTCP(r.Listen); err != nil {
		return ls, err
	}
	if r.Metrics != "off" {
		if ls.Metrics, err = listenTCP(r.Metrics); err != nil {
			return ls, err
		}
	}
	if r.Admin != "off" {
		ls.Admin, err = listenUnix(r.Admin)
	}
	return ls, err
}

func (ls Listeners) close() {
	for _, l := range []net.Listener{ls.API, ls.Metrics, ls.Admin} {
		if l != nil {
			l.Close()
		}
	}
}

// door is one of the relay's HTTP servers with where it listens now.
type door struct {
	server   *http.Server
	listener net.Listener // nil: nowhere; guarded by Server.mu
	failed   chan error   // capacity 1: the listener broke
}

// open has d serve at l, and no longer where it did; connections from there
// stay. l may be nil. It is called with mu held.
func (s *Server) open(d *door, l net.Listener) {
	before := d.listener
	d.listener = l
	if before != nil {
		before.Close()
	}
	if l == nil {
		return
	}
	s.running.Go(func() {
		err := d.server.Serve(l)
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.listener != l || errors.Is(err, http.ErrServerClosed) {
			return
		}
		select {
		case d.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err):
		default: // an earlier failure ends the relay already
		}
	})
}

// move opens the listeners whose address differs between the settings, and
// closes those that they replace; all of them or, with an error, none.
func (s *Server) move(before, after RelayFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	moves := []struct {
		what, before, after string
		listen              func(address string) (net.Listener, error)
		opened              net.Listener
	}{
		{"listen", before.Listen, after.Listen, listenTCP, nil},
		{"metrics", before.Metrics, after.Metrics, listenTCP, nil},
		{"admin", before.Admin, after.Admin, listenUnix, nil},
	}
	for i := range moves {
		m := &moves[i]
		if m.before == m.after || m.after == "off" {
			continue
		}
		var err error
		if m.opened, err = m.listen(m.after); err == nil && s.doors == nil {
			err = errors.New("the relay does not serve")
		}
		if err != nil {
			for _, other := range moves {
				if other.opened != nil {
					other.opened.Close()
				}
			}
			return fmt.Errorf("%s: %w", m.what, err)
		}
	}
	for i, m := range moves {
		if m.before != m.after && s.doors != nil {
			s.open(s.doors[i], m.opened)
		}
	}
	return nil
}

func listenTCP(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// listenUnix listens on a socket that only its owner may open. A socket that
// another process left is taken over; anything else in its place is not.
func listenUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen on %s: there is something that is no socket", path)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", path, err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}
