package relay_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/relayctl/relayctl/internal/relay"
)

// freeAddress is one where nobody listens, most likely for a while.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestReloadMovesListeners: the relay serves where the settings say, and
// connections from before stay.
func TestReloadMovesListeners(t *testing.T) {
	st := newStack(t)
	first, second := freeAddress(t), freeAddress(t)
	st.relay["listen"] = first
	r := startRelay(t, st.load(t))
	connectedWorker(t, r, "gpu-1", echoEngine(t).URL, 4, "m")

	st.relay["listen"], st.relay["metrics"] = second, freeAddress(t)
	if err := r.Reload(st.load(t)); err != nil {
		t.Fatal(err)
	}
	if status, _, body := ask(t, "http://"+second, laptopKey, askM); status != 200 {
		t.Errorf("at the new address: %d %s", status, body)
	}
	if _, err := post(t, t.Context(), "http://"+first, laptopKey, askM); err == nil {
		t.Error("the old address still answers new connections")
	}
	response, err := http.Get("http://" + st.relay["metrics"].(string) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()

	digest := r.Status().Settings
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	st.relay["listen"], st.relay["metrics"] = freeAddress(t), busy.Addr().String()
	if err := r.Reload(st.load(t)); err == nil {
		t.Error("moved to a port that is taken")
	}
	if got := r.Status().Settings; got != digest {
		t.Errorf("after a refused reload the digest in force is %s", got)
	}
	if status, _, body := ask(t, "http://"+second, laptopKey, askM); status != 200 {
		t.Errorf("after a refused reload: %d %s", status, body)
	}
}

func TestAdminSocketIsTheOwnersOnly(t *testing.T) {
	st := newStack(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	st.relay["admin"] = path
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close() // as a killed relay leaves it
	r := startRelay(t, st.load(t))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	r.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := relay.Listen(st.load(t).Relay); err == nil {
		t.Error("a file that is no socket was taken over")
	}
}

// adminCall asks the admin socket.
func adminCall(t testing.TB, path, method, url, body string) (status int, answer string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://relay"+url, bodyReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}
