package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
	"github.com/relayctl/relayctl/internal/secret"
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

// The user is asked for what only the user knows, and told what ssh's
// configuration has in vain.
func TestUserIsAskedAndTold(t *testing.T) {
	server := remotetest.Start(t, remotetest.Options{PasswordOnly: true})
	bin := t.TempDir()
	configuration := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' 'hostname 127.0.0.1' 'port %d' 'bindinterface wg0'\n", server.Port())
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(configuration), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("SSH_AUTH_SOCK", "")
	var asked []engine.Question
	var mu sync.Mutex
	var told []engine.Event
	dialer, err := engine.NewRemoteDialer(engine.Config{
		KnownHosts: filepath.Join(t.TempDir(), "known_hosts"), AcceptNewHostKeys: true, Programs: programs{},
		Ask: func(_ context.Context, q engine.Question) (secret.Value, error) {
			asked = append(asked, q)
			return secret.Value{}, errors.New("nobody is there")
		},
		Events: func(e engine.Event) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, e)
		},
	}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dialer.Dial(t.Context(), engine.Target{
		Member: plan.Member{Name: "gpu-1", Address: "gpu", User: "ops"}, Role: plan.RoleWorker,
	}); err == nil {
		t.Fatal("let in without a password")
	}
	if len(asked) != 1 || asked[0].For != engine.Password || asked[0].User != "ops" {
		t.Errorf("asked %+v", asked)
	}
	notFollowed, newKey := 0, ""
	for _, e := range told {
		switch e.Phase {
		case engine.NotFollowed:
			notFollowed++
			if e.Host != "" || e.Text != "BindInterface wg0" {
				t.Errorf("told %+v", e)
			}
		case engine.NewHostKey:
			newKey = e.Text
		}
	}
	if notFollowed != 1 {
		t.Errorf("told %d times of BindInterface", notFollowed)
	}
	if want := fmt.Sprintf(" of [127.0.0.1]:%d, added to ", server.Port()); !strings.Contains(newKey, want) {
		t.Errorf("told of the new key: %q", newKey)
	}
}
