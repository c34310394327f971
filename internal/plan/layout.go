package plan

// Where things stand on a host. What the operator's machine renders into files
// and what relay-host does there have to agree on it.
const (
	StoreDir    = "/var/lib/relayctl"       // what relay-host knows of the stack
	ProgramsDir = "/usr/local/lib/relayctl" // NAME/VERSION-DIGEST12/NAME, with NAME/current
	UnitsDir    = "/etc/systemd/system"

	RelayUser = "relay" // that relay-server runs as

	Caddyfile   = "/etc/caddy/Caddyfile"
	CaddyHome   = "/var/lib/caddy"        // its user's, who may put anything there
	CaddyDir    = CaddyHome + "/relayctl" // the stack's place in it: Caddy may write there whatever else it is shut out from
	CaddySocket = CaddyDir + "/admin.sock"
)
