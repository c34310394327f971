package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrStranger is what keeps relay-host from asking at a local socket: there is
// something else, or somebody else listens.
var ErrStranger = errors.New("not the service's own socket")

// dialSocket connects to a local socket of the service that runs as user.
func (m *Machine) dialSocket(ctx context.Context, path, user string) (net.Conn, error) {
	uids, err := m.RootAnd(user)
	if err != nil {
		return nil, err
	}
	return m.open(ctx, m.Path(path), uids)
}

// RootAnd are the numbers of root and of another user.
func (m *Machine) RootAnd(user string) (uids []int, err error) {
	accounts, err := m.Accounts()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"root", user} {
		if account, ok := accounts.Users[name]; ok {
			uids = append(uids, account.UID)
		}
	}
	return uids, nil
}

// openSocket connects to a local socket, if a process of one of the users
// listens. The folder is the service's, which may put anything there: a link
// would have root ask another service.
func openSocket(ctx context.Context, path string, uids []int) (net.Conn, error) {
	failed := func(err error) error {
		var cause syscall.Errno
		if errors.As(err, &cause) {
			return &fs.PathError{Op: "dial unix", Path: path, Err: cause}
		}
		return fmt.Errorf("dial unix %s: %w", path, err)
	}
	held, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, failed(err)
	}
	defer held.Close()
	info, err := held.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%w: %s is %s", ErrStranger, path, DescribeMode(info.Mode()))
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(int(held.Fd())))
	if err != nil {
		return nil, failed(err)
	}
	uid, err := peerOf(conn.(*net.UnixConn))
	if err == nil && !slices.Contains(uids, uid) {
		err = fmt.Errorf("%w: user %d listens on %s", ErrStranger, uid, path)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// peerOf is the user of the process that began to listen at the other end.
func peerOf(conn *net.UnixConn) (uid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, fmt.Errorf("ask who listens: %w", asked)
	}
	return int(peer.Uid), nil
}
