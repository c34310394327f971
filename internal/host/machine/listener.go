package machine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// Socket is a listening TCP socket as /proc/net/tcp tells it.
type Socket struct {
	Address netip.Addr
	Port    int
	UID     int // of the process that opened it
	inode   string
}

// Listeners says who listens on TCP ports, each address and port once.
func (m *Machine) Listeners(ctx context.Context) ([]plan.Listener, error) {
	sockets, err := m.Listening()
	if err != nil || len(sockets) == 0 {
		return nil, err
	}
	owners, err := m.socketOwners(sockets)
	if err != nil {
		return nil, err
	}
	var list []plan.Listener
	for _, one := range sockets {
		listener := plan.Listener{Address: one.Address.String(), Port: one.Port}
		if pid := owners[one.inode]; pid != 0 {
			m.nameOwner(&listener, pid)
		}
		list = append(list, listener)
	}
	slices.SortFunc(list, func(a, b plan.Listener) int {
		if a.Port != b.Port {
			return a.Port - b.Port
		}
		return strings.Compare(a.Address, b.Address)
	})
	// A port that several sockets share is one listener: SO_REUSEPORT.
	list = slices.CompactFunc(list, func(a, b plan.Listener) bool { return a.Port == b.Port && a.Address == b.Address })
	return list, m.nameSocketUnits(ctx, list)
}

// Listening lists the listening TCP sockets.
func (m *Machine) Listening() ([]Socket, error) {
	var sockets []Socket
	for _, name := range []string{"tcp", "tcp6"} {
		table, err := ReadIfThere(m.Path("/proc/net/" + name)) // tcp6 is missing without IPv6
		if err != nil {
			return nil, fmt.Errorf("read /proc/net/%s: %w", name, err)
		}
		sockets = append(sockets, parseListening(string(table))...)
	}
	return sockets, nil
}

// parseListening reads /proc/net/tcp or tcp6; lines that make no sense are
// passed over.
func parseListening(table string) []Socket {
	const stateListen = "0A"
	var sockets []Socket
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		hexAddress, hexPort, ok := strings.Cut(fields[1], ":")
		address, addressOK := parseProcAddress(hexAddress)
		port, err := strconv.ParseUint(hexPort, 16, 16)
		uid, uidErr := strconv.ParseUint(fields[7], 10, 32)
		if !ok || !addressOK || err != nil || port == 0 || uidErr != nil {
			continue
		}
		sockets = append(sockets, Socket{address, int(port), int(uid), fields[9]})
	}
	return sockets
}

// parseProcAddress reads an address as the kernel prints it: words of 32 bits,
// each with the machine's own byte order, which is little-endian on all that
// relayctl runs on.
func parseProcAddress(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.Addr{}, false
	}
	for word := 0; word < len(raw); word += 4 {
		slices.Reverse(raw[word : word+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	return address, ok
}

// socketOwners finds the processes that hold sockets, by inode. A process that
// ends meanwhile, or may not be looked at, is passed over.
func (m *Machine) socketOwners(sockets []Socket) (map[string]int, error) {
	missing := map[string]bool{}
	for _, one := range sockets {
		missing[one.inode] = true
	}
	owners := map[string]int{}
	processes, err := os.ReadDir(m.Path("/proc"))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		folder := m.Path(filepath.Join("/proc", process.Name(), "fd"))
		files, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, file := range files {
			target, err := os.Readlink(filepath.Join(folder, file.Name()))
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(target, "socket:[")
			inode = strings.TrimSuffix(inode, "]")
			// The lowest number is the one that opened it: children inherit.
			if ok && missing[inode] && (owners[inode] == 0 || pid < owners[inode]) {
				owners[inode] = pid
			}
		}
	}
	return owners, nil
}

// nameOwner says which process and which service hold a port.
func (m *Machine) nameOwner(listener *plan.Listener, pid int) {
	listener.PID = pid
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	if name, err := os.ReadFile(m.Path(folder + "/comm")); err == nil {
		listener.Process = strings.TrimSpace(string(name))
	}
	groups, err := os.ReadFile(m.Path(folder + "/cgroup"))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		listener.Unit = serviceOf(string(groups))
	}
}

// SocketUnit is a unit of systemd that listens for a service.
type SocketUnit struct {
	Name    string
	Listens []string // as systemd says it: "[::]:443", "127.0.0.1:80", a path
}

// SocketLister knows which socket units listen.
type SocketLister interface {
	SocketUnits(ctx context.Context) ([]SocketUnit, error)
}

// nameSocketUnits says which socket units systemd listens for itself.
func (m *Machine) nameSocketUnits(ctx context.Context, listeners []plan.Listener) error {
	bySystemd := func(l plan.Listener) bool { return l.PID == 1 && l.Unit == "" }
	if m.sockets == nil || !slices.ContainsFunc(listeners, bySystemd) {
		return nil
	}
	units, err := m.sockets.SocketUnits(ctx)
	if err != nil {
		return fmt.Errorf("ask systemd for socket units: %w", err)
	}
	for i, l := range listeners {
		if !bySystemd(l) {
			continue
		}
		for _, unit := range units {
			if IsUnitName(unit.Name) && slices.ContainsFunc(unit.Listens, isAddressOf(l)) {
				listeners[i].Unit = unit.Name
			}
		}
	}
	return nil
}

func isAddressOf(l plan.Listener) func(listens string) bool {
	return func(listens string) bool {
		at, err := netip.ParseAddrPort(listens)
		return err == nil && int(at.Port()) == l.Port && at.Addr().WithZone("").String() == l.Address
	}
}

// serviceOf finds the system service in /proc/PID/cgroup; empty: none. What
// runs in somebody's login is no service that one could turn off, and one below
// a scope is a container's.
func serviceOf(groups string) string {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 || fields[0] != "0" && fields[1] != "name=systemd" {
			continue
		}
		for part := range strings.SplitSeq(fields[2], "/") {
			if part == "user.slice" || strings.HasSuffix(part, ".scope") {
				return ""
			}
			if strings.HasSuffix(part, ".service") && IsUnitName(part) {
				return part
			}
		}
	}
	return ""
}
