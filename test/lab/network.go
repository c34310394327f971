package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const forwardFile = "/proc/sys/net/ipv4/ip_forward"

// subnet is the slot's own: private addresses, one /24 per slot.
func (s *slot) subnet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 231, byte(s.number), 0}), 24)
}

// gateway is this machine's address on the slot's bridge.
func (s *slot) gateway() string { return fmt.Sprintf("10.231.%d.1", s.number) }

// address is that of the host with the given index, from 0.
func (s *slot) address(index int) string { return fmt.Sprintf("10.231.%d.%d", s.number, index+10) }

func (s *slot) bridge() string { return fmt.Sprintf("rlab%d", s.number) }

func (s *slot) table() string { return fmt.Sprintf("relayctl_lab_%d", s.number) }

// subnetTaken reports whether this machine uses the slot's addresses for
// something else than a lab.
func subnetTaken(number int) (bool, error) {
	s := slot{number: number}
	links, err := net.Interfaces()
	if err != nil {
		return false, fmt.Errorf("list network links: %w", err)
	}
	for _, link := range links {
		if link.Name == s.bridge() {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			return false, fmt.Errorf("list addresses of %s: %w", link.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Overlaps(s.subnet()) {
				return true, nil
			}
		}
	}
	return false, nil
}

// connect makes the bridge that the hosts are on and lets them reach what this
// machine reaches.
func (s *slot) connect(ctx context.Context) error {
	br := s.bridge()
	steps := [][]string{
		{"ip", "link", "add", br, "type", "bridge"},
		{"ip", "addr", "add", s.gateway() + "/24", "dev", br},
		{"ip", "link", "set", br, "up"},
	}
	for _, step := range steps {
		if _, err := run(ctx, step[0], step[1:]...); err != nil {
			return fmt.Errorf("make bridge %s: %w", br, err)
		}
	}
	rules := fmt.Sprintf(`table ip %s {
	chain outgoing {
		type nat hook postrouting priority srcnat
		ip saddr %s oifname != %q masquerade
	}
}
`, s.table(), s.subnet(), br)
	if _, err := runInput(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("masquerade %s: %w", br, err)
	}
	if err := passForwardPolicy(ctx, "-I", br); err != nil {
		return fmt.Errorf("let %s through the firewall: %w", br, err)
	}
	return startForwarding()
}

// disconnect removes what connect made, whatever part of it there is.
func (s *slot) disconnect(ctx context.Context) error {
	br := s.bridge()
	var errs []error
	if _, err := net.InterfaceByName(br); err == nil {
		_, err := run(ctx, "ip", "link", "delete", br)
		errs = append(errs, err)
	}
	tables, err := run(ctx, "nft", "list", "tables", "ip")
	errs = append(errs, err)
	for line := range strings.Lines(tables) {
		if strings.TrimSpace(line) == "table ip "+s.table() {
			_, err := run(ctx, "nft", "delete", "table", "ip", s.table())
			errs = append(errs, err)
		}
	}
	errs = append(errs, passForwardPolicy(ctx, "-D", br), stopForwarding(s))
	return errors.Join(errs...)
}

// passForwardPolicy puts in (-I) or takes out (-D) the rules that let the
// bridge's traffic through where this machine drops forwarded packets, as
// Docker and UFW make it. An accept in a table of our own could not do that.
func passForwardPolicy(ctx context.Context, action, bridge string) error {
	present, err := run(ctx, "nft", "list", "chain", "ip", "filter", "FORWARD")
	if err != nil {
		return nil // no such chain: nothing drops
	}
	if action == "-I" && !strings.Contains(present, "policy drop") {
		return nil
	}
	var errs []error
	for _, side := range []string{"-i", "-o"} {
		if action == "-D" {
			if _, err := run(ctx, "iptables", "-C", "FORWARD", side, bridge, "-j", "ACCEPT"); err != nil {
				continue
			}
		}
		_, err := run(ctx, "iptables", action, "FORWARD", side, bridge, "-j", "ACCEPT")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// startForwarding turns packet forwarding on and notes how it was found,
// unless another lab noted it since this machine started.
func startForwarding() error {
	return withMachineLock(func() error {
		if _, noted := notedForwarding(); !noted {
			found, err := os.ReadFile(forwardFile)
			if err != nil {
				return fmt.Errorf("read forwarding: %w", err)
			}
			note := bootID() + " " + string(found)
			if err := os.WriteFile(foundForwarding(), []byte(note), 0o644); err != nil {
				return fmt.Errorf("note forwarding: %w", err)
			}
		}
		return writeForwarding("1")
	})
}

// stopForwarding restores what startForwarding found, when this is the last lab.
func stopForwarding(s *slot) error {
	return withMachineLock(func() error {
		others, err := othersInUse(s)
		if err != nil || others {
			return err
		}
		found, noted := notedForwarding()
		if !noted {
			return nil
		}
		if err := writeForwarding(found); err != nil {
			return err
		}
		return os.Remove(foundForwarding())
	})
}

// notedForwarding returns what was noted since this machine started.
func notedForwarding() (value string, noted bool) {
	note, err := os.ReadFile(foundForwarding())
	f := strings.Fields(string(note))
	if err != nil || len(f) != 2 || f[0] != bootID() {
		return "", false
	}
	return f[1], true
}

// bootID is another after every start of this machine.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

func foundForwarding() string { return filepath.Join(stateDir, "ip_forward.found") }

func writeForwarding(value string) error {
	if err := os.WriteFile(forwardFile, []byte(value+"\n"), 0o644); err != nil {
		return fmt.Errorf("set forwarding: %w", err)
	}
	return nil
}

func othersInUse(s *slot) (bool, error) {
	slots, err := slotsInUse(s.machine)
	if err != nil {
		return false, err
	}
	for _, other := range slots {
		if other.number != s.number {
			return true, nil
		}
	}
	return false, nil
}

// withMachineLock runs do while no other lab of this machine does the same.
func withMachineLock(do func() error) error {
	f, err := os.OpenFile(filepath.Join(stateDir, "machine.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open machine lock: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock machine: %w", err)
	}
	return do()
}
