package relay

import (
	"fmt"
	"io/fs"
	"net"
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
	if ls.API, err = net.Listen("tcp", r.Listen); err != nil {
		return ls, err
	}
	if r.Metrics != "off" {
		if ls.Metrics, err = net.Listen("tcp", r.Metrics); err != nil {
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
