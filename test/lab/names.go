package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hostName is a name of the lab and its address.
type hostName struct{ name, addr string }

// Name lets name stand for the host: on every host of the lab, for Dial, for
// HTTPClient and for programs run by Command. This machine's own /etc/hosts
// stays as it is.
func (l *Lab) Name(name string, h *Host) error {
	l.mu.Lock()
	l.names = append(l.names, hostName{name, h.Addr})
	l.mu.Unlock()
	return l.writeNames()
}

// hostsTable is the /etc/hosts of the lab.
func (l *Lab) hostsTable() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	for _, n := range l.names {
		fmt.Fprintf(&b, "%s %s\n", n.addr, n.name)
	}
	return b.String()
}

// writeNames writes the table to the lab's folder and to the hosts that have
// a disk by now.
func (l *Lab) writeNames() error {
	table := l.hostsTable()
	if err := os.WriteFile(hostsFile(l.Dir), []byte(table), 0o644); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	if err := os.WriteFile(l.SSHConfig(), []byte(l.sshConfig()), 0o644); err != nil {
		return fmt.Errorf("write ssh configuration: %w", err)
	}
	l.mu.Lock()
	hosts := slices.Clone(l.hosts)
	l.mu.Unlock()
	for _, h := range hosts {
		if _, err := os.Stat(filepath.Join(h.Root, "etc")); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := h.writeHosts(table); err != nil {
			return err
		}
	}
	return nil
}

func hostsFile(dir string) string { return filepath.Join(dir, "hosts.txt") }

// SSHConfig is an ssh_config file by which the ssh program reaches the hosts by
// their names: ssh -F FILE edge.
func (l *Lab) SSHConfig() string { return filepath.Join(l.Dir, "ssh_config") }

func (l *Lab) sshConfig() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, h := range l.hosts {
		fmt.Fprintf(&b, "Host %s\n  HostName %s\n  UserKnownHostsFile %s\n", h.Name, h.Addr, h.KnownHosts)
	}
	fmt.Fprintf(&b, "Host *\n  User %s\n  IdentityFile %s\n  IdentitiesOnly yes\n"+
		"  StrictHostKeyChecking yes\n  BatchMode yes\n", Admin, l.SSHKeyFile)
	return b.String()
}

func (h *Host) writeHosts(table string) error {
	return hostFile{path: "etc/hosts", content: table}.write(h.Root)
}

// Dial connects like net.Dialer, knowing the lab's names.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, network, net.JoinHostPort(l.resolve(host), port))
}

func (l *Lab) resolve(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.names {
		if n.name == name {
			return n.addr
		}
	}
	return name
}

// HTTPClient is a client that knows the lab's names and trusts what roots says
// (nil: what this machine trusts). It follows no redirects.
func (l *Lab) HTTPClient(roots *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: l.Dial, TLSClientConfig: roots, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}
