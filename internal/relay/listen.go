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
func Listen(r RelayFile) (Listeners, error) {
	opened, err := listenAnew(RelayFile{}, r)
	return Listeners{opened[0], opened[1], opened[2]}, err
}

// listenAnew opens the listeners whose address differs between the settings:
// for the API, metrics and admin; all of them or, with an error, none.
func listenAnew(before, after RelayFile) (opened [3]net.Listener, err error) {
	for i, address := range after.addresses() {
		if address == "off" || address == before.addresses()[i] {
			continue
		}
		if i == 2 {
			opened[i], err = listenUnix(address)
		} else {
			opened[i], err = net.Listen("tcp", address)
		}
		if err != nil {
			closeAll(opened)
			return [3]net.Listener{}, err
		}
	}
	return opened, nil
}

func (r RelayFile) addresses() [3]string { return [3]string{r.Listen, r.Metrics, r.Admin} }

func closeAll(listeners [3]net.Listener) {
	for _, l := range listeners {
		if l != nil {
			l.Close()
		}
	}
}

// door is one of the relay's HTTP servers with where it listens now.
type door struct {
	server   *http.Server
	listener net.Listener // nil: nowhere; guarded by Server.mu
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
		case s.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err):
		default: // an earlier failure ends the relay already
		}
	})
}

// move opens the listeners whose address differs between the settings, and
// closes those that they replace; all of them or, with an error, none.
func (s *Server) move(before, after RelayFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	opened, err := listenAnew(before, after)
	if err == nil && s.doors == nil && opened != [3]net.Listener{} {
		closeAll(opened)
		err = errors.New("the relay does not serve")
	}
	if err != nil {
		return err
	}
	for i, d := range s.doors {
		if before.addresses()[i] != after.addresses()[i] {
			s.open(d, opened[i])
		}
	}
	return nil
}

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
