package remote_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain fails the package when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	if os.Getenv(connectVariable) != "" && len(os.Args) == 3 {
		connect(os.Args[1], os.Args[2])
		return
	}
	log.SetOutput(io.Discard) // where x/crypto's agent tells what was asked of it in vain
	code := m.Run()
	if left := leftovers(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines outlived the tests:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// connectVariable has this program be a ProxyCommand.
const connectVariable = "CONNECT_AS_PROXY_COMMAND"

// connect carries standard input and output to an address.
func connect(host, port string) {
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
}

// leftovers is the stacks of what still runs beside this goroutine, after
// what is just ending had half a minute to do so.
func leftovers() string {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	left := others()
	for range 3000 {
		if left == "" {
			return ""
		}
		<-tick.C
		left = others()
	}
	return left
}

// others is the stacks of all other goroutines but the one that fuzzing leaves
// waiting for signals.
func others() string {
	stacks := make([]byte, 1<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	return strings.Join(slices.DeleteFunc(all[1:], func(stack string) bool {
		return strings.Contains(stack, "os/signal.loop")
	}), "\n\n")
}
