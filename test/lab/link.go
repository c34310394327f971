package lab

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// CutNetwork has everything that goes to or from the host vanish without a
// word, as with a cable that is pulled somewhere in between: the host itself
// sees no change. It lasts until MendNetwork, or the next start of the host.
func (h *Host) CutNetwork(ctx context.Context) error { return h.attach(ctx, "nomaster") }

// MendNetwork ends what CutNetwork began.
func (h *Host) MendNetwork(ctx context.Context) error {
	return h.attach(ctx, "master", h.lab.slot.bridge())
}

// attach changes where this machine's end of the host's link leads.
func (h *Host) attach(ctx context.Context, to ...string) error {
	index, err := h.Run(ctx, "cat /sys/class/net/host0/iflink")
	if err != nil {
		return fmt.Errorf("find link of host %s: %w", h.Name, err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(index))
	if err != nil {
		return fmt.Errorf("find link of host %s: %w", h.Name, err)
	}
	link, err := net.InterfaceByIndex(number)
	if err != nil {
		return fmt.Errorf("find link of host %s: %w", h.Name, err)
	}
	if _, err := run(ctx, "ip", append([]string{"link", "set", "dev", link.Name}, to...)...); err != nil {
		return fmt.Errorf("change link of host %s: %w", h.Name, err)
	}
	return nil
}

// removeLinks removes the links of a killed host, "*" standing for all of the
// slot. The kernel does so itself, but when it likes: a host that is started at
// once would find the link of the one before under its own name.
func removeLinks(ctx context.Context, s *slot, host string) error {
	names := []string{"vb-" + s.machineName(host)} // or an alternative name, where that is too long
	if host == "*" {
		links, err := net.Interfaces()
		if err != nil {
			return fmt.Errorf("list network links: %w", err)
		}
		names = nil
		for _, link := range links {
			if strings.HasPrefix(link.Name, "vb-"+s.machineName("")) {
				names = append(names, link.Name)
			}
		}
	}
	for _, name := range names {
		if _, err := run(ctx, "ip", "link", "delete", "dev", name); err != nil && isLink(ctx, name) {
			return fmt.Errorf("remove link %s: %w", name, err)
		}
	}
	return nil
}

func isLink(ctx context.Context, name string) bool {
	_, err := run(ctx, "ip", "link", "show", "dev", name)
	return err == nil
}
