package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// dialerOf reaches hosts by SSH, and takes new host keys on trust where it may.
func dialerOf(t *testing.T, patience time.Duration) (dialer engine.Dialer, knownHosts string) {
	t.Helper()
	t.Setenv("SSH_AUTH_SOCK", "")
	knownHosts = filepath.Join(t.TempDir(), "known_hosts")
	dialer, err := engine.NewRemoteDialer(engine.Config{
		KnownHosts: knownHosts, AcceptNewHostKeys: true, Programs: programs{},
	}, patience)
	if err != nil {
		t.Fatal(err)
	}
	return dialer, knownHosts
}

// The key of a host that left the stack file is not taken on trust, whatever
// the user accepts of the file's own hosts: where it is was said by another
// host.
func TestHostKeysOfRememberedHostsAreNotAccepted(t *testing.T) {
	for role, accepted := range map[plan.Role]bool{plan.RoleDeparted: false, plan.RoleWorker: true} {
		server := remotetest.Start(t, remotetest.Options{})
		dialer, knownHosts := dialerOf(t, time.Minute)
		conversation, err := dialer.Dial(t.Context(), engine.Target{
			Member: plan.Member{Name: "gpu-9", Address: "127.0.0.1", Port: server.Port(), User: "ops"}, IdentityFile: server.KeyFile, Role: role,
		})
		if err == nil {
			conversation.Stream.Close()
		}
		written, _ := os.ReadFile(knownHosts)
		if errors.Is(err, remote.HostKeyUnknown) == accepted || (len(written) > 0) != accepted || (len(server.Commands()) > 0) != accepted {
			t.Errorf("%s: %v; known_hosts: %q; it ran %v", role, err, written, server.Commands())
		}
	}
}

// A server that takes the log-in and then never comes to an end is left.
func TestStartThatNeverEnds(t *testing.T) {
	release := make(chan struct{})
	server := remotetest.Start(t, remotetest.Options{On: func(point string) {
		if point == "sftp" {
			<-release
		}
	}})
	dialer, _ := dialerOf(t, time.Millisecond)
	conversation, err := dialer.Dial(t.Context(), engine.Target{
		Member: plan.Member{Name: "gpu-1", Address: "127.0.0.1", Port: server.Port(), User: "ops"}, IdentityFile: server.KeyFile, Role: plan.RoleWorker,
	})
	close(release)
	if err == nil {
		conversation.Stream.Close()
	}
	if !errors.Is(err, hostapi.ErrEndless) {
		t.Errorf("error %v", err)
	}
}
