package kind

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// caddyAnswer is what Caddy says of its configuration.
type caddyAnswer int

const (
	another   caddyAnswer = iota // it runs with another than the Caddyfile means
	theSame                      // it runs just what the Caddyfile means
	noOrders                     // it can't be asked, nor told: the Caddyfile turns its admin endpoint off, say
	movedAway                    // it takes orders, but elsewhere than the Caddyfile says
	elsewhere                    // it runs with another, and nobody knows where it would take orders
)

// differs reports whether it is known to run another configuration.
func (a caddyAnswer) differs() bool { return a == another || a == movedAway || a == elsewhere }

// runs compares what Caddy runs with what the Caddyfile means. at is where
// it takes orders, where that is known.
func (c caddy) runs(ctx context.Context) (answer caddyAnswer, at string, err error) {
	adapted, err := c.run(ctx, "adapt", plan.Caddyfile)
	if err != nil {
		return noOrders, "", err
	}
	var wanted any
	if err := json.Unmarshal(adapted, &wanted); err != nil {
		return noOrders, "", fmt.Errorf("decode adapted Caddyfile: %w", err)
	}
	admin, on := adminOf(adapted)
	if !on {
		return noOrders, "", nil
	}
	running, err := c.config(ctx, admin)
	switch {
	case isNotThere(err):
		answer, at = c.find(ctx, admin)
		return answer, at, nil
	case err != nil:
		return noOrders, "", nil
	case reflect.DeepEqual(wanted, running):
		return theSame, admin, nil
	}
	return another, admin, nil
}

// find looks for Caddy where it may take orders when it does not where the
// Caddyfile says: where it wrote down that it does, where a reload took it that it
// refused in the end, and where it does by itself.
func (c caddy) find(ctx context.Context, admin string) (answer caddyAnswer, at string) {
	places := []string{caddyOwnAdmin, caddyAdmin}
	if wrote, err := machine.ReadBounded(c.Path(caddyAutosave), maxCaddyConfig); err == nil {
		if place, on := adminOf(wrote); on {
			places = append([]string{place}, places...)
		}
	}
	for i, place := range places {
		if place == admin || slices.Contains(places[:i], place) {
			continue
		}
		if _, err := c.config(ctx, place); err == nil && c.mayBeCaddy(place) {
			return movedAway, place
		}
	}
	return elsewhere, ""
}

// mayBeCaddy reports whether root or Caddy's user listens at a place. On a port
// of loopback anybody may, when Caddy does not, and take its orders for it.
func (c caddy) mayBeCaddy(place string) bool {
	if strings.HasPrefix(place, "unix/") {
		return true // whoever answered there was one of them
	}
	uids, err := c.RootAnd(caddyUser)
	if err != nil {
		return false
	}
	sockets, err := c.Listening()
	_, port, _ := strings.Cut(place[max(0, strings.LastIndexByte(place, ':')):], ":")
	others := slices.ContainsFunc(sockets, func(one machine.Socket) bool {
		return strconv.Itoa(one.Port) == port && !slices.Contains(uids, one.UID)
	})
	return err == nil && !others
}

// isNotThere reports whether a question to Caddy failed since Caddy does not
// listen there.
func isNotThere(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, machine.ErrStranger)
}

// adminOf is the address of Caddy's admin endpoint in a configuration; false:
// it is off.
func adminOf(config []byte) (address string, on bool) {
	var parsed struct {
		Admin struct {
			Listen   string
			Disabled bool
		}
	}
	if json.Unmarshal(config, &parsed) != nil {
		return caddyAdmin, true
	}
	return cmp.Or(parsed.Admin.Listen, caddyAdmin), !parsed.Admin.Disabled
}

// config asks Caddy what it runs.
func (c caddy) config(ctx context.Context, admin string) (any, error) {
	if strings.HasPrefix(admin, ":") { // on all addresses
		admin = "localhost" + admin
	}
	ask := machine.Request{Method: http.MethodGet, URL: "http://" + admin + "/config/", User: caddyUser}
	if socket, ok := strings.CutPrefix(admin, "unix/"); ok {
		// On a socket Caddy takes requests for no host only, and a host of blanks is sent as none.
		ask.Socket, ask.URL, ask.Host = "/"+strings.TrimPrefix(socket, "/"), "http://caddy/config/", " "
	}
	ctx, cancel := context.WithTimeout(ctx, caddyAnswers)
	defer cancel()
	response, err := c.Send(ctx, ask)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask Caddy at %s what it runs: it answers %d", admin, response.StatusCode)
	}
	var config any
	if err := json.NewDecoder(io.LimitReader(response.Body, maxCaddyConfig)).Decode(&config); err != nil {
		return nil, fmt.Errorf("decode running configuration: %w", err)
	}
	return config, nil
}
